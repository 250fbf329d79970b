/** GroupNorm as its definition has it, in double precision. */

/** Mean and biased variance of each (image, group) of x [batch, pixels, channels]. */
export function groupStatistics(
  x: ArrayLike<number>,
  batch: number,
  pixels: number,
  channels: number,
  numGroups: number,
): { readonly mean: Float64Array; readonly variance: Float64Array } {
  const mean = new Float64Array(batch * numGroups);
  const variance = new Float64Array(batch * numGroups);
  const size = channels / numGroups;
  for (let n = 0; n < batch; n++) {
    for (let group = 0; group < numGroups; group++) {
      const values: number[] = [];
      for (let pixel = 0; pixel < pixels; pixel++) {
        for (let c = group * size; c < (group + 1) * size; c++) {
          values.push(x[(n * pixels + pixel) * channels + c] as number);
        }
      }
      const average = values.reduce((sum, value) => sum + value, 0) / values.length;
      mean[n * numGroups + group] = average;
      variance[n * numGroups + group] =
        values.reduce((sum, value) => sum + (value - average) ** 2, 0) / values.length;
    }
  }
  return { mean, variance };
}

/** x [batch, pixels, channels] normalised, scaled and shifted; no activation. */
export function groupNorm(
  x: ArrayLike<number>,
  batch: number,
  pixels: number,
  numGroups: number,
  eps: number,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
): Float64Array {
  const channels = gamma.length;
  const { mean, variance } = groupStatistics(x, batch, pixels, channels, numGroups);
  return Float64Array.from({ length: batch * pixels * channels }, (_, i) => {
    const c = i % channels;
    const n = Math.floor(i / (pixels * channels));
    const group = n * numGroups + Math.floor(c / (channels / numGroups));
    const normal =
      ((x[i] as number) - (mean[group] as number)) / Math.sqrt((variance[group] as number) + eps);
    return normal * (gamma[c] as number) + (beta[c] as number);
  });
}

/** Scale and shift of every channel, as `groupNormAffine` lays them out for one image: all scales, all shifts, zeros in the padding. */
export function affineTable(
  mean: Float64Array,
  variance: Float64Array,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  numGroups: number,
  eps: number,
): Float64Array {
  const channels = gamma.length;
  const stride = Math.ceil(channels / 4) * 4;
  const table = new Float64Array(2 * stride);
  for (let c = 0; c < channels; c++) {
    const group = Math.floor(c / (channels / numGroups));
    const scale = (gamma[c] as number) / Math.sqrt((variance[group] as number) + eps);
    table[c] = scale;
    table[stride + c] = (beta[c] as number) - (mean[group] as number) * scale;
  }
  return table;
}
