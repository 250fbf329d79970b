/**
 * How a weight of conv2d or linear lies on the device: as floats (`pack-weight.ts`), or as integers with scales:
 *
 *   w[o, i, tap] = q[o, i, tap] · scale[o, ⌊i / B⌋, tap]      |q| ≤ 127 (int8) or 7 (int4), scale a half, B 32 or 64
 *
 * A packed weight is one buffer of 32-bit words, because devices have few bindings: first all integers, in the order of
 * `packWeight`, a quad of outputs in a word (int8, with offset 128) or in half a word (int4, with offset 8); then the
 * scales, a quad of halves for each block of B / 4 quads of input channels:
 *
 *   scales[(tap · KB + ⌊4kq / B⌋) · NQ + nq],   KB = ⌈I / B⌉
 *
 * q · scale has at most 19 bits and so is exact in f32: integers give the bits that their values as f32 weights give.
 */
import { quadCount } from "../../gpu/shape.ts";

/** Integers of a weight, and how many input channels of an output channel and tap share a scale: 32 where nothing is said. */
export type IntegerStorage = "int8" | "int8/64" | "int4" | "int4/64";

/** `float` is the storage of the activations. */
export type WeightStorage = "float" | IntegerStorage;

/** Bits of an integer. */
export const integerBits = (storage: IntegerStorage): 8 | 4 => (storage.startsWith("int8") ? 8 : 4);

/** Input channels of a block. A K step of any variant lies within one. */
export const blockChannels = (storage: IntegerStorage): 32 | 64 =>
  storage.endsWith("/64") ? 64 : 32;

/** The largest integer; the least is its negative. */
export const integerLimit = (storage: IntegerStorage): number =>
  2 ** (integerBits(storage) - 1) - 1;

/** Scales of an output channel and tap. */
export const blockCount = (inChannels: number, storage: IntegerStorage): number =>
  Math.ceil(inChannels / blockChannels(storage));

/** Words of a quad of scales. */
const SCALE_WORDS = 2;

/** Words of the integers of a block of 4 × 4 channels. */
export const blockWords = (storage: IntegerStorage): number => integerBits(storage) / 2;

/** Bytes of a packed weight with so many column quads. */
export function packedIntegerByteLength(
  storage: IntegerStorage,
  columnQuads: number,
  inChannels: number,
  taps: number,
): number {
  const words =
    quadCount(inChannels) * blockWords(storage) + blockCount(inChannels, storage) * SCALE_WORDS;
  return 4 * taps * columnQuads * words;
}
