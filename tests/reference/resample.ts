/** Separable resampling after Pillow and PyTorch, written per output pixel, without tables. */

export type Filter = "bicubic" | "lanczos" | "triangle";

const SUPPORT: Record<Filter, number> = { bicubic: 2, lanczos: 3, triangle: 1 };

function kernel(filter: Filter, x: number): number {
  const t = Math.abs(x);
  const sinc = (v: number) => (v === 0 ? 1 : Math.sin(Math.PI * v) / (Math.PI * v));
  if (filter === "triangle") return Math.max(0, 1 - t);
  if (filter === "lanczos") return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
  if (t < 2) return -0.5 * (t ** 3 - 5 * t ** 2 + 8 * t - 4);
  return 0;
}

/** First input and normalised weights of output `i` on an axis of length n resampled to o. */
export function windowOf(filter: Filter, n: number, o: number, i: number) {
  const scale = n / o;
  const stretch = Math.max(1, scale);
  const reach = SUPPORT[filter] * stretch;
  const centre = (i + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - reach + 0.5));
  const end = Math.min(n, Math.trunc(centre + reach + 0.5));
  const raw: number[] = [];
  for (let j = first; j < end; j++) raw.push(kernel(filter, (j - centre + 0.5) / stretch));
  const sum = raw.reduce((a, b) => a + b, 0);
  return { first, weights: raw.map((w) => w / sum) };
}

/** One axis of interleaved `channels`: integers (22 fractional bits, 8-bit result) or floats. */
function resampleAxis(
  src: ArrayLike<number>,
  [width, height, channels]: readonly [number, number, number],
  horizontal: boolean,
  o: number,
  filter: Filter,
  isInteger: boolean,
): number[] {
  const n = horizontal ? width : height;
  const [outWidth, outHeight] = horizontal ? [o, height] : [width, o];
  const out: number[] = [];
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      const { first, weights } = windowOf(filter, n, o, horizontal ? x : y);
      for (let c = 0; c < channels; c++) {
        let sum = isInteger ? 2 ** 21 : 0;
        weights.forEach((w, k) => {
          const row = horizontal ? y : first + k;
          const column = horizontal ? first + k : x;
          const value = src[(row * width + column) * channels + c] as number;
          sum += value * (isInteger ? Math.sign(w) * Math.floor(Math.abs(w) * 2 ** 22 + 0.5) : w);
        });
        out.push(isInteger ? Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22))) : sum);
      }
    }
  }
  return out;
}

/** Resizes interleaved values; "integer" is Pillow's 8-bit resize, else doubles throughout. */
export function resize(
  src: ArrayLike<number>,
  [width, height, channels]: readonly [number, number, number],
  [outWidth, outHeight]: readonly [number, number],
  filter: Filter,
  arithmetic: "integer" | "double",
): number[] {
  const isInteger = arithmetic === "integer";
  let image = Array.from(src);
  if (outWidth !== width) {
    image = resampleAxis(image, [width, height, channels], true, outWidth, filter, isInteger);
  }
  if (outHeight !== height) {
    image = resampleAxis(image, [outWidth, height, channels], false, outHeight, filter, isInteger);
  }
  return image;
}
