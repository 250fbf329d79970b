/** LayerNorm as its definition has it, in double precision: x is [rows, gamma.length]. */
export function layerNorm(
  x: ArrayLike<number>,
  eps: number,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
): Float64Array {
  const channels = gamma.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += channels) {
    const row = Array.from({ length: channels }, (_, c) => x[start + c] as number);
    const mean = row.reduce((sum, value) => sum + value, 0) / channels;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / channels;
    row.forEach((value, c) => {
      y[start + c] =
        ((value - mean) / Math.sqrt(variance + eps)) * (gamma[c] as number) + (beta[c] as number);
    });
  }
  return y;
}
