/**
 * Weights that are a pure function of their name, shape and a 32-bit variant, so that golden files of networks
 * with hundreds of millions of parameters stay small:
 *
 *   seed = FNV-1a(name) XOR variant;  h_i = murmur3's finaliser of seed + i·0x9E3779B9 (mod 2³²)
 *   v_i = base + amp·(h_i / 2³¹ − 1)  in doubles, rounded to f32 and then to f16
 *
 * `base` and `amp` follow from the name and the shape, see `recipeScale`.
 */
import { floatToHalfBits } from "../../gpu/dtype.ts";
import { elementCount } from "../../gpu/shape.ts";
import type { SourceTensor } from "../../graph/weights/device-weights.ts";

/** FNV-1a, 32 bits, of the UTF-8 bytes of `text`. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Factors on the amplitude that keep the activations of deep networks in a useful range; first match wins. */
const GAINS: readonly (readonly [suffix: string, gain: number])[] = [
  ["quant_conv.weight", 8],
  ["post_quant_conv.weight", 0.25],
  ["decoder.conv_out.weight", 0.5],
  ["attn2.to_out.0.weight", 2],
  ["image_proj.weight", 0.4],
  ["lora_B.weight", 0.25],
];

/** Whole path components only: `post_quant_conv.weight` does not end with `quant_conv.weight`. */
function endsWith(name: string, suffix: string): boolean {
  return name === suffix || name.endsWith(`.${suffix}`) || name.endsWith(`/${suffix}`);
}

/** Centre and amplitude of a tensor's values. */
export function recipeScale(
  name: string,
  shape: readonly number[],
): { readonly base: number; readonly amp: number } {
  if (endsWith(name, "bias")) return { base: 0, amp: 0.1 };
  if (endsWith(name, "class_embedding") || endsWith(name, "position_embedding.weight")) {
    return { base: 0, amp: 0.5 };
  }
  if (shape.length === 1) return { base: 1, amp: 0.1 };
  const gain = GAINS.find(([suffix]) => endsWith(name, suffix))?.[1] ?? 1;
  return { base: 0, amp: Math.sqrt(3 / elementCount(shape.slice(1))) * gain };
}

/** Bits of the f16 elements `first … first + count − 1` (row-major) of a recipe tensor. */
export function recipeHalves(
  name: string,
  shape: readonly number[],
  variant: number,
  first: number,
  count: number,
): Uint16Array<ArrayBuffer> {
  const { base, amp } = recipeScale(name, shape);
  const out = new Uint16Array(count);
  let x = ((fnv1a32(name) ^ variant) + Math.imul(first, 0x9e3779b9)) | 0;
  for (let i = 0; i < count; i++) {
    // Written out, no call: this loop makes 866 million values for the largest network.
    let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    out[i] = floatToHalfBits(base + amp * ((h >>> 0) / 2147483648 - 1));
    x = (x + 0x9e3779b9) | 0;
  }
  return out;
}

/** A recipe tensor that makes its values when they are read. `name` is the hashed name, prefix included. */
export function recipeTensor(
  name: string,
  shape: readonly number[],
  variant: number,
): SourceTensor {
  return {
    dtype: "F16",
    shape,
    byteLength: 2 * elementCount(shape),
    async read(start, length, signal) {
      signal?.throwIfAborted();
      const first = Math.floor(start / 2);
      const halves = recipeHalves(
        name,
        shape,
        variant,
        first,
        Math.ceil((start + length) / 2) - first,
      );
      return new Uint8Array(halves.buffer, start - 2 * first, length);
    },
  };
}
