/**
 * Tensors as torch.save describes them: a window on a storage. Element (i, j, …) is element
 * `offset + i·stride[0] + j·stride[1] + …` of the storage, so transposed tensors, views and several
 * tensors on one storage need no copy in the file, and are put in order when they are read.
 */
import { quoted, WeightsError } from "../errors.ts";
import { allocateBytes } from "../sources/source.ts";
import { elementByteLength, shapeText, tensorByteLength } from "../tensor-info.ts";
import type { TensorDtype } from "../tensor-info.ts";

/** Elements that lie one after another in the file. */
export interface TorchStorage {
  /** What it is. */
  readonly kind: "storage";
  /** Its name in the file. */
  readonly key: string;
  /** How elements are stored. */
  readonly dtype: TensorDtype;
  /** Number of elements. */
  readonly elementCount: number;
}

/** A tensor in a file; its bytes are read when they are used. */
export interface TorchTensor {
  /** What it is. */
  readonly kind: "tensor";
  /** How elements are stored. */
  readonly dtype: TensorDtype;
  /** Sizes, slowest dimension first; `[]` is a scalar; a size may be 0. */
  readonly shape: readonly number[];
  /** Distance of neighbours along each dimension, in elements of the storage. */
  readonly stride: readonly number[];
  /** Element of the storage that the tensor begins with. */
  readonly offset: number;
  /** Bytes of all elements, each counted once per place in the tensor. */
  readonly byteLength: number;
  /** Where its elements lie. */
  readonly storage: TorchStorage;
}

/** Most dimensions of a tensor, as in torch. */
const MAX_DIMENSIONS = 64;

/**
 * A tensor whose every element is inside its storage. The caller has checked that all numbers are integers ≥ 0, and
 * gives a `dtype` only for a storage of bytes.
 * @param maxByteLength bound for tensors that repeat elements (stride 0): they may be any size
 * @throws WeightsError with what does not fit; `where` names the file
 */
export function torchTensor(
  storage: TorchStorage,
  offset: number,
  shape: readonly number[],
  stride: readonly number[],
  maxByteLength: number,
  where: string,
  dtype = storage.dtype,
): TorchTensor {
  const { key } = storage;
  const storedBytes = storage.elementCount * elementByteLength(storage.dtype);
  const elementCount = Math.floor(storedBytes / elementByteLength(dtype));
  const refuse = (rule: string, got: string): WeightsError =>
    new WeightsError(`weights: ${rule}, got ${got} (storage ${quoted(key)} of ${where})`);
  if (shape.length !== stride.length || shape.length > MAX_DIMENSIONS) {
    throw refuse(
      `a tensor must have one stride per size and up to ${MAX_DIMENSIONS} of them`,
      `${shape.length} sizes and ${stride.length} strides`,
    );
  }
  const isEmpty = shape.includes(0);
  // Rounding is no danger: sums of positive terms beyond 2^53 stay beyond every element count.
  const last = isEmpty
    ? offset - 1
    : shape.reduce((sum, size, d) => sum + (size - 1) * (stride[d] as number), offset);
  if (last >= elementCount) {
    throw refuse(
      `a tensor must lie inside its storage of ${elementCount} elements`,
      `element ${last} for shape ${shapeText(shape)}, strides ${shapeText(stride)}, ` +
        `offset ${offset}`,
    );
  }
  const byteLength = isEmpty ? 0 : (tensorByteLength(dtype, shape) ?? Infinity);
  if (byteLength > maxByteLength) {
    throw refuse(
      `a tensor may not be larger than its file of ${maxByteLength} bytes`,
      `${byteLength} bytes for shape ${shapeText(shape)}, strides ${shapeText(stride)}`,
    );
  }
  return { kind: "tensor", dtype, shape, stride, offset, byteLength, storage };
}

/** Reads bytes of a storage, counted from its first. */
export type ReadStorage = (byteStart: number, byteLength: number) => Promise<Uint8Array>;

/**
 * Bytes `[byteStart, byteStart + byteLength)` of a tensor, C-contiguous and little-endian; the
 * caller has checked the range. A contiguous little-endian tensor is passed on as it comes; of
 * others the storage is read at once from the range's first element to its last.
 */
export async function readTorchTensor(
  tensor: TorchTensor,
  byteStart: number,
  byteLength: number,
  isLittleEndian: boolean,
  read: ReadStorage,
): Promise<Uint8Array> {
  const size = elementByteLength(tensor.dtype);
  const isInOrder = isContiguous(tensor);
  if (isInOrder && isLittleEndian) return read(tensor.offset * size + byteStart, byteLength);
  if (byteLength === 0) return new Uint8Array(0);
  // Whole elements, as they may have to be turned around.
  const first = Math.floor(byteStart / size);
  const count = Math.ceil((byteStart + byteLength) / size) - first;
  const elements = isInOrder
    ? (await read((tensor.offset + first) * size, count * size)).slice()
    : await gather(tensor, first, count, read);
  if (!isLittleEndian) reverseElements(elements, size);
  const skipped = byteStart - first * size;
  return elements.subarray(skipped, skipped + byteLength);
}

/** Whether elements follow each other in the storage. A stride counts only where there are steps. */
function isContiguous({ shape, stride }: TorchTensor): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    const size = shape[d] as number;
    if (size !== 1 && stride[d] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** A fresh copy of `count` elements from the `first` on, in the tensor's order. */
async function gather(
  tensor: TorchTensor,
  first: number,
  count: number,
  read: ReadStorage,
): Promise<Uint8Array<ArrayBuffer>> {
  const size = elementByteLength(tensor.dtype);
  let low = Infinity;
  let high = 0;
  forEachPlace(tensor, first, count, (place) => {
    low = Math.min(low, place);
    high = Math.max(high, place);
  });
  const bytes = await read(low * size, (high - low + 1) * size);
  const gathered = allocateBytes(count * size, tensor.storage.key);
  let to = 0;
  forEachPlace(tensor, first, count, (place) => {
    const from = (place - low) * size;
    for (let b = 0; b < size; b++) gathered[to++] = bytes[from + b] as number;
  });
  return gathered;
}

/** Visits the storage's element for each of `count` elements, counting indices up like digits. */
function forEachPlace(
  { shape, stride, offset }: TorchTensor,
  first: number,
  count: number,
  visit: (place: number) => void,
): void {
  const digits = shape.map(() => 0);
  let place = offset;
  let rest = first;
  for (let d = shape.length - 1; d >= 0; d--) {
    const size = shape[d] as number;
    digits[d] = rest % size;
    place += (rest % size) * (stride[d] as number);
    rest = Math.floor(rest / size);
  }
  for (let i = 0; i < count; i++) {
    visit(place);
    for (let d = shape.length - 1; d >= 0; d--) {
      const digit = (digits[d] as number) + 1;
      place += stride[d] as number;
      if (digit < (shape[d] as number)) {
        digits[d] = digit;
        break;
      }
      digits[d] = 0;
      place -= digit * (stride[d] as number);
    }
  }
}

/** Turns the bytes of every element around, in place. */
function reverseElements(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.byteLength; at += size) {
    for (let low = at, high = at + size - 1; low < high; low++, high--) {
      const byte = bytes[low] as number;
      bytes[low] = bytes[high] as number;
      bytes[high] = byte;
    }
  }
}
