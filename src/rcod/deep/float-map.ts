/** Maps of floats on the host: what pictures of 16 bits a channel go through, so that nothing rounds them to 8. */
import type { AxisPart, ResampleTable } from "../../kernels/image/resample-weights.ts";
import { floatPart } from "../../kernels/image/resample-weights.ts";
import type { Rectangle, ReduceStep } from "../images/geometry.ts";

/** Values [height, width, channels], row-major. */
export interface FloatMap {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Float32Array<ArrayBuffer>;
}

/** Windows and weights of an axis. */
export type Table = ResampleTable<Float32Array<ArrayBuffer>>;
/** The lowest and the highest value. */
type Range = readonly [lowest: number, highest: number];

/** A map resampled along both axes, and kept within `lowest` … `highest` after each, as 8-bit resizes are. */
export function resampleMap(map: FloatMap, across: Table, down: Table, range: Range): FloatMap {
  return resampleDown(resampleAcross(map, across, range), down, range);
}

/** A map resampled along its rows, and kept within a range. */
export function resampleAcross(
  { width: inWidth, height, channels, data }: FloatMap,
  { taps, starts, weights }: Table,
  [lowest, highest]: Range,
): FloatMap {
  const width = starts.length;
  const out = new Float32Array(width * height * channels);
  // Three sums at once, for one waits for itself after every tap.
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const first = (y * inWidth + (starts[x] as number)) * channels;
      const at = (y * width + x) * channels;
      for (let c = 0; c < channels; c += 3) {
        const second = Math.min(1, channels - 1 - c);
        const third = Math.min(2, channels - 1 - c);
        let [sum, sum2, sum3] = [0, 0, 0];
        for (let k = x * taps, from = first + c; k < (x + 1) * taps; k++, from += channels) {
          const weight = weights[k] as number;
          sum += weight * (data[from] as number);
          sum2 += weight * (data[from + second] as number);
          sum3 += weight * (data[from + third] as number);
        }
        out[at + c] = sum;
        if (c + 1 < channels) out[at + c + 1] = sum2;
        if (c + 2 < channels) out[at + c + 2] = sum3;
      }
    }
  }
  for (let i = 0; i < out.length; i++)
    out[i] = Math.min(Math.max(out[i] as number, lowest), highest);
  return { width, height, channels, data: out };
}

/** The same down, whole rows at a time, which lie together in memory, four of them for each sum. */
export function resampleDown(
  { width, channels, data }: FloatMap,
  { taps, starts, weights }: Table,
  [lowest, highest]: Range,
): FloatMap {
  const height = starts.length;
  const length = width * channels;
  const out = new Float32Array(length * height);
  const sums = new Float64Array(length);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let k = 0; k < taps; k += 4) {
      const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = weights.subarray(y * taps + k, (y + 1) * taps);
      const first = ((starts[y] as number) + k) * length;
      const last = taps - 1 - k;
      const [o1, o2] = [Math.min(1, last) * length, Math.min(2, last) * length];
      const o3 = Math.min(3, last) * length;
      for (let i = 0, from = first; i < length; i++, from++) {
        sums[i] =
          (sums[i] as number) +
          w0 * (data[from] as number) +
          w1 * (data[from + o1] as number) +
          w2 * (data[from + o2] as number) +
          w3 * (data[from + o3] as number);
      }
    }
    for (let i = 0, at = y * length; i < length; i++, at++) {
      out[at] = Math.min(Math.max(sums[i] as number, lowest), highest);
    }
  }
  return { width, height, channels, data: out };
}

/** `reduceImage` (images/image-ops.ts) of a map in floats, kept within 0 … 1. */
export function reduceMap(map: FloatMap, { across, down }: ReduceStep): FloatMap {
  const tables = [reduceTable(across, map.width), reduceTable(down, map.height)] as const;
  return resampleMap(map, ...tables, [0, 1]);
}

/** Lanczos for a part of an axis of which `size` inputs are there; one that keeps its size is cut. */
export function reduceTable(part: AxisPart, size: number): Table {
  const { wholeIn, wholeOut, inFrom, outFrom, outSize } = part;
  return wholeIn === wholeOut
    ? cutTable(outFrom - inFrom, outSize)
    : floatPart(part, size, "lanczos");
}

/** Keeps `count` values from `from` on. */
const cutTable = (from: number, count: number): Table => ({
  taps: 1,
  starts: Int32Array.from({ length: count }, (_, i) => from + i),
  weights: new Float32Array(count).fill(1),
});

/** A rectangle of a map; what lies outside repeats the map's edges. */
export function cutMap(map: FloatMap, { x, y, width, height }: Rectangle): FloatMap {
  const { channels } = map;
  const data = new Float32Array(width * height * channels);
  for (let row = 0; row < height; row++) {
    const from = Math.min(Math.max(y + row, 0), map.height - 1) * map.width;
    for (let column = 0; column < width; column++) {
      const at = (from + Math.min(Math.max(x + column, 0), map.width - 1)) * channels;
      data.set(map.data.subarray(at, at + channels), (row * width + column) * channels);
    }
  }
  return { width, height, channels, data };
}

/** Added to variances of values in 0 … 1. */
const VARIANCE_EPS = 1e-5;

/** `adainColorFix` (kernels/image/color-fix.ts) of maps in 0 … 1, of one size. */
export function adainOfMaps(source: FloatMap, decoded: FloatMap): FloatMap {
  const [to, from] = [momentsOf(source), momentsOf(decoded)];
  const data = decoded.data.map((value, i) => {
    const c = i % decoded.channels;
    const [mean = 0, deviation = 1] = from[c] ?? [];
    const [newMean = 0, newDeviation = 1] = to[c] ?? [];
    return ((value - mean) / deviation) * newDeviation + newMean;
  });
  return { ...decoded, data };
}

/** Mean and deviation of each channel. */
function momentsOf({ channels, data }: FloatMap): (readonly [number, number])[] {
  const pixels = data.length / channels;
  return Array.from({ length: channels }, (_, c) => {
    let mean = 0;
    for (let i = c; i < data.length; i += channels) mean += data[i] as number;
    mean /= pixels;
    let squares = 0;
    for (let i = c; i < data.length; i += channels) squares += ((data[i] as number) - mean) ** 2;
    return [mean, Math.sqrt(squares / Math.max(pixels - 1, 1) + VARIANCE_EPS)] as const;
  });
}

const DILATIONS = [1, 2, 4, 8, 16];

/** `waveletColorFix` of maps in 0 … 1, of one size. */
export function waveletOfMaps(source: FloatMap, decoded: FloatMap): FloatMap {
  const { width, height, channels } = decoded;
  const columnOf = (i: number): number => Math.floor(i / channels) % width;
  const rowOf = (i: number): number => Math.floor(i / (channels * width));
  let low = decoded.data.map((value, i) => (source.data[i] as number) - value);
  for (const step of DILATIONS) {
    low = blurred(low, step, columnOf, width, channels);
    low = blurred(low, step, rowOf, height, channels * width);
  }
  return { ...decoded, data: decoded.data.map((value, i) => value + (low[i] as number)) };
}

/** [1 2 1] / 4 of values `step` apart along an axis of `size` positions, which lie `stride` values apart. Edges are repeated. */
function blurred(
  values: Float32Array<ArrayBuffer>,
  step: number,
  positionOf: (index: number) => number,
  size: number,
  stride: number,
): Float32Array<ArrayBuffer> {
  return values.map((value, i) => {
    const position = positionOf(i);
    const before = values[i - Math.min(step, position) * stride] as number;
    const after = values[i + Math.min(step, size - 1 - position) * stride] as number;
    return 0.5 * value + 0.25 * (before + after);
  });
}
