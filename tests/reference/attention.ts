/** Softmax attention in double precision: one query of one head at a time, exactly as the formula reads. */

export interface AttentionSizes {
  readonly batch: number;
  readonly queryTokens: number;
  readonly keyTokens: number;
  readonly numHeads: number;
  readonly headDim: number;
}

/** q [B, Tq, H·d], k and v [B, Tk, H·d] → y [B, Tq, H·d]. */
export function attention(
  { batch, queryTokens, keyTokens, numHeads, headDim }: AttentionSizes,
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  scale: number,
): Float64Array {
  const channels = numHeads * headDim;
  const y = new Float64Array(batch * queryTokens * channels);
  const weights = new Float64Array(keyTokens);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < numHeads; head++) {
      for (let i = 0; i < queryTokens; i++) {
        const row = (b * queryTokens + i) * channels + head * headDim;
        const keyRow = (j: number) => (b * keyTokens + j) * channels + head * headDim;
        let highest = -Infinity;
        for (let j = 0; j < keyTokens; j++) {
          let score = 0;
          const start = keyRow(j);
          for (let c = 0; c < headDim; c++) {
            score += (q[row + c] as number) * (k[start + c] as number);
          }
          weights[j] = score * scale;
          highest = Math.max(highest, score * scale);
        }
        let sum = 0;
        for (let j = 0; j < keyTokens; j++) {
          weights[j] = Math.exp((weights[j] as number) - highest);
          sum += weights[j] as number;
        }
        for (let j = 0; j < keyTokens; j++) {
          const weight = (weights[j] as number) / sum;
          const start = keyRow(j);
          for (let c = 0; c < headDim; c++) {
            (y[row + c] as number) += weight * (v[start + c] as number);
          }
        }
      }
    }
  }
  return y;
}
