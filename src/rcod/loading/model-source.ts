/**
 * Where a model comes from: one folder, or the files that people have (a base model, CLIP and a checkpoint of
 * different origin, and what RCOD_S has beside them) put together as one folder, of which the rest of the program knows nothing.
 */
import type { OptionRules } from "../../options.ts";
import { anything, checkOptions, objectValue, shown } from "../../options.ts";
import type { ByteSource, FileSet, JsonObject, SingleFile } from "../../weights/index.ts";
import {
  WeightsError,
  blobFile,
  bytesSource,
  directoryHandleFiles,
  fileHandleFile,
  fileListFiles,
  readJson,
  urlFile,
  urlFiles,
  urlMapFiles,
} from "../../weights/index.ts";

/**
 * A folder: its URL, the addresses of its files by path, the files of a folder input, a directory handle, or any
 * `FileSet` (`folderFiles` in Node).
 */
export type FolderSource =
  | string
  | URL
  | ReadonlyMap<string, string | URL>
  | readonly File[]
  | FileSystemDirectoryHandle
  | FileSet;

/**
 * A file: its URL, a `File`, a file handle, or any `SingleFile` (`diskFile` in Node). A name that ends in
 * `.safetensors` says what it is; everything else, a `Blob` without a name too, is read as torch.save's.
 */
export type FileSource = string | URL | Blob | FileSystemFileHandle | SingleFile;

/** A model in pieces of different origin. What is not given is looked for in `model`. */
export interface ModelSources {
  /**
   * Stable Diffusion in diffusers' layout, of which `unet/` and `vae/` are read; or a whole model folder; or Stable
   * Diffusion 2.x in one file with its original names (`v2-1_512-ema-pruned.safetensors` or `.ckpt`), which is
   * taken to predict noise.
   */
  readonly model: FolderSource | FileSource;
  /** CLIP as transformers writes it, `config.json` and weights at the top, in place of `image_encoder/`. */
  readonly clip?: FolderSource;
  /**
   * What RCOD trained (`rcod_o.pkl`, or `rcod_s.pkl` of RCOD_S), in place of the one that `rcod_config.json` names
   * and of `image_proj/`. Its content says which of both it is, unless `rcod_config.json` does.
   */
  readonly checkpoint?: FileSource;
  /** RCOD_S: the degradation estimator (`de_net.pth`). */
  readonly deNet?: FileSource;
  /** RCOD_S: the metric estimation module (`rcod_s_mem.pkl`), without which there is no `realism: "auto"`. */
  readonly mem?: FileSource;
}

/** One folder with everything, or its pieces. */
export type ModelSource = FolderSource | ModelSources;

const CONFIG = "rcod_config.json";
const CLIP_FOLDER = "image_encoder/";

/** A piece that is one file: the option, the field of rcod_config.json that names it, its name there, and in words. */
const FILE_PIECES = [
  ["checkpoint", "checkpoint", "checkpoint", "the checkpoint"],
  ["deNet", "degradation_estimator", "de_net", "the degradation estimator"],
  ["mem", "mem_checkpoint", "mem", "the metric estimation module"],
] as const;

/** A model as one folder. */
export interface ModelFiles extends FileSet {
  /** What had to be assumed, in one sentence. */
  readonly assumption?: string;
}

const PIECE_RULES: OptionRules<ModelSources> = {
  model: anything,
  clip: anything,
  checkpoint: anything,
  deNet: anything,
  mem: anything,
};

/**
 * A model as the one folder that `readConfigs` and `loadWeights` take. Opens nothing yet. Throws `TypeError` for what is
 * no source.
 */
export function modelFiles(source: ModelSource): ModelFiles {
  if (!isInPieces(source)) return folderOf(source);
  checkOptions("loadModel", source, PIECE_RULES);
  const model = folderOf(source.model);
  const clip = source.clip === undefined ? null : folderOf(source.clip);
  const fields: Record<string, string> = {};
  const filePieces = new Map<string, { readonly file: SingleFile; readonly what: string }>();
  for (const [option, field, stem, what] of FILE_PIECES) {
    const given = source[option];
    if (given === undefined) continue;
    const file = fileOf(given, stem);
    // Under a name of our own: the file's may be anything.
    const path = `${stem}.${file.name.endsWith(".safetensors") ? "safetensors" : "pkl"}`;
    fields[field] = path;
    filePieces.set(path, { file, what });
  }
  const pieces = [
    ...(clip ? [`${CLIP_FOLDER} from ${clip.name}`] : []),
    ...[...filePieces.values()].map(({ file, what }) => `${what} ${file.name}`),
  ];
  return {
    ...model,
    name: pieces.length === 0 ? model.name : `${model.name} with ${pieces.join(" and ")}`,
    refusal: (path) =>
      clip && path.startsWith(CLIP_FOLDER)
        ? (clip.refusal?.(path.slice(CLIP_FOLDER.length)) ?? null)
        : (model.refusal?.(path) ?? null),
    async open(path, signal) {
      if (clip && path.startsWith(CLIP_FOLDER)) {
        return clip.open(path.slice(CLIP_FOLDER.length), signal);
      }
      const piece = filePieces.get(path);
      if (piece) return openExisting(piece.file, piece.what, signal);
      if (filePieces.size > 0 && path === CONFIG) return configWith(model, fields, signal);
      return model.open(path, signal);
    },
  };
}

/** The model's own `rcod_config.json`, or an empty one, with `fields` that name the given files. */
async function configWith(
  model: FileSet,
  fields: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const own = await model.open(CONFIG, signal);
  await own?.close();
  const json = own === null ? {} : await readJson(model, CONFIG, signal);
  // What is no object is passed on as it is, for the parser to refuse.
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const text = JSON.stringify(isObject ? { ...(json as JsonObject), ...fields } : json);
  return bytesSource(CONFIG, new TextEncoder().encode(text));
}

async function openExisting(
  file: SingleFile,
  what: string,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const source = await file.open(signal);
  if (source !== null) return source;
  throw new WeightsError(
    `weights: ${what} must exist, got no file (${file.name}). Check its name or address`,
  );
}

function isInPieces(source: ModelSource): source is ModelSources {
  return objectValue.allows(source) && "model" in (source as object);
}

/** Ends of the names of models in one file. */
const ONE_FILE = /\.(?:safetensors|ckpt|pt|pth|bin)$/i;

function isOneFile(source: FolderSource | FileSource): source is FileSource {
  if (typeof source === "string" || source instanceof URL)
    return ONE_FILE.test(String(source).replace(/[?#].*$/, ""));
  if (Array.isArray(source) || source instanceof Map) return false;
  return (
    source instanceof Blob ||
    "getFile" in source ||
    ("open" in source && ONE_FILE.test(source.name))
  );
}

/** Stable Diffusion in one file, shown as a folder. */
function oneFileModel(file: SingleFile): ModelFiles {
  let folder: Promise<FileSet> | undefined;
  return {
    name: file.name,
    assumption: `${file.name} is taken for Stable Diffusion 2.1-base, which predicts noise: the file does not say`,
    async open(path, signal) {
      folder ??= import("./single-file-model.ts").then((m) => m.singleFileModel(file));
      return (await folder).open(path, signal);
    },
  };
}

function folderOf(source: FolderSource | FileSource): ModelFiles {
  checkSource(source, ["open", "getFileHandle", "getFile"]);
  if (isOneFile(source)) return oneFileModel(fileOf(source, "model"));
  if (typeof source === "string" || source instanceof URL) return urlFiles(String(source));
  if (Array.isArray(source)) return fileListFiles(source as readonly File[]);
  if (source instanceof Map) return urlMapFiles(source as ReadonlyMap<string, string | URL>);
  if ("open" in source) return source;
  return directoryHandleFiles(source as FileSystemDirectoryHandle);
}

function fileOf(source: FileSource, unnamed: string): SingleFile {
  checkSource(source, ["open", "getFile"]);
  if (typeof source === "string" || source instanceof URL) return urlFile(String(source));
  if ("open" in source) return source;
  if ("getFile" in source) return fileHandleFile(source);
  return blobFile(source, "name" in source ? (source as File).name : unnamed);
}

/** Throws `TypeError` for what is no address, no file or files, and has none of these functions. */
function checkSource(source: FolderSource | FileSource, functions: readonly string[]): void {
  if (typeof source === "string") return;
  if (objectValue.allows(source)) {
    if (Array.isArray(source) || source instanceof Map) return;
    if (source instanceof URL || source instanceof Blob) return;
    if (functions.some((name) => name in source)) return;
  }
  throw new TypeError(
    `loadModel: a source must be an address, files, a handle, a FileSet or { model, checkpoint, … }, got ${shown(source)}`,
  );
}
