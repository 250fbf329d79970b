/** Colours that files state and results cannot keep, converted to sRGB as browsers do. Pure arithmetic. */
import { colorChannels, highestLevel } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";

/** Light (0 … 1) of a stored value (0 … 1). */
export type Transfer = (value: number) => number;

/** Rows of a 3 × 3 matrix. */
export type Matrix = readonly [Vector, Vector, Vector];
type Vector = readonly [number, number, number];

/** sRGB's own transfer function. */
export const srgbToLinear: Transfer = (value) =>
  value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;

function linearToSrgb(light: number): number {
  return light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
}

/** RawImage in sRGB, of pixels whose values mean light by `transfer`, in primaries that `matrix` takes to sRGB's. */
export function toSrgb(image: RawImage, transfer: Transfer, matrix?: Matrix): RawImage {
  const { channels } = image;
  const most = highestLevel(image);
  const data = image.data.slice();
  const light = Float64Array.from({ length: most + 1 }, (_, value) => transfer(value / most));
  const store = (value: number) => Math.round(most * linearToSrgb(Math.min(1, Math.max(0, value))));
  if (matrix === undefined || colorChannels(image) === 1) {
    const stored = Uint16Array.from(light, store);
    for (let i = 0; i < data.length; i += channels) {
      for (let c = 0; c < colorChannels(image); c++) {
        data[i + c] = stored[data[i + c] as number] as number;
      }
    }
    return { ...image, data };
  }
  for (let i = 0; i < data.length; i += channels) {
    const r = light[data[i] as number] as number;
    const g = light[data[i + 1] as number] as number;
    const b = light[data[i + 2] as number] as number;
    for (const [c, [ofR, ofG, ofB]] of matrix.entries()) {
      data[i + c] = store(ofR * r + ofG * g + ofB * b);
    }
  }
  return { ...image, data };
}

/** RGB of CMYK that says nothing of its inks: each ink takes its part of the light, as in browsers. */
export function cmykToRgb(image: {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}): RawImage {
  const { width, height, channels, data } = image;
  const outChannels = channels > 4 ? 4 : 3; // alpha stands behind the inks
  const out = new Uint8Array(width * height * outChannels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = pixel * channels;
    const white = 255 - (data[from + 3] as number);
    for (let c = 0; c < 3; c++) {
      out[pixel * outChannels + c] = Math.round(((255 - (data[from + c] as number)) * white) / 255);
    }
    if (outChannels === 4) out[pixel * 4 + 3] = data[from + 4] as number;
  }
  return { width, height, channels: outChannels, data: out };
}

/** Chromaticities x, y. */
export type Chromaticity = readonly [x: number, y: number];

/** Of sRGB: white, red, green, blue. */
export const SRGB_PRIMARIES: readonly [Chromaticity, Chromaticity, Chromaticity, Chromaticity] = [
  [0.3127, 0.329],
  [0.64, 0.33],
  [0.3, 0.6],
  [0.15, 0.06],
];

/** Of Display P3, likewise. */
export const P3_PRIMARIES: typeof SRGB_PRIMARIES = [
  [0.3127, 0.329],
  [0.68, 0.32],
  [0.265, 0.69],
  [0.15, 0.06],
];

/** Bradford's cone responses of XYZ, by which white points are adapted. */
const BRADFORD: Matrix = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
];

/** From RGB of these primaries to that of sRGB, white staying white; undefined for primaries that span no triangle. */
export function primariesToSrgb(primaries: typeof SRGB_PRIMARIES): Matrix | undefined {
  const from = rgbToXyz(primaries);
  const back = inverse(rgbToXyz(SRGB_PRIMARIES) as Matrix);
  const cones = inverse(BRADFORD) as Matrix;
  if (from === undefined || back === undefined) return undefined;
  const source = times(BRADFORD, xyzOf(primaries[0]));
  const target = times(BRADFORD, xyzOf(SRGB_PRIMARIES[0]));
  const [l, m, s] = [0, 1, 2].map((i) => (target[i] as number) / (source[i] as number));
  const scale: Matrix = [
    [l ?? 1, 0, 0],
    [0, m ?? 1, 0],
    [0, 0, s ?? 1],
  ];
  const adapt = product(product(cones, scale), BRADFORD);
  const matrix = product(product(back, adapt), from);
  return matrix.flat().every(Number.isFinite) ? matrix : undefined;
}

const xyzOf = ([x, y]: Chromaticity): Vector => [x / y, 1, (1 - x - y) / y];

function rgbToXyz([white, ...primaries]: typeof SRGB_PRIMARIES): Matrix | undefined {
  const [r, g, b] = primaries.map(xyzOf) as [Vector, Vector, Vector];
  const columns: Matrix = [
    [r[0], g[0], b[0]],
    [r[1], g[1], b[1]],
    [r[2], g[2], b[2]],
  ];
  const inverted = inverse(columns);
  if (inverted === undefined) return undefined;
  const amounts = times(inverted, xyzOf(white));
  return columns.map((row) =>
    row.map((value, i) => value * (amounts[i] as number)),
  ) as unknown as Matrix;
}

function times(matrix: Matrix, [x, y, z]: Vector): Vector {
  const [r, g, b] = matrix.map((row) => row[0] * x + row[1] * y + row[2] * z);
  return [r ?? 0, g ?? 0, b ?? 0];
}

function product(a: Matrix, b: Matrix): Matrix {
  const column = (i: 0 | 1 | 2): Vector => [b[0][i], b[1][i], b[2][i]];
  const columns = ([0, 1, 2] as const).map((i) => times(a, column(i)));
  return [0, 1, 2].map((row) => columns.map((values) => values[row])) as unknown as Matrix;
}

function inverse([[a, b, c], [d, e, f], [g, h, i]]: Matrix): Matrix | undefined {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (Math.abs(determinant) < 1e-12 || !Number.isFinite(determinant)) return undefined;
  const k = 1 / determinant;
  return [
    [k * (e * i - f * h), k * (c * h - b * i), k * (b * f - c * e)],
    [k * (f * g - d * i), k * (a * i - c * g), k * (c * d - a * f)],
    [k * (d * h - e * g), k * (b * g - a * h), k * (a * e - b * d)],
  ];
}
