/** Element types, shapes and sizes of stored tensors. */
import { quoted, WeightsError } from "./errors.ts";

/**
 * Element types of safetensors in the rank order of the format, and their bytes per element.
 * Writers sort by descending rank. Behind them those that only torch.save writes.
 */
const DTYPE_BYTE_LENGTH = {
  BOOL: 1,
  F4: 0.5,
  F6_E2M3: 0.75,
  F6_E3M2: 0.75,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
  C128: 16,
  QI8: 1,
  QU8: 1,
  QI32: 4,
} as const;

type KnownDtype = keyof typeof DTYPE_BYTE_LENGTH;

/**
 * Element type of a stored tensor, spelled as in a safetensors header. Tensors of types that are not known may lie
 * beside those that are needed: they can be listed and read as bytes.
 */
export type TensorDtype = KnownDtype | `unknown ${string}`;

const DTYPES = Object.keys(DTYPE_BYTE_LENGTH) as readonly KnownDtype[];
const DTYPE_RANK: ReadonlyMap<string, number> = new Map(DTYPES.map((dtype, rank) => [dtype, rank]));

/** Where one tensor lies in its file. Elements are C-contiguous and little-endian. */
export interface TensorInfo {
  /** Name of the tensor. */
  readonly name: string;
  /** How elements are stored. */
  readonly dtype: TensorDtype;
  /** Sizes, slowest dimension first; `[]` is a scalar; a size may be 0. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file (not of the data buffer). May be unaligned. */
  readonly byteOffset: number;
  /** Bytes of its data. */
  readonly byteLength: number;
}

/** A tensor with its bytes: what writers and in-memory stores take. */
export interface TensorData {
  /** How elements are stored. */
  readonly dtype: TensorDtype;
  /** Sizes of its axes. */
  readonly shape: readonly number[];
  /** C-contiguous little-endian elements; any alignment. */
  readonly data: Uint8Array;
}

/** Whether a value is an integer ≥ 0 that a double holds exactly. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether `text` names an element type of a known size. */
export function isTensorDtype(text: string): text is KnownDtype {
  return DTYPE_RANK.has(text);
}

/** All readable element types, for messages. */
export function tensorDtypeList(): string {
  return DTYPES.join(", ");
}

/** Bytes of one element, which are a fraction for types below a byte; NaN for unknown types. */
export function elementByteLength(dtype: TensorDtype): number {
  return isTensorDtype(dtype) ? DTYPE_BYTE_LENGTH[dtype] : NaN;
}

/** Position of `dtype` in the order of the format; writers put the highest rank first. */
export function dtypeRank(dtype: TensorDtype): number {
  return DTYPE_RANK.get(dtype) ?? -1;
}

/**
 * Bytes of a tensor, or `null` when the element count or byte count passes 2^53 − 1 on the way from
 * left to right (a later 0 does not save a product that overflowed, as in the reference reader).
 */
export function tensorByteLength(dtype: TensorDtype, shape: readonly number[]): number | null {
  let elementCount = 1;
  for (const size of shape) {
    elementCount *= size;
    if (elementCount > Number.MAX_SAFE_INTEGER) return null;
  }
  const byteLength = elementCount * elementByteLength(dtype);
  return byteLength > Number.MAX_SAFE_INTEGER ? null : byteLength;
}

/** `[320, 4, 3, 3]`; very high ranks are cut. */
export function shapeText(shape: readonly number[]): string {
  const MAX_SIZES = 12;
  if (shape.length <= MAX_SIZES) return `[${shape.join(", ")}]`;
  return `[${shape.slice(0, MAX_SIZES).join(", ")}, … ${shape.length} sizes]`;
}

/**
 * Bytes of a tensor that a caller describes.
 * @throws WeightsError naming the tensor for an unknown dtype, or sizes that are no counts or too large
 */
export function checkedByteLength(
  name: string,
  dtype: TensorDtype,
  shape: readonly number[],
): number {
  if (!isTensorDtype(dtype)) {
    throw new WeightsError(
      `weights: unknown dtype ${quoted(dtype)} (tensor ${quoted(name)}). ` +
        `Use one of ${tensorDtypeList()}`,
    );
  }
  if (!shape.every(isCount)) {
    throw new WeightsError(
      `weights: sizes must be non-negative integers, got ${shapeText(shape)} ` +
        `(tensor ${quoted(name)})`,
    );
  }
  const byteLength = tensorByteLength(dtype, shape);
  if (byteLength !== null) return byteLength;
  throw new WeightsError(
    `weights: ${dtype} ${shapeText(shape)} takes more than 2^53 bytes (tensor ${quoted(name)})`,
  );
}

/**
 * Checks dtype, shape and byte count of a tensor that a caller hands in.
 * @throws WeightsError naming the tensor
 */
export function checkTensorData(name: string, { dtype, shape, data }: TensorData): void {
  const expected = checkedByteLength(name, dtype, shape);
  if (data.byteLength === expected) return;
  throw new WeightsError(
    `weights: ${dtype} ${shapeText(shape)} takes ${expected} bytes, ` +
      `got ${data.byteLength} (tensor ${quoted(name)})`,
  );
}

/**
 * Checks that `[byteStart, byteStart + byteLength)` lies inside a tensor; both count from its
 * start.
 * @throws WeightsError naming the tensor
 */
export function checkTensorRange(
  info: Pick<TensorInfo, "name" | "byteLength">,
  byteStart: number,
  byteLength: number,
): void {
  if ([byteStart, byteLength].every(isCount) && byteStart + byteLength <= info.byteLength) return;
  throw new WeightsError(
    `weights: range must lie inside the tensor, got bytes ${byteStart} + ${byteLength} of ` +
      `${info.byteLength} (tensor ${quoted(info.name)})`,
  );
}
