/** Where one token of an attention layer looks, from its captured queries and keys. */
import { ShapeError } from "../../gpu/shape.ts";
import type { Capture } from "../settings/options.ts";

/**
 * softmax(q·kᵀ/√headDim) of one query in doubles: one probability per key, the mean over the heads, or of `head`
 * alone. For self-attention the keys are the pixels of the layer's map, row by row; for cross-attention the visual
 * tokens, of which the first stands for the whole picture.
 * `q` and `k` are captures `<path>.q` and `<path>.k` of one attention module.
 * @throws ShapeError for captures that do not belong together, or a query or head that is not there
 */
export function attentionMap(
  q: Capture,
  k: Capture,
  query: number,
  head?: number,
): Float64Array<ArrayBuffer> {
  const [, queries = 0, channels = 0] = q.shape;
  const [, keys = 0, keyChannels] = k.shape;
  const { numHeads } = q;
  if (numHeads === undefined || numHeads !== k.numHeads || channels !== keyChannels) {
    throw new ShapeError(
      `attentionMap: needs the captures ".q" and ".k" of one attention module, got [${q.shape}] and [${k.shape}]`,
    );
  }
  for (const [name, value, count] of [
    ["query", query, queries],
    ["head", head ?? 0, numHeads],
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value >= count) {
      throw new ShapeError(`attentionMap: ${name} must be in 0 … ${count - 1}, got ${value}`);
    }
  }
  const heads = head === undefined ? Array.from({ length: numHeads }, (_, h) => h) : [head];
  const headDim = channels / numHeads;
  const map = new Float64Array(keys);
  for (const h of heads) {
    const start = query * channels + h * headDim;
    const logits = Float64Array.from({ length: keys }, (_, key) => {
      let sum = 0;
      for (let c = 0; c < headDim; c++)
        sum += (q.data[start + c] as number) * (k.data[key * channels + h * headDim + c] as number);
      return sum / Math.sqrt(headDim);
    });
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const weights = logits.map((logit) => Math.exp(logit - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, key) => {
      map[key] = (map[key] as number) + weight / total / heads.length;
    });
  }
  return map;
}
