/**
 * Matrices of integers in a file (`kernels/quantized/storage.ts` says what they mean). A matrix `N` [O, I, kh, kw] is
 *
 * - `N`, the integers: I8 [O, I, kh, kw], or for int4 U8 [O, ⌈I / 2⌉, kh, kw] with two values of offset 8 a byte, the
 *   even channel below;
 * - `N.scales`: F16 [O, ⌈I / B⌉, kh, kw], where B is the number of channels in a block.
 */
import type { Weight } from "../../graph/ir/ir.ts";
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";
import { blockCount, integerBits } from "../../kernels/quantized/storage.ts";
import type { ExpectedTensor } from "../../weights/index.ts";

/** Name of the scales of a matrix of integers. */
export const scalesName = (name: string): string => `${name}.scales`;

/** What a file holds of a matrix of integers. */
export interface IntegerTensors {
  readonly values: Required<Pick<ExpectedTensor, "dtype" | "shape">>;
  readonly scales: Required<Pick<ExpectedTensor, "dtype" | "shape">>;
}

export function integerTensors(shape: readonly number[], storage: IntegerStorage): IntegerTensors {
  const [outChannels = 1, inChannels = 1, ...kernel] = shape;
  const bytes = [outChannels, Math.ceil(inChannels / 2), ...kernel];
  return {
    values: integerBits(storage) === 8 ? { dtype: "I8", shape } : { dtype: "U8", shape: bytes },
    scales: { dtype: "F16", shape: [outChannels, blockCount(inChannels, storage), ...kernel] },
  };
}

/** The tensors that a file must hold for a parameter. */
export function expectedTensors({ name, shape, storage }: Weight): readonly ExpectedTensor[] {
  if (storage === undefined) return [{ name, shape }];
  const { values, scales } = integerTensors(shape, storage);
  return [
    { name, ...values },
    { name: scalesName(name), ...scales },
  ];
}
