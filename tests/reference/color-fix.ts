/** AdaIN and wavelet colour fixes in doubles, on interleaved RGB levels 0 … 255; results not rounded. */

/** Mean and unbiased variance of channel c. */
function statistics(image: ArrayLike<number>, c: number) {
  const pixels = image.length / 3;
  let mean = 0;
  for (let i = 0; i < pixels; i++) mean += (image[i * 3 + c] as number) / pixels;
  let squares = 0;
  for (let i = 0; i < pixels; i++) squares += ((image[i * 3 + c] as number) - mean) ** 2;
  return { mean, variance: pixels > 1 ? squares / (pixels - 1) : 0 };
}

export function channelStatistics(image: ArrayLike<number>) {
  return [0, 1, 2].map((c) => statistics(image, c));
}

export function adain(source: ArrayLike<number>, decoded: ArrayLike<number>): number[] {
  const eps = 1e-5 * 255 ** 2;
  const s = channelStatistics(source);
  const d = channelStatistics(decoded);
  return Array.from(decoded, (p, i) => {
    const from = d[i % 3] as (typeof d)[number];
    const to = s[i % 3] as (typeof s)[number];
    return (
      ((p - from.mean) / Math.sqrt(from.variance + eps)) * Math.sqrt(to.variance + eps) + to.mean
    );
  });
}

function blur(image: number[], width: number, height: number, dilation: number): number[] {
  const inside = (v: number, size: number) => Math.min(Math.max(v, 0), size - 1);
  return image.map((_, i) => {
    const c = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    let sum = 0;
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        const row = inside(y + dy * dilation, height);
        const column = inside(x + dx * dilation, width);
        const weight = ((2 - Math.abs(dx)) * (2 - Math.abs(dy))) / 16;
        sum += weight * (image[(row * width + column) * 3 + c] as number);
      }
    }
    return sum;
  });
}

export function wavelet(
  source: ArrayLike<number>,
  decoded: ArrayLike<number>,
  width: number,
  height: number,
): number[] {
  const low = (image: ArrayLike<number>) =>
    [1, 2, 4, 8, 16].reduce((level, d) => blur(level, width, height, d), Array.from(image));
  const lowSource = low(source);
  const lowDecoded = low(decoded);
  return Array.from(decoded, (p, i) => p - (lowDecoded[i] as number) + (lowSource[i] as number));
}

/** A level of an unrounded value. */
export function toLevel(value: number, rounding: "truncate" | "nearest"): number {
  const clamped = Math.min(255, Math.max(0, value));
  return Math.floor(clamped + (rounding === "nearest" ? 0.5 : 0));
}
