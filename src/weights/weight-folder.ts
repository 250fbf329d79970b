/**
 * Weights in the folder layout of diffusers and transformers: one file, or shards with an index,
 * each also in a variant such as `fp16`. Files are safetensors, or in older folders of torch.save.
 */
import { listSome, quoted, WeightsError } from "./errors.ts";
import { parsedJson, readText } from "./sources/files.ts";
import type { FileSet } from "./sources/files.ts";
import { refusalsOf } from "./sources/source.ts";
import { storeEntry, tableStore } from "./store.ts";
import type { StoreEntry, WeightStore } from "./store.ts";
import { JsonCursor } from "./strict-json.ts";
import { openWeightFile } from "./weight-file.ts";

/** Beginning of a weight file's name: diffusers models use the long one, transformers `model`. */
export type WeightStem = "diffusion_pytorch_model" | "model";

/** How to choose among the files of a folder. */
export interface WeightFolderOptions {
  /** Preferred variant, e.g. `fp16`. Without it plain files come first, then `fp16`. */
  readonly variant?: string;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
}

/** Most shards that one index may name; each is a file to open. Large models have about 200. */
export const MAX_SHARDS = 1000;

/**
 * Opens the weights of one folder (`""` is the top). The headers of all files are read and checked;
 * data is read on demand.
 *
 * Without a variant it takes the first of `<stem>.safetensors`, `<stem>.fp16.safetensors` and their
 * indices; with one, the files of the variant before the plain ones. Only where there are none, the
 * same with `.bin`, whose stem in transformers is `pytorch_model`. The index is the authority over
 * its shards: a tensor in a shard that the index does not place there is ignored, as the libraries
 * that write these folders do.
 * @throws WeightsError listing what was looked for, or all that is wrong between index and shards
 */
export async function openWeightFolder(
  files: FileSet,
  folder: string,
  stem: WeightStem,
  options: WeightFolderOptions = {},
): Promise<WeightStore> {
  const { signal } = options;
  const candidates = weightFileNames(stem, options.variant);
  const paths = candidates.map((candidate) => pathIn(folder, candidate));
  for (const path of paths) {
    if (path.endsWith(".json")) {
      const source = await files.open(path, signal);
      if (source === null) continue;
      await source.close();
      return openWeightIndex(files, path, signal);
    }
    const file = await openWeightFile(files, path, signal);
    if (file !== null) return file.store;
  }
  throw new WeightsError(
    `weights: no weights in ${quoted(folder)}, looked for ${candidates.join(", ")} ` +
      `(${files.name})${refusalsOf(files, paths)}. Check the folder, or download the weight files`,
  );
}

/** Whether a folder has a weight file, or an index of them, that `openWeightFolder` would open. */
export async function hasWeights(
  files: FileSet,
  folder: string,
  stem: WeightStem,
  signal?: AbortSignal,
): Promise<boolean> {
  for (const name of weightFileNames(stem)) {
    const source = await files.open(pathIn(folder, name), signal);
    await source?.close();
    if (source !== null) return true;
  }
  return false;
}

/**
 * Names under which the weights of a folder may be, in order of preference.
 * @throws WeightsError for a variant with characters of a path
 */
export function weightFileNames(stem: WeightStem, variant?: string): readonly string[] {
  if (variant !== undefined && !/^[A-Za-z0-9_-]+$/.test(variant)) {
    throw new WeightsError(
      `weights: variant must be letters, digits, "-" or "_", got ${quoted(variant)}. E.g. fp16`,
    );
  }
  const binStem = stem === "model" ? "pytorch_model" : stem;
  return [...namesOf(stem, "safetensors", variant), ...namesOf(binStem, "bin", variant)];
}

function namesOf(stem: string, extension: string, variant: string | undefined): string[] {
  const single = (of: string): string => `${stem}.${of}${extension}`;
  // The variant stands before the last extension; older exports put it behind the stem.
  const indices = (of: string): string[] => [
    `${stem}.${extension}.index.${of}json`,
    ...(of === "" ? [] : [`${stem}.${of}${extension}.index.json`]),
  ];
  if (variant === undefined) {
    return [single(""), single("fp16."), ...indices(""), ...indices("fp16.")];
  }
  const of = `${variant}.`;
  return [single(of), ...indices(of), single(""), ...indices("")];
}

/**
 * Opens all shards of an index, which lie beside it.
 * @throws WeightsError for a broken index, and listing all that is wrong between it and the shards
 */
export async function openWeightIndex(
  files: FileSet,
  indexPath: string,
  signal?: AbortSignal,
): Promise<WeightStore> {
  const folder = indexPath.slice(0, indexPath.lastIndexOf("/") + 1);
  const text = await readText(files, indexPath, signal);
  const where = quoted(indexPath);
  const weightMap = await parsedJson(text, where, () => parseIndex(text, where));
  const shardNames = new Set(weightMap.values());
  if (shardNames.size > MAX_SHARDS) {
    throw new WeightsError(
      `weights: an index may name ${MAX_SHARDS} shards, got ${shardNames.size} ` +
        `(${quoted(indexPath)})`,
    );
  }
  const shards = new Map<string, WeightStore | null>();
  const close = async (): Promise<void> => {
    const opened = [...shards.values()].filter((shard) => shard !== null);
    await Promise.all(opened.map((shard) => shard.close()));
  };
  try {
    for (const shardName of shardNames) {
      const file = await openWeightFile(files, `${folder}${shardName}`, signal);
      shards.set(shardName, file?.store ?? null);
    }
    return tableStore(
      `${files.name}: ${indexPath}`,
      shardEntries(weightMap, shards, indexPath),
      close,
    );
  } catch (error) {
    await close();
    throw error;
  }
}

/** The entry of every tensor that an index names; lists all that the shards do not hold. */
function shardEntries(
  weightMap: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, WeightStore | null>,
  indexPath: string,
): Map<string, StoreEntry> {
  const absent = [...shards].filter(([, shard]) => shard === null).map(([name]) => quoted(name));
  const missing: string[] = [];
  const entries = new Map<string, StoreEntry>();
  for (const [tensor, shardName] of weightMap) {
    const shard = shards.get(shardName) ?? null;
    if (shard === null) continue;
    if (shard.has(tensor)) entries.set(tensor, storeEntry(shard, tensor, tensor));
    else missing.push(`${quoted(tensor)} (${shardName})`);
  }
  const problems: string[] = [];
  if (absent.length > 0) problems.push(`absent files: ${listSome(absent)}`);
  if (missing.length > 0) problems.push(`tensors not in their file: ${listSome(missing)}`);
  if (problems.length === 0) return entries;
  throw new WeightsError(
    `weights: index and shards must agree, got ${absent.length} absent files, ${missing.length} ` +
      `tensors not in their file. ${problems.join("; ")} (${quoted(indexPath)}). ` +
      `The folder is incomplete; download it again`,
  );
}

/** The `weight_map` of an index: tensor name to shard, a plain name of a weight file. */
function parseIndex(text: string, where: string): Map<string, string> {
  const weightMap = new Map<string, string>();
  const badNames = new Set<string>();
  let hasMap = false;
  const cursor = new JsonCursor(text, where);
  cursor.object((key) => {
    if (key !== "weight_map") {
      cursor.value();
      return;
    }
    hasMap = true;
    cursor.object((tensor) => {
      const shardName = cursor.string();
      if (!isPlainFileName(shardName)) badNames.add(quoted(shardName));
      weightMap.set(tensor, shardName);
    });
  });
  cursor.end();
  if (!hasMap) {
    throw new WeightsError(`weights: index needs "weight_map" (${where}). Is it another file?`);
  }
  if (badNames.size > 0) {
    throw new WeightsError(
      `weights: shards must be plain names of .safetensors or .bin files, got ` +
        `${listSome([...badNames])} (${where}). Do not use this index`,
    );
  }
  return weightMap;
}

function isPlainFileName(name: string): boolean {
  return /^[^/\\:\0]+\.(?:safetensors|bin)$/.test(name);
}

function pathIn(folder: string, fileName: string): string {
  return folder === "" ? fileName : `${folder}/${fileName}`;
}
