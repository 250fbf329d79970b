/** Where the parameters of graphs come from: tensors of checkpoints, read piece by piece. */
import { ShapeError } from "../../gpu/shape.ts";
import type { SourceDType } from "../../kernels/contraction/pack-weight.ts";

/** The bytes of a tensor in a checkpoint. */
export interface StoredBytes {
  /** Bytes of all of it. */
  readonly byteLength: number;
  /** Bytes `start … start + length − 1` of the tensor, row-major little-endian. */
  read(start: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/** A tensor of floats as it lies in a checkpoint. */
export interface SourceTensor extends StoredBytes {
  /** How it is stored. */
  readonly dtype: SourceDType;
  /** As in the checkpoint. */
  readonly shape: readonly number[];
}

/** A matrix of integers [O, I] or [O, I, kh, kw] as it lies in a checkpoint. */
export interface IntegerTensor {
  /** A byte a value; int4: two values of neighbouring input channels, with offset 8, the first in the lower half. */
  readonly values: StoredBytes;
  /** Halves [O, ⌈I / B⌉] or [O, ⌈I / B⌉, kh, kw], where B channels are a block. */
  readonly scales: StoredBytes;
}

/** A low-rank update W + scaling · B · A of a matrix, or, modulated, W + scaling · (B·Mᵀ) · A. */
export interface LoraUpdate {
  /** Rows of A and columns of B. */
  readonly rank: number;
  /** alpha / rank. */
  readonly scaling: number;
  /** [rank, in] or [rank, in, kh, kw]. */
  readonly a: SourceTensor;
  /** [out, rank] or [out, rank, 1, 1]. */
  readonly b: SourceTensor;
  /** Number of its rank × rank matrix M in `modulate`; absent for an update that never changes. */
  readonly block?: number;
}

/** Where graph parameters come from. Names are verbatim checkpoint names. */
export interface TensorSource {
  /** The tensor of that name. Throws where there is none. */
  tensor(name: string): SourceTensor;
  /** The update to merge into the matrix `name`, or null. */
  lora(name: string): LoraUpdate | null;
  /** The matrix of that name, whose weight has a `storage`. Absent: there are none. Throws where there is none. */
  integers?(name: string): IntegerTensor;
}

/** The integers and scales of a matrix. Throws where the source has none. */
export function integersOf(source: TensorSource, name: string): IntegerTensor {
  if (source.integers === undefined) {
    throw new ShapeError(`weights: the source must have integers (${name})`);
  }
  return source.integers(name);
}
