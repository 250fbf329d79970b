/** One weight file of whichever kind, told by the end of its name. */
import { quoted, WeightsError } from "./errors.ts";
import { openSafetensors } from "./safetensors.ts";
import type { FileSet } from "./sources/files.ts";
import type { ByteSource } from "./sources/source.ts";
import { safetensorsStore, torchStore } from "./store.ts";
import type { WeightStore } from "./store.ts";
import type { JsonValue } from "./strict-json.ts";

/** An open weight file. Whoever opens it closes its store. */
export interface WeightFile {
  /** What kind of file it is. */
  readonly kind: "safetensors" | "torch";
  /** Its tensors. */
  readonly store: WeightStore;
  /** What it holds beside tensors: the metadata of safetensors, or the plain values of torch.save. */
  readonly values: ReadonlyMap<string, JsonValue>;
}

/** Ends of the names of files that torch.save writes. They say nothing about the form inside. */
const TORCH_NAME = /\.(?:pkl|pth|pt|bin)$/;

/**
 * Opens `path`, a `.safetensors` file or one of torch.save (`.pkl`, `.pth`, `.pt`, `.bin`),
 * or gives null when there is none. Headers are read and checked; data is read on demand.
 * @throws WeightsError for other names, and for what is wrong with the file
 */
export async function openWeightFile(
  files: FileSet,
  path: string,
  signal?: AbortSignal,
): Promise<WeightFile | null> {
  const isTorch = TORCH_NAME.test(path);
  if (!isTorch && !path.endsWith(".safetensors")) {
    throw new WeightsError(
      `weights: a weight file must be named .safetensors, .pkl, .pth, .pt or .bin, got ` +
        `${quoted(path)} (${files.name})`,
    );
  }
  const source = await files.open(path, signal);
  if (source === null) return null;
  try {
    return await (isTorch ? readTorch(source, signal) : readSafetensors(source, signal));
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readTorch(source: ByteSource, signal?: AbortSignal): Promise<WeightFile> {
  // Loaded on demand: pages with converted models, which are safetensors, do without this reader.
  const { openTorch } = await import("./torch/torch-file.ts");
  const file = await openTorch(source, signal);
  return { kind: "torch", store: torchStore(file), values: file.values };
}

async function readSafetensors(source: ByteSource, signal?: AbortSignal): Promise<WeightFile> {
  const file = await openSafetensors(source, signal);
  return { kind: "safetensors", store: safetensorsStore(file), values: file.metadata };
}
