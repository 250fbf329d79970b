/**
 * Where a model comes from: one folder, or the files that people have (a base model, CLIP and a checkpoint of
 * different origin) put together as one folder, of which the rest of the program knows nothing.
 */
import type { ByteSource, FileSet, JsonObject, SingleFile } from "../weights/index.ts";
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
} from "../weights/index.ts";

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
  /** Stable Diffusion in diffusers' layout, of which `unet/` and `vae/` are read; or a whole model folder. */
  readonly model: FolderSource;
  /** CLIP as transformers writes it, `config.json` and weights at the top, in place of `image_encoder/`. */
  readonly clip?: FolderSource;
  /** RCOD_O's checkpoint (`rcod_o.pkl`), in place of the one that `rcod_config.json` names and of `image_proj/`. */
  readonly checkpoint?: FileSource;
}

/** One folder with everything, or its pieces. */
export type ModelSource = FolderSource | ModelSources;

const CONFIG = "rcod_config.json";
const CLIP_FOLDER = "image_encoder/";

/** A model as the one folder that `readConfigs` and `loadWeights` take. Opens nothing yet. */
export function modelFiles(source: ModelSource): FileSet {
  if (!isInPieces(source)) return folderOf(source);
  const model = folderOf(source.model);
  const clip = source.clip === undefined ? null : folderOf(source.clip);
  const checkpoint = source.checkpoint === undefined ? null : fileOf(source.checkpoint);
  // Under a name of our own: the file's may be anything.
  const checkpointPath = `checkpoint.${checkpoint?.name.endsWith(".safetensors") ? "safetensors" : "pkl"}`;
  const pieces = [
    ...(clip ? [`${CLIP_FOLDER} from ${clip.name}`] : []),
    ...(checkpoint ? [`the checkpoint ${checkpoint.name}`] : []),
  ];
  return {
    name: pieces.length === 0 ? model.name : `${model.name} with ${pieces.join(" and ")}`,
    async open(path, signal) {
      if (clip && path.startsWith(CLIP_FOLDER)) {
        return clip.open(path.slice(CLIP_FOLDER.length), signal);
      }
      if (checkpoint && path === CONFIG) return configWith(model, checkpointPath, signal);
      if (checkpoint && path === checkpointPath) return openExisting(checkpoint, signal);
      return model.open(path, signal);
    },
  };
}

/** The model's own `rcod_config.json`, or an empty one (whose defaults are RCOD_O's), naming the checkpoint. */
async function configWith(
  model: FileSet,
  checkpoint: string,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const own = await model.open(CONFIG, signal);
  await own?.close();
  const json = own === null ? {} : await readJson(model, CONFIG, signal);
  // What is no object is passed on as it is, for the parser to refuse.
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const text = JSON.stringify(isObject ? { ...(json as JsonObject), checkpoint } : json);
  return bytesSource(CONFIG, new TextEncoder().encode(text));
}

async function openExisting(file: SingleFile, signal?: AbortSignal): Promise<ByteSource> {
  const source = await file.open(signal);
  if (source !== null) return source;
  throw new WeightsError(
    `weights: the checkpoint must exist, got no file (${file.name}). Check its name or address`,
  );
}

function isInPieces(source: ModelSource): source is ModelSources {
  return typeof source === "object" && "model" in source;
}

function folderOf(source: FolderSource): FileSet {
  if (typeof source === "string" || source instanceof URL) return urlFiles(String(source));
  if (Array.isArray(source)) return fileListFiles(source as readonly File[]);
  if (source instanceof Map) return urlMapFiles(source as ReadonlyMap<string, string | URL>);
  if ("open" in source) return source;
  return directoryHandleFiles(source as FileSystemDirectoryHandle);
}

function fileOf(source: FileSource): SingleFile {
  if (typeof source === "string" || source instanceof URL) return urlFile(String(source));
  if ("open" in source) return source;
  if ("getFile" in source) return fileHandleFile(source);
  return blobFile(source, "name" in source ? (source as File).name : "checkpoint");
}
