/**
 * The safetensors container: 8 bytes of header length N (little-endian), N bytes of JSON, tensor
 * data.
 *
 * Opening reads the header only, also of a file of many gigabytes. All rules of the reference
 * reader are checked, and beyond them: the header begins with `{`, keys are unique at every level,
 * integers are plain. So a file that opens means the same to every reader, and its tensors tile the
 * data buffer exactly: no holes, no overlaps, nothing behind the last one.
 */
import { quoted, WeightsError } from "./errors.ts";
import type { ByteSource } from "./sources/source.ts";
import { JsonCursor } from "./strict-json.ts";
import {
  checkTensorRange,
  elementByteLength,
  isTensorDtype,
  shapeText,
  tensorByteLength,
  tensorDtypeList,
} from "./tensor-info.ts";
import type { TensorInfo } from "./tensor-info.ts";
import { decodeUtf8 } from "./utf8.ts";

/** Longest header that any reader of the format accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes of the header length in front of the header. */
export const LENGTH_BYTES = 8;

/** What the name of an element type looks like. */
const UNKNOWN_DTYPE = /^[A-Z][A-Z0-9_]{1,31}$/;

/** The header key whose value is not a tensor. */
export const METADATA_KEY = "__metadata__";

/** An open safetensors file. */
export interface SafetensorsFile {
  /** Name of its source, for messages. */
  readonly name: string;
  /** By name, in the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The free-form texts under `__metadata__`; empty when the file has none. */
  readonly metadata: ReadonlyMap<string, string>;
  /**
   * All bytes of a tensor; may be unaligned and shared, see `ByteSource.read`.
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
  /** Closes the source. */
  close(): Promise<void>;
}

/**
 * Reads and checks the header of a safetensors file. On success the source belongs to the file;
 * on failure it stays open and the caller's.
 * @throws WeightsError naming the file, the tensor and the broken rule
 */
export async function openSafetensors(
  source: ByteSource,
  signal?: AbortSignal,
): Promise<SafetensorsFile> {
  const where = quoted(source.name);
  const dataOffset = await readDataOffset(source, where, signal);
  const bytes = await source.read(LENGTH_BYTES, dataOffset - LENGTH_BYTES, signal);
  if (bytes[0] !== 0x7b) {
    throw new WeightsError(
      `weights: safetensors header must begin with "{" (0x7b), got ` +
        `${bytes[0] === undefined ? "nothing" : `0x${bytes[0].toString(16)}`} (${where}). ` +
        `Is it another kind of file?`,
    );
  }
  const header = parseHeader(decodeUtf8(bytes, `header of ${where}`), `header of ${where}`);
  const tensors = layOut(header.tensors, dataOffset, source.byteLength, where);
  const infoOf = (name: string): TensorInfo => {
    const info = tensors.get(name);
    if (info === undefined) throw new WeightsError(`weights: no tensor ${quoted(name)} (${where})`);
    return info;
  };
  return {
    name: source.name,
    tensors,
    metadata: header.metadata,
    async read(name, readSignal) {
      const info = infoOf(name);
      return source.read(info.byteOffset, info.byteLength, readSignal);
    },
    async readRange(name, byteStart, byteLength, readSignal) {
      const info = infoOf(name);
      checkTensorRange(info, byteStart, byteLength);
      return source.read(info.byteOffset + byteStart, byteLength, readSignal);
    },
    close: () => source.close(),
  };
}

/** First byte of the data buffer; the header length is checked before anything of it is read. */
async function readDataOffset(
  source: ByteSource,
  where: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (source.byteLength < LENGTH_BYTES) {
    throw new WeightsError(
      `weights: safetensors file must have ${LENGTH_BYTES} bytes or more, got ` +
        `${source.byteLength} (${where}). The download looks truncated; reload it`,
    );
  }
  const bytes = await source.read(0, LENGTH_BYTES, signal);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(MAX_HEADER_BYTES)) {
    throw new WeightsError(
      `weights: safetensors header may have ${MAX_HEADER_BYTES} bytes, got ${headerLength} ` +
        `(${where}). Is it another kind of file?`,
    );
  }
  const dataOffset = LENGTH_BYTES + Number(headerLength);
  if (dataOffset > source.byteLength) {
    throw new WeightsError(
      `weights: safetensors header ends at byte ${dataOffset}, file has ${source.byteLength} ` +
        `(${where}). The download looks truncated; reload it`,
    );
  }
  return dataOffset;
}

/** A tensor as the header describes it; offsets count from the start of the data buffer. */
interface HeaderTensor extends Pick<TensorInfo, "name" | "dtype" | "shape"> {
  readonly begin: number;
  readonly end: number;
}

function parseHeader(
  text: string,
  where: string,
): { tensors: HeaderTensor[]; metadata: Map<string, string> } {
  const tensors: HeaderTensor[] = [];
  const metadata = new Map<string, string>();
  const cursor = new JsonCursor(text, where);
  cursor.object((key) => {
    if (key === METADATA_KEY) {
      cursor.object((name) => metadata.set(name, cursor.string()));
    } else {
      tensors.push(parseTensor(cursor, key));
    }
  });
  cursor.end();
  return { tensors, metadata };
}

function parseTensor(cursor: JsonCursor, name: string): HeaderTensor {
  let dtype: string | undefined;
  const shape: number[] = [];
  const offsets: number[] = [];
  let hasShape = false;
  cursor.object((key) => {
    if (key === "dtype") {
      dtype = cursor.string();
    } else if (key === "shape") {
      hasShape = true;
      cursor.array(() => shape.push(cursor.integer()));
    } else if (key === "data_offsets") {
      cursor.array(() => offsets.push(cursor.integer()));
    } else {
      // The reference reader ignores what it does not know.
      cursor.value();
    }
  });
  const [begin, end] = offsets;
  if (dtype === undefined || !hasShape || begin === undefined || end === undefined) {
    throw cursor.error(`tensor ${quoted(name)} needs dtype, shape and two data_offsets`);
  }
  if (offsets.length > 2) {
    throw cursor.error(`tensor ${quoted(name)} needs two data_offsets, got ${offsets.length}`);
  }
  if (isTensorDtype(dtype)) return { name, dtype, shape, begin, end };
  // Of a newer version of the format: no reason to refuse the tensors beside it.
  if (UNKNOWN_DTYPE.test(dtype)) return { name, dtype: `unknown ${dtype}`, shape, begin, end };
  throw cursor.error(
    `tensor ${quoted(name)} has unsupported dtype ${quoted(dtype)}, not one of ` +
      tensorDtypeList(),
  );
}

/** Checks sizes and that the tensors tile the data; gives absolute positions in file order. */
function layOut(
  tensors: HeaderTensor[],
  dataOffset: number,
  fileByteLength: number,
  where: string,
): Map<string, TensorInfo> {
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const infos = new Map<string, TensorInfo>();
  let position = 0;
  for (const { name, dtype, shape, begin, end } of tensors) {
    const refuse = (rule: string, advice = ""): WeightsError =>
      new WeightsError(`weights: tensor ${quoted(name)} ${rule} (${where})${advice}`);
    const what = `of ${dtype} ${shapeText(shape)}`;
    const byteLength = isTensorDtype(dtype) ? tensorByteLength(dtype, shape) : end - begin;
    if (byteLength === null) throw refuse(`${what} has more than 2^53 bytes`);
    if (end < begin) throw refuse(`must end behind its begin, got bytes ${begin} to ${end}`);
    if (end - begin !== byteLength) {
      throw refuse(
        `${what} takes ${byteLength} bytes (${elementByteLength(dtype)} each), ` +
          `its data_offsets span ${end - begin}`,
      );
    }
    if (begin !== position) {
      throw refuse(
        `must begin at data byte ${position}, got ${begin}`,
        `. The file has ${begin < position ? "overlapping tensors" : "a hole"}`,
      );
    }
    if (dataOffset + end > fileByteLength) {
      throw refuse(
        `ends at byte ${dataOffset + end}, file has ${fileByteLength}`,
        ". The download looks truncated; reload it",
      );
    }
    infos.set(name, { name, dtype, shape, byteOffset: dataOffset + begin, byteLength });
    position = end;
  }
  if (dataOffset + position !== fileByteLength) {
    throw new WeightsError(
      `weights: data must end at byte ${dataOffset + position}, file has ${fileByteLength} ` +
        `(${where}). Bytes behind the last tensor belong to nothing`,
    );
  }
  return infos;
}
