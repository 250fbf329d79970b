/**
 * Window and weight tables of separable resampling along one axis, Pillow's construction, in doubles.
 *
 * Output i of an axis n → o: scale = n/o, stretch = max(scale, 1), centre = (i + 0.5)·scale; the window is
 * every j in [int(centre − S + 0.5), int(centre + S + 0.5)) ∩ [0, n) with S = support·stretch; the weights
 * f((j − centre + 0.5)/stretch) are divided by their sum. `bicubic` (a = −0.5) and `lanczos` (3 lobes) are
 * quantised for the 8-bit resize; `triangle` is PyTorch's antialiased bilinear in floats.
 *
 * In the tables all windows have the same length, padded with zero weights. All lie inside the axis: the last ones are
 * moved left instead of cut, so that kernels need no clamp.
 */
import { ShapeError } from "../../gpu/shape.ts";

export type PillowFilter = "bicubic" | "lanczos";
export type ResampleFilter = PillowFilter | "triangle";

/**
 * Part of an axis that is resampled from `wholeIn` to `wholeOut` pixels: the outputs from `outFrom` on, of inputs of which those
 * from `inFrom` on are there. Weights are those of the whole axis, so parts fit together.
 */
export interface AxisPart {
  readonly wholeIn: number;
  readonly wholeOut: number;
  readonly inFrom: number;
  readonly outFrom: number;
  readonly outSize: number;
}

/** `weights[i * taps + k]` belongs to input `starts[i] + k`; `starts[i] + taps ≤ inSize`. */
export interface ResampleTable<W extends Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>> {
  readonly taps: number;
  readonly starts: Int32Array<ArrayBuffer>;
  readonly weights: W;
}

/** The table of `count` outputs from output `from` on. */
export function tablePart<W extends Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>>(
  { taps, starts, weights }: ResampleTable<W>,
  from: number,
  count: number,
): ResampleTable<W> {
  const end = from + count;
  const part = weights.slice(from * taps, end * taps) as W;
  return { taps, starts: starts.slice(from, end), weights: part };
}

/** Fractional bits of the quantised weights. 255·Σ|w|·2²² stays below 2³¹ for both filters (Σ|w| < 1.9). */
export const WEIGHT_BITS = 22;

const FILTERS: Readonly<Record<ResampleFilter, { support: number; at: (x: number) => number }>> = {
  bicubic: { support: 2, at: bicubic },
  lanczos: { support: 3, at: lanczos },
  triangle: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
};

function bicubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function lanczos(x: number): number {
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** All of an axis. */
export const wholeAxis = (wholeIn: number, wholeOut: number): AxisPart => ({
  wholeIn,
  wholeOut,
  inFrom: 0,
  outFrom: 0,
  outSize: wholeOut,
});

/** The inputs that a part reads, from `start` to before `end` on the whole axis; of an axis that keeps its size the part itself. */
export function inputsOf(
  { wholeIn, wholeOut, outFrom, outSize }: Omit<AxisPart, "inFrom">,
  filter: ResampleFilter,
): { readonly start: number; readonly end: number } {
  const last = outFrom + outSize - 1;
  if (wholeIn === wholeOut) return { start: outFrom, end: last + 1 };
  const windowOf = windows(wholeIn, wholeOut, filter);
  return { start: windowOf(outFrom).low, end: windowOf(last).high };
}

/** Weights as integers with 22 fractional bits, rounded half away from zero: Pillow's 8-bit resize. */
export const quantisedTable = (
  inSize: number,
  outSize: number,
  filter: PillowFilter,
): ResampleTable<Int32Array<ArrayBuffer>> =>
  quantisedPart(wholeAxis(inSize, outSize), inSize, filter);

/** The same for a part of an axis, of which `inSize` inputs are there. */
export function quantisedPart(
  part: AxisPart,
  inSize: number,
  filter: PillowFilter,
): ResampleTable<Int32Array<ArrayBuffer>> {
  const { taps, starts, weights } = exactTable(part, inSize, filter);
  const one = 2 ** WEIGHT_BITS;
  const quantised = Int32Array.from(weights, (w) => Math.trunc(w * one + (w < 0 ? -0.5 : 0.5)));
  return { taps, starts, weights: quantised };
}

/** Normalised weights in floats. */
export const floatTable = (
  inSize: number,
  outSize: number,
  filter: ResampleFilter,
): ResampleTable<Float32Array<ArrayBuffer>> =>
  floatPart(wholeAxis(inSize, outSize), inSize, filter);

/** The same for a part of an axis, of which `inSize` inputs are there. */
export function floatPart(
  part: AxisPart,
  inSize: number,
  filter: ResampleFilter,
): ResampleTable<Float32Array<ArrayBuffer>> {
  const { taps, starts, weights } = exactTable(part, inSize, filter);
  return { taps, starts, weights: Float32Array.from(weights) };
}

/** Antialiased bilinear; plain half-pixel bilinear when enlarging. */
export const triangleTable = (
  inSize: number,
  outSize: number,
): ResampleTable<Float32Array<ArrayBuffer>> => floatTable(inSize, outSize, "triangle");

/** `table` continued to `outSize` outputs that repeat its last one. */
export const repeatedTable = (
  table: ResampleTable<Float32Array<ArrayBuffer>>,
  outSize: number,
): ResampleTable<Float32Array<ArrayBuffer>> =>
  continuedTable(table, outSize, (i) => Math.min(i, table.starts.length - 1));

/**
 * `table` continued to `outSize` outputs by reflection about its last output (PyTorch's "reflect" padding). Where the
 * padding is as long as the axis or longer, it goes on by reflection about the first. The starts no longer rise
 * throughout.
 */
export function reflectedTable(
  table: ResampleTable<Float32Array<ArrayBuffer>>,
  outSize: number,
): ResampleTable<Float32Array<ArrayBuffer>> {
  const period = Math.max(1, 2 * table.starts.length - 2);
  return continuedTable(table, outSize, (i) => Math.min(i % period, period - (i % period)));
}

/** A table of `outSize` outputs, of which output `i` is output `fromOf(i)` of `table`. */
function continuedTable(
  { taps, starts, weights }: ResampleTable<Float32Array<ArrayBuffer>>,
  outSize: number,
  fromOf: (i: number) => number,
): ResampleTable<Float32Array<ArrayBuffer>> {
  const out = { taps, starts: new Int32Array(outSize), weights: new Float32Array(outSize * taps) };
  for (let i = 0; i < outSize; i++) {
    const from = fromOf(i);
    out.starts[i] = starts[from] as number;
    out.weights.set(weights.subarray(from * taps, (from + 1) * taps), i * taps);
  }
  return out;
}

/** The window of an output: the inputs from `low` to before `high` around `centre`, cut at the axis' ends. */
function windows(inSize: number, outSize: number, filter: ResampleFilter) {
  const scale = inSize / outSize;
  const reach = FILTERS[filter].support * Math.max(scale, 1);
  return (output: number) => {
    const centre = (output + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    return { centre, low, high: Math.min(inSize, Math.trunc(centre + reach + 0.5)) };
  };
}

function exactTable(
  { wholeIn, wholeOut, inFrom, outFrom, outSize }: AxisPart,
  inSize: number,
  filter: ResampleFilter,
) {
  for (const [name, size] of Object.entries({ inSize: wholeIn, outSize: wholeOut })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new ShapeError(`resample: ${name} must be an integer ≥ 1, got ${size}`);
    }
  }
  const windowOf = windows(wholeIn, wholeOut, filter);
  const parts = Array.from({ length: outSize }, (_, i) => windowOf(outFrom + i));
  const taps = parts.reduce((most, { low, high }) => Math.max(most, high - low), 1);
  const starts = Int32Array.from(parts, ({ low }) => Math.min(low - inFrom, inSize - taps));
  const weights = new Float64Array(outSize * taps);
  // As Pillow: multiplied by the reciprocal, which differs from a division in the last bit.
  const shrink = 1 / Math.max(wholeIn / wholeOut, 1);
  parts.forEach(({ centre, low, high }, i) => {
    const base = i * taps + low - inFrom - (starts[i] as number);
    if (low < inFrom || high > inFrom + inSize) {
      throw new Error(`internal: output ${outFrom + i} reads inputs ${low} … ${high - 1}`);
    }
    let sum = 0;
    for (let k = 0; k < high - low; k++) {
      const weight = FILTERS[filter].at((low + k - centre + 0.5) * shrink);
      weights[base + k] = weight;
      sum += weight;
    }
    if (sum === 0) return;
    for (let k = 0; k < high - low; k++) weights[base + k] = (weights[base + k] as number) / sum;
  });
  return { taps, starts, weights };
}
