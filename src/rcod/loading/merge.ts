/**
 * Merged parameters on the host, as `packWeight` makes them on a device: the same operations in f32 in the same
 * order, W + (alpha / rank) · Σ_k B[o, k] · A[k, p], rounded once.
 */
import type { Weight } from "../../graph/ir/ir.ts";
import type { LoraUpdate, SourceTensor, TensorSource } from "../../graph/weights/device-weights.ts";
import { elementByteLength, toFloat32 } from "../../weights/index.ts";

/** Most elements of a piece: 8 MiB as f32. Memory does not grow with the tensor. */
export const PIECE_ELEMENTS = 2 ** 21;

/** The values of a parameter, row-major, piece by piece of `pieceElements`. */
export async function* mergedPieces(
  source: TensorSource,
  { name, shape }: Weight,
  signal?: AbortSignal,
  pieceElements = PIECE_ELEMENTS,
): AsyncGenerator<Float32Array> {
  const tensor = source.tensor(name);
  const lora = source.lora(name);
  const elementBytes = elementByteLength(tensor.dtype);
  const rowLength = shape.slice(1).reduce((product, size) => product * size, 1);
  const update = lora && (await readFactors(lora, name, rowLength, signal));
  const count = tensor.byteLength / elementBytes;
  for (let first = 0; first < count; first += pieceElements) {
    const length = Math.min(pieceElements, count - first);
    const values = await readFloats(tensor, name, first, length, signal);
    update?.(values, first);
    yield values;
  }
}

/** Reads both factors and gives what adds their product to the elements from `first` on. */
async function readFactors(
  lora: LoraUpdate,
  name: string,
  rowLength: number,
  signal?: AbortSignal,
): Promise<(values: Float32Array, first: number) => void> {
  const { rank } = lora;
  const read = (factor: SourceTensor): Promise<Float32Array> =>
    readFloats(factor, name, 0, factor.byteLength / elementByteLength(factor.dtype), signal);
  const a = await read(lora.a); // [rank, rowLength], whatever the kernel's shape
  const b = await read(lora.b); // [out, rank]
  const scaling = Math.fround(lora.scaling);
  return (values, first) => {
    let row = Math.floor(first / rowLength);
    let column = first - row * rowLength;
    for (let i = 0; i < values.length; i++) {
      let delta = 0;
      for (let k = 0; k < rank; k++) {
        const product = (b[row * rank + k] as number) * (a[k * rowLength + column] as number);
        delta = Math.fround(delta + Math.fround(product));
      }
      values[i] = (values[i] as number) + Math.fround(scaling * delta);
      column++;
      if (column < rowLength) continue;
      column = 0;
      row++;
    }
  };
}

/** Elements of a tensor as floats of our own, which may be written to. */
async function readFloats(
  tensor: SourceTensor,
  name: string,
  first: number,
  count: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { dtype } = tensor;
  const elementBytes = elementByteLength(dtype);
  const bytes = await tensor.read(first * elementBytes, count * elementBytes, signal);
  // F32 would share the memory of the source.
  return toFloat32({ name, dtype }, dtype === "F32" ? bytes.slice() : bytes);
}
