/**
 * Named tensors, whichever files they lie in. A store knows names, shapes and dtypes at once and
 * reads bytes on demand, so a model can be checked before the first byte of data is loaded.
 */
import { listSome, quoted, WeightsError } from "./errors.ts";
import type { SafetensorsFile } from "./safetensors.ts";
import { checkTensorData, checkTensorRange } from "./tensor-info.ts";
import type { TensorData, TensorInfo } from "./tensor-info.ts";
import type { TorchFile } from "./torch/torch-file.ts";

/** A tensor in a store: its place in one of the files behind it. */
export interface StoredTensorInfo extends TensorInfo {
  /** Name of the file that holds it, for messages. */
  readonly file: string;
}

/** Read access to named tensors. Whoever opens a store closes it. */
export interface WeightStore {
  /** Where the weights come from, for messages. */
  readonly name: string;
  /** Names of all tensors. */
  names(): Iterable<string>;
  /** Whether there is a tensor of that name. */
  has(name: string): boolean;
  /** @throws WeightsError for an unknown name */
  info(name: string): StoredTensorInfo;
  /**
   * All bytes of a tensor, little-endian; may be unaligned and shared, so do not write to them.
   * @throws WeightsError for an unknown name or a failing source
   */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Bytes `[byteStart, byteStart + byteLength)` of a tensor, counted from its first byte.
   * @throws WeightsError for an unknown name, a range outside the tensor, or a failing source
   */
  readRange(
    name: string,
    byteStart: number,
    byteLength: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  /** Closes the files behind the store; reading then throws. Calling it again does nothing. */
  close(): Promise<void>;
}

/** One tensor of a store: what it is and how to read a checked range of it. */
export interface StoreEntry {
  readonly info: StoredTensorInfo;
  readonly readRange: (
    byteStart: number,
    byteLength: number,
    signal?: AbortSignal,
  ) => Promise<Uint8Array>;
}

/** A store from a table of entries; every other store is built on it. Takes over the table. */
export function tableStore(
  name: string,
  entries: ReadonlyMap<string, StoreEntry>,
  close: () => Promise<void>,
): WeightStore {
  let isClosed = false;
  const entryOf = (tensor: string): StoreEntry => {
    const entry = entries.get(tensor);
    if (entry === undefined) {
      throw new WeightsError(`weights: no tensor ${quoted(tensor)} (${quoted(name)})`);
    }
    return entry;
  };
  const openEntryOf = (tensor: string): StoreEntry => {
    if (isClosed) throw new WeightsError(`weights: store is closed (${quoted(name)})`);
    return entryOf(tensor);
  };
  return {
    name,
    names: () => entries.keys(),
    has: (tensor) => entries.has(tensor),
    info: (tensor) => entryOf(tensor).info,
    async read(tensor, signal) {
      const { info, readRange } = openEntryOf(tensor);
      return readRange(0, info.byteLength, signal);
    },
    async readRange(tensor, byteStart, byteLength, signal) {
      const { info, readRange } = openEntryOf(tensor);
      checkTensorRange(info, byteStart, byteLength);
      return readRange(byteStart, byteLength, signal);
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      await close();
    },
  };
}

/** All tensors of one open safetensors file, which the store takes over. */
export function safetensorsStore(file: SafetensorsFile): WeightStore {
  const entries = new Map<string, StoreEntry>();
  for (const [name, info] of file.tensors) {
    entries.set(name, {
      info: { ...info, file: file.name },
      readRange: (byteStart, byteLength, signal) =>
        file.readRange(name, byteStart, byteLength, signal),
    });
  }
  return tableStore(file.name, entries, () => file.close());
}

/**
 * All tensors of an open file of torch.save, which the store takes over. Their `byteOffset` is 0:
 * not all of them lie in the file as one range.
 */
export function torchStore(file: TorchFile): WeightStore {
  const entries = new Map<string, StoreEntry>();
  for (const [name, tensor] of file.tensors) {
    const { dtype, shape, byteLength } = tensor;
    entries.set(name, {
      info: { name, dtype, shape, byteOffset: 0, byteLength, file: file.name },
      readRange: (byteStart, length, signal) => file.readRange(tensor, byteStart, length, signal),
    });
  }
  return tableStore(file.name, entries, () => file.close());
}

/**
 * Tensors that are in memory already; their `byteOffset` is 0. Reads are views, not copies.
 * @throws WeightsError when a byte count does not fit its dtype and shape
 */
export function memoryStore(name: string, tensors: ReadonlyMap<string, TensorData>): WeightStore {
  const entries = new Map<string, StoreEntry>();
  for (const [tensor, held] of tensors) {
    checkTensorData(tensor, held);
    const { dtype, shape, data } = held;
    const { byteLength } = data;
    entries.set(tensor, {
      info: { name: tensor, dtype, shape, byteOffset: 0, byteLength, file: name },
      async readRange(byteStart, length, signal) {
        signal?.throwIfAborted();
        return data.subarray(byteStart, byteStart + length);
      },
    });
  }
  return tableStore(name, entries, async () => entries.clear());
}

/**
 * One store over several, which it takes over.
 * @throws WeightsError when a name is in more than one of them
 */
export function mergeStores(name: string, stores: readonly WeightStore[]): WeightStore {
  const entries = new Map<string, StoreEntry>();
  const doubled: string[] = [];
  for (const store of stores) {
    for (const tensor of store.names()) {
      const earlier = entries.get(tensor);
      if (earlier === undefined) entries.set(tensor, storeEntry(store, tensor, tensor));
      else doubled.push(`${quoted(tensor)} (${earlier.info.file}, ${store.info(tensor).file})`);
    }
  }
  if (doubled.length > 0) {
    throw new WeightsError(
      `weights: names must be in one store only, ${doubled.length} are in two: ` +
        `${listSome(doubled)} (${quoted(name)})`,
    );
  }
  return tableStore(name, entries, async () => {
    await Promise.all(stores.map((store) => store.close()));
  });
}

/**
 * The same tensors under other names; takes the store over. `rename` gives the new name, or null to
 * hide the tensor. For the oddities of checkpoints, e.g. a prefix or outdated names.
 * @throws WeightsError when two tensors get the same name
 */
export function renamedStore(
  store: WeightStore,
  rename: (name: string) => string | null,
): WeightStore {
  const entries = new Map<string, StoreEntry>();
  const oldNames = new Map<string, string>();
  const doubled: string[] = [];
  for (const oldName of store.names()) {
    const newName = rename(oldName);
    if (newName === null) continue;
    const earlier = oldNames.get(newName);
    if (earlier !== undefined) {
      doubled.push(`${quoted(newName)} (from ${quoted(earlier)} and ${quoted(oldName)})`);
    }
    oldNames.set(newName, oldName);
    entries.set(newName, storeEntry(store, oldName, newName));
  }
  if (doubled.length > 0) {
    throw new WeightsError(
      `weights: new names must be unique, ${doubled.length} are not: ${listSome(doubled)} ` +
        `(${quoted(store.name)})`,
    );
  }
  return tableStore(store.name, entries, () => store.close());
}

/** The entry of one tensor of another store, under a name of its own. */
export function storeEntry(store: WeightStore, oldName: string, newName: string): StoreEntry {
  return {
    info: { ...store.info(oldName), name: newName },
    readRange: (byteStart, byteLength, signal) =>
      store.readRange(oldName, byteStart, byteLength, signal),
  };
}
