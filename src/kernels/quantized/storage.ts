/**
 * How a weight of conv2d or linear lies on the device: as floats (`pack-weight.ts`), or as integers with scales:
 *
 *   w[o, i, tap] = q[o, i, tap] · scale[o, ⌊i / 32⌋, tap]      |q| ≤ 127 (int8) or 7 (int4), scale a half
 *
 * A packed weight is one buffer of 32-bit words, because devices have few bindings: first all integers, in the order of
 * `packWeight`, a quad of outputs in a word (int8, with offset 128) or in half a word (int4, with offset 8); then the
 * scales, a quad of halves for each block of eight quads of input channels:
 *
 *   scales[(tap · KB + ⌊kq / 8⌋) · NQ + nq],   KB = ⌈KQ / 8⌉
 *
 * q · scale has at most 19 bits and so is exact in f32: integers give the bits that their values as f32 weights give.
 */
import { quadCount } from "../../gpu/shape.ts";

/** Integers of a weight. */
export type IntegerStorage = "int8" | "int4";

/** `float` is the storage of the activations. */
export type WeightStorage = "float" | IntegerStorage;

/** Input channels of an output channel and tap that share a scale. */
export const BLOCK_CHANNELS = 32;
/** The same in quads, as a number of bits to shift by. */
export const BLOCK_QUAD_BITS = 3;

/** Bits of an integer. */
export const INTEGER_BITS: Readonly<Record<IntegerStorage, 8 | 4>> = { int8: 8, int4: 4 };

/** The largest integer; the least is its negative. */
export const integerLimit = (storage: IntegerStorage): number =>
  2 ** (INTEGER_BITS[storage] - 1) - 1;

/** Scales of an output channel and tap. */
export const blockCount = (inChannels: number): number => Math.ceil(inChannels / BLOCK_CHANNELS);

/** Words of a quad of scales. */
const SCALE_WORDS = 2;

/** Words of the integers of a block of 4 × 4 channels. */
export const blockWords = (storage: IntegerStorage): number => INTEGER_BITS[storage] / 2;

/** Bytes of a packed weight with so many column quads. */
export function packedIntegerByteLength(
  storage: IntegerStorage,
  columnQuads: number,
  inChannels: number,
  taps: number,
): number {
  const words = quadCount(inChannels) * blockWords(storage) + blockCount(inChannels) * SCALE_WORDS;
  return 4 * taps * columnQuads * words;
}
