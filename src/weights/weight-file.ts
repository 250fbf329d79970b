/** One weight file of whichever kind. The end of its name says which; where its content says otherwise, that counts. */
import { WeightsError, quoted } from "./errors.ts";
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

/**
 * Opens `path`, a `.safetensors` file or, under every other name (`.pkl`, `.pth`, `.pt`, `.bin`, `.ckpt`), one of
 * torch.save, or gives null when there is none. Headers are read and checked; data is read on demand.
 * @throws WeightsError for what is wrong with the file, or the kind of another one
 */
export async function openWeightFile(
  files: FileSet,
  path: string,
  signal?: AbortSignal,
): Promise<WeightFile | null> {
  const source = await files.open(path, signal);
  if (source === null) return null;
  const isTorch = !path.endsWith(".safetensors");
  try {
    try {
      return await (isTorch ? readTorch(source, signal) : readSafetensors(source, signal));
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      return await readForeign(source, isTorch, error, signal);
    }
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Reads a file that has the wrong name. Throws what it is, or the `error` of the reader that refused it. */
async function readForeign(
  source: ByteSource,
  wasTorch: boolean,
  error: WeightsError,
  signal?: AbortSignal,
): Promise<WeightFile> {
  const foreign = await import("./foreign-file.ts");
  const { byteLength } = source;
  const start = await source.read(0, Math.min(foreign.KIND_BYTES, byteLength), signal);
  const endLength = Math.min(8, byteLength);
  const end = await source.read(byteLength - endLength, endLength, signal);
  const kind = foreign.kindOfBytes(start, byteLength, end);
  if (kind !== null) {
    throw new WeightsError(
      `weights: a weight file must be safetensors or one of torch.save, got ${kind.what} ` +
        `(${quoted(source.name)}). ${kind.advice}`,
      { cause: error },
    );
  }
  if (wasTorch && foreign.looksLikeSafetensors(start)) return readSafetensors(source, signal);
  if (!wasTorch && foreign.looksLikeTorch(start)) return readTorch(source, signal);
  throw error;
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
