/** Statistics of runs of channels: from those of single channels, and as they lie in a buffer. */
import type { StatisticsRun } from "../../src/kernels/norm/channel-stats.ts";

/** Mean and M2 of each [split, channel]; of runs, those of each [split, run]. */
interface Moments {
  readonly mean: Float64Array;
  readonly m2: Float64Array;
}

/** Entries of `run` channels, in doubles; `pixels` of each split. Channels that fill no run are left out. */
export function runsOf(
  { mean, m2 }: Moments,
  pixels: readonly number[],
  channels: number,
  run: StatisticsRun,
): Moments {
  const entries = Math.floor(channels / run);
  const runs = {
    mean: new Float64Array(pixels.length * entries),
    m2: new Float64Array(pixels.length * entries),
  };
  pixels.forEach((count, split) => {
    for (let entry = 0; entry < entries; entry++) {
      const from = split * channels + entry * run;
      const means = mean.subarray(from, from + run);
      const average = means.reduce((sum, value) => sum + value, 0) / run;
      const within = m2.subarray(from, from + run).reduce((sum, value) => sum + value, 0);
      const between = means.reduce((sum, value) => sum + count * (value - average) ** 2, 0);
      runs.mean[split * entries + entry] = average;
      runs.m2[split * entries + entry] = within + between;
    }
  });
  return runs;
}

/** Where the mean of an entry is, in f32 from the first; M2 is 4 / run further. */
export function entryIndex(
  split: number,
  entry: number,
  channels: number,
  run: StatisticsRun,
): number {
  const lanes = 4 / run;
  const quad = split * Math.ceil(channels / 4) + Math.floor(entry / lanes);
  return quad * 2 * lanes + (entry % lanes);
}

/** As the kernels store them, zeros in the padding. */
export function storedRuns(
  { mean, m2 }: Moments,
  splits: number,
  channels: number,
  run: StatisticsRun,
): Float32Array {
  const entries = Math.floor(channels / run);
  const stored = new Float32Array((splits * Math.ceil(channels / 4) * 8) / run);
  for (let i = 0; i < splits * entries; i++) {
    const at = entryIndex(Math.floor(i / entries), i % entries, channels, run);
    stored[at] = mean[i] as number;
    stored[at + 4 / run] = m2[i] as number;
  }
  return stored;
}
