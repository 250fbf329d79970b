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

type Table = ResampleTable<Float32Array<ArrayBuffer>>;

/** A map resampled along both axes, and kept within `lowest` … `highest` after each, as 8-bit resizes are. */
export function resampleMap(
  map: FloatMap,
  across: Table,
  down: Table,
  [lowest, highest]: readonly [number, number],
): FloatMap {
  const { channels } = map;
  const pass = (
    source: Float32Array,
    lines: number,
    { taps, starts, weights }: Table,
    lineOf: (line: number) => readonly [first: number, step: number],
    place: (line: number, output: number) => number,
  ): Float32Array<ArrayBuffer> => {
    const out = new Float32Array(lines * starts.length * channels);
    for (let line = 0; line < lines; line++) {
      const [first, step] = lineOf(line);
      starts.forEach((start, output) => {
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (let k = 0; k < taps; k++) {
            const value = source[first + (start + k) * step + c] as number;
            sum += (weights[output * taps + k] as number) * value;
          }
          out[place(line, output) + c] = Math.min(Math.max(sum, lowest), highest);
        }
      });
    }
    return out;
  };
  const [width, height] = [across.starts.length, down.starts.length];
  const wide = pass(
    map.data,
    map.height,
    across,
    (y) => [y * map.width * channels, channels],
    (y, x) => (y * width + x) * channels,
  );
  const data = pass(
    wide,
    width,
    down,
    (x) => [x * channels, width * channels],
    (x, y) => (y * width + x) * channels,
  );
  return { width, height, channels, data };
}

/** `reduceImage` (images/image-ops.ts) of a map in floats, kept within 0 … 1. */
export function reduceMap(map: FloatMap, { across, down }: ReduceStep): FloatMap {
  const table = (part: AxisPart, size: number): Table =>
    part.wholeIn === part.wholeOut
      ? cutTable(part.outFrom - part.inFrom, part.outSize)
      : floatPart(part, size, "lanczos");
  return resampleMap(map, table(across, map.width), table(down, map.height), [0, 1]);
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
