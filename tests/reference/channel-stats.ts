/** Per-channel statistics of strips of pixels, in double precision. */

/**
 * `x` is [batch, height, width, channels]; the pixels of the rectangle, row by row, are dealt into `partials`
 * runs, the longer ones first. Returns mean and M2 = Σ(x − mean)², each [batch, partials, channels].
 */
export function channelStats(
  x: ArrayLike<number>,
  shape: readonly [batch: number, height: number, width: number, channels: number],
  region: { readonly y0: number; readonly y1: number; readonly x0: number; readonly x1: number },
  partials: number,
): { readonly mean: Float64Array; readonly m2: Float64Array } {
  const [batch, height, width, channels] = shape;
  const pixels: number[] = [];
  for (let row = region.y0; row < region.y1; row++) {
    for (let column = region.x0; column < region.x1; column++) pixels.push(row * width + column);
  }
  const strips: number[][] = [];
  for (let rest = partials; rest > 0; rest--)
    strips.push(pixels.splice(0, Math.ceil(pixels.length / rest)));

  const images = Array.from({ length: batch }, (_, n) =>
    strips.map((strip) => strip.map((pixel) => n * height * width + pixel)),
  );
  return splitStats(x, images.flat(), channels);
}

/** The same of any lists of pixels of `x` [pixels, channels]. */
export function splitStats(
  x: ArrayLike<number>,
  partials: readonly (readonly number[])[],
  channels: number,
): { readonly mean: Float64Array; readonly m2: Float64Array } {
  const mean = new Float64Array(partials.length * channels);
  const m2 = new Float64Array(partials.length * channels);
  partials.forEach((pixels, split) => {
    for (let c = 0; c < channels; c++) {
      const values = pixels.map((pixel) => x[pixel * channels + c] as number);
      const average = values.reduce((sum, value) => sum + value, 0) / values.length;
      mean[split * channels + c] = average;
      m2[split * channels + c] = values.reduce((sum, value) => sum + (value - average) ** 2, 0);
    }
  });
  return { mean, m2 };
}

/** Statistics of the union of partials with so many pixels each: one mean and M2 for each channel. */
export function mergedStats(
  { mean, m2 }: { readonly mean: Float64Array; readonly m2: Float64Array },
  pixels: readonly number[],
  channels: number,
): { readonly mean: Float64Array; readonly m2: Float64Array } {
  const total = pixels.reduce((sum, count) => sum + count, 0);
  const average = Float64Array.from({ length: channels }, (_, c) =>
    pixels.reduce((sum, count, s) => sum + (count * (mean[s * channels + c] as number)) / total, 0),
  );
  const spread = average.map((value, c) =>
    pixels.reduce((sum, count, s) => {
      const at = s * channels + c;
      return sum + (m2[at] as number) + count * ((mean[at] as number) - value) ** 2;
    }, 0),
  );
  return { mean: average, m2: spread };
}
