/**
 * Files of torch.save (`.pth`, `.pt`, `.pkl`, `.bin`): an archive since torch 1.6, and before that
 * (or on request) pickles followed by raw storages. Nothing in them is ever executed, see
 * `torch-pickle.ts`.
 *
 *     archive    <top>/data.pkl          the value; tensors name storages by key
 *                <top>/byteorder         "little" or "big"; absent in older files, which are little
 *                <top>/data/<key>        the elements of one storage
 *     older      four pickles            magic number, version, system, the value
 *                one pickle              the keys of all storages, in the order of the file
 *                per key                 int64 count, elements; without gaps, up to the end
 *
 * Opening reads the pickles only; elements are read when they are used.
 */
import { quoted, WeightsError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { JsonValue } from "../strict-json.ts";
import { checkTensorRange, elementByteLength } from "../tensor-info.ts";
import { decodeUtf8 } from "../utf8.ts";
import { MAX_PICKLE_BYTES, readPickle } from "./torch-pickle.ts";
import type { PickleContext } from "./torch-pickle.ts";
import { readTorchTensor } from "./torch-tensor.ts";
import type { TorchStorage, TorchTensor } from "./torch-tensor.ts";
import type { TorchDict, TorchSequence, TorchValue } from "./torch-value.ts";
import { readZipDirectory, zipDataOffset } from "./torch-zip.ts";
import type { ZipEntry } from "./torch-zip.ts";

/** An open file of torch.save. */
export interface TorchFile {
  /** Name of its source, for messages. */
  readonly name: string;
  /** What was saved. */
  readonly value: TorchValue;
  /**
   * All tensors of nested dictionaries, by their keys joined with dots; those in lists by their
   * index. A file that is one tensor has it under the empty name.
   */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Everything else, named likewise: single values, and lists of them as a whole. */
  readonly values: ReadonlyMap<string, JsonValue>;
  /**
   * Bytes `[byteStart, byteStart + byteLength)` of a tensor of this file, counted from its first
   * byte: C-contiguous and little-endian, however they are stored. May be unaligned and shared.
   * @throws WeightsError for a range outside the tensor, or a damaged or failing source
   */
  readRange(
    tensor: TorchTensor,
    byteStart: number,
    byteLength: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  /** Closes the source. */
  close(): Promise<void>;
}

/** What the two forms have in common once their pickles are read. */
interface Contents {
  readonly value: TorchValue;
  readonly pickleByteLength: number;
  readonly isLittleEndian: boolean;
  /** First byte of a storage's elements; reads and checks what stands before them in the file. */
  readonly locate: (storage: TorchStorage, signal?: AbortSignal) => Promise<number>;
}

const ZIP_START = [0x50, 0x4b, 0x03, 0x04];
const PICKLE_START = 0x80;

/** The magic number and the version in front of the older form. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;
/** Bytes of the element count in front of each storage of the older form. */
const COUNT_BYTES = 8;

/** Characters of all flattened names per byte of the pickle: long prefixes repeat in each of them. */
const MAX_NAME_EXPANSION = 4;

/**
 * Reads and checks the pickles of a file. On success the source belongs to the file; on failure it
 * stays open and the caller's.
 * @throws WeightsError naming the file, the rule, and what a pickle asked for
 */
export async function openTorch(source: ByteSource, signal?: AbortSignal): Promise<TorchFile> {
  const start = await source.read(0, Math.min(ZIP_START.length, source.byteLength), signal);
  const isZip = ZIP_START.every((byte, i) => start[i] === byte);
  if (!isZip && start[0] !== PICKLE_START) {
    throw new WeightsError(
      `weights: a torch file must begin with the bytes 50 4b 03 04 or 80 02, got ` +
        `${[...start].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") || "nothing"} ` +
        `(${quoted(source.name)}). Is it another kind of file?`,
    );
  }
  const contents = await (isZip ? readArchive(source, signal) : readLegacy(source, signal));
  const { value, isLittleEndian, locate } = contents;
  const starts = new Map<TorchStorage, number>();
  return {
    name: source.name,
    value,
    ...flatten(value, MAX_NAME_EXPANSION * contents.pickleByteLength, quoted(source.name)),
    async readRange(tensor, byteStart, byteLength, readSignal) {
      const name = `in storage ${tensor.storage.key}`;
      checkTensorRange({ name, byteLength: tensor.byteLength }, byteStart, byteLength);
      const dataOffset = starts.get(tensor.storage) ?? (await locate(tensor.storage, readSignal));
      starts.set(tensor.storage, dataOffset);
      return readTorchTensor(tensor, byteStart, byteLength, isLittleEndian, (at, length) =>
        source.read(dataOffset + at, length, readSignal),
      );
    },
    close: () => source.close(),
  };
}

async function readArchive(source: ByteSource, signal: AbortSignal | undefined): Promise<Contents> {
  const where = quoted(source.name);
  const entries = await readZipDirectory(source, signal);
  const readEntry = async (entry: ZipEntry, most: number): Promise<Uint8Array> => {
    if (entry.byteLength > most) {
      throw new WeightsError(
        `weights: entry ${quoted(entry.path)} may have ${most} bytes, got ${entry.byteLength} ` +
          `(${where})`,
      );
    }
    return source.read(await zipDataOffset(source, entry, signal), entry.byteLength, signal);
  };
  if (entries.has("constants.pkl")) {
    throw new WeightsError(
      `weights: a torch file must be of torch.save, got a TorchScript program (${where}). ` +
        `Save the state dict of its model`,
    );
  }
  const pickleEntry = entries.get("data.pkl");
  if (pickleEntry === undefined) {
    throw new WeightsError(
      `weights: a torch file needs the entry data.pkl (${where}). Is it another kind of archive?`,
    );
  }
  const orderEntry = entries.get("byteorder");
  const order =
    orderEntry === undefined ? "little" : decodeUtf8(await readEntry(orderEntry, 16), where);
  if (order !== "little" && order !== "big") {
    throw new WeightsError(
      `weights: byteorder must be little or big, got ${quoted(order)} (${where})`,
    );
  }
  const bytes = await readEntry(pickleEntry, MAX_PICKLE_BYTES);
  /** The entry of a storage, which has exactly its bytes. */
  const entryOf = ({ key, dtype, elementCount }: TorchStorage): ZipEntry => {
    const entry = entries.get(`data/${key}`);
    const byteLength = elementCount * elementByteLength(dtype);
    if (entry?.byteLength === byteLength) return entry;
    throw new WeightsError(
      `weights: storage ${quoted(key)} of ${elementCount} ${dtype} elements takes ${byteLength} ` +
        `bytes, got ${entry === undefined ? "no such entry" : entry.byteLength} (${where}). ` +
        `The file is damaged; download it again`,
    );
  };
  const context = newContext(source, 5, entryOf);
  const { value, end } = readPickle(bytes, 0, context);
  checkEnd("the pickle", end, bytes.byteLength, where);
  return {
    value,
    pickleByteLength: bytes.byteLength,
    isLittleEndian: order === "little",
    locate: (storage, readSignal) => zipDataOffset(source, entryOf(storage), readSignal),
  };
}

async function readLegacy(source: ByteSource, signal: AbortSignal | undefined): Promise<Contents> {
  const where = quoted(source.name);
  // The pickles do not say how long they are.
  const bytes = await source.read(0, Math.min(source.byteLength, MAX_PICKLE_BYTES), signal);
  const context = newContext(source, 6, ({ key, dtype, elementCount }) => {
    const byteLength = elementCount * elementByteLength(dtype);
    if (byteLength <= source.byteLength) return;
    throw new WeightsError(
      `weights: storage ${quoted(key)} of ${elementCount} ${dtype} elements takes ${byteLength} ` +
        `bytes, the file has ${source.byteLength} (${where})`,
    );
  });
  let at = 0;
  const next = (): TorchValue => {
    const { value, end } = readPickle(bytes, at, context);
    at = end;
    return value;
  };
  if (next() !== LEGACY_MAGIC || next() !== LEGACY_VERSION) {
    throw new WeightsError(
      `weights: a pickle of torch.save must begin with its magic number and the version ` +
        `${LEGACY_VERSION} (${where}). Other pickles are not read; save it with torch.save`,
    );
  }
  const system = next();
  if (!isDict(system) || system.entries.get("little_endian") !== true) {
    throw new WeightsError(
      `weights: torch files without an archive must come from a little-endian machine (${where}). ` +
        `Save it again with a current torch`,
    );
  }
  const valueStart = at;
  const value = next();
  const pickleByteLength = at - valueStart;
  const keyList = next();
  const keys = isSequence(keyList) ? keyList.items : [];
  const { storages } = context;
  const countOffsets = new Map<TorchStorage, number>();
  const checkCount = (head: Uint8Array, storage: TorchStorage): void => {
    const count = new DataView(head.buffer, head.byteOffset).getBigInt64(0, true);
    if (count === BigInt(storage.elementCount)) return;
    throw new WeightsError(
      `weights: storage ${quoted(storage.key)} must have ${storage.elementCount} elements, got ` +
        `${count} at byte ${countOffsets.get(storage)} (${where}). The file is damaged; download it again`,
    );
  };
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined || countOffsets.has(storage)) break;
    countOffsets.set(storage, at);
    // What lies further back is checked when its storage is read.
    if (at + COUNT_BYTES <= bytes.byteLength) checkCount(bytes.subarray(at), storage);
    at += COUNT_BYTES + storage.elementCount * elementByteLength(storage.dtype);
  }
  if (countOffsets.size !== storages.size || countOffsets.size !== keys.length) {
    throw new WeightsError(
      `weights: the list of storages must name each that a tensor uses once, got ${keys.length} ` +
        `keys for ${storages.size} storages (${where}). The file is damaged`,
    );
  }
  checkEnd("the last storage", at, source.byteLength, where);
  return {
    value,
    pickleByteLength,
    isLittleEndian: true, // whatever the machine, torch wrote this form so
    async locate(storage, readSignal) {
      const countOffset = countOffsets.get(storage) as number;
      checkCount(await source.read(countOffset, COUNT_BYTES, readSignal), storage);
      return countOffset + COUNT_BYTES;
    },
  };
}

function newContext(
  { name, byteLength }: ByteSource,
  storageIdLength: 5 | 6,
  checkStorage: PickleContext["checkStorage"],
): PickleContext {
  return {
    where: quoted(name),
    storageIdLength,
    fileByteLength: byteLength,
    storages: new Map(),
    checkStorage,
  };
}

function checkEnd(what: string, end: number, expected: number, where: string): void {
  if (end === expected) return;
  throw new WeightsError(
    `weights: ${what} must end at byte ${expected}, got ${end} (${where}). ` +
      `The file is cut or has bytes that belong to nothing`,
  );
}

/** The tensors and the other values of nested dictionaries and lists by joined names. */
function flatten(
  root: TorchValue,
  maxNameLength: number,
  where: string,
): Pick<TorchFile, "tensors" | "values"> {
  const tensors = new Map<string, TorchTensor>();
  const values = new Map<string, JsonValue>();
  let left = maxNameLength;
  const add = (value: TorchValue, name: string): void => {
    left -= name.length;
    if (left < 0) {
      throw new WeightsError(
        `weights: names of nested dictionaries may have ${maxNameLength} characters together, ` +
          `got more (${where}). Do not use this file`,
      );
    }
    const plain = plainValue(value);
    if (plain === undefined) {
      const inner = name === "" ? "" : `${name}.`;
      if (isDict(value)) for (const [key, item] of value.entries) add(item, `${inner}${key}`);
      else if (isSequence(value)) value.items.forEach((item, i) => add(item, `${inner}${i}`));
      else addOnce(tensors, name, value as TorchTensor);
    } else addOnce(values, name, plain);
  };
  const addOnce = <T>(map: Map<string, T>, name: string, value: T): void => {
    if (tensors.has(name) || values.has(name)) {
      throw new WeightsError(
        `weights: joined names must be unique, got ${quoted(name)} twice (${where})`,
      );
    }
    map.set(name, value);
  };
  add(root, "");
  return { tensors, values };
}

/** A single value, or a list of them, as JSON. Undefined for tensors and what holds them. */
function plainValue(value: TorchValue): JsonValue | undefined {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (!isSequence(value)) return undefined;
  const items: JsonValue[] = [];
  for (const item of value.items) {
    if (typeof item === "object" && item !== null) return undefined;
    items.push(typeof item === "bigint" ? String(item) : item);
  }
  return items;
}

function isDict(value: TorchValue): value is TorchDict {
  return typeof value === "object" && value !== null && value.kind === "dict";
}

function isSequence(value: TorchValue): value is TorchSequence {
  return typeof value === "object" && value !== null && "items" in value;
}
