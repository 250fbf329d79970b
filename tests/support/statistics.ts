/** Statistics of runs of channels: from those of single channels, and as they lie in a buffer. */
import type { Caps } from "../../src/gpu/caps.ts";
import { adapterNames } from "../../src/gpu/caps.ts";
import type { ChannelsPerEntry } from "../../src/kernels/norm/channel-stats.ts";

/**
 * Whether a driver measures f16 values before it rounds them, though the shader measures what it stores: Mesa leaves out the
 * way from f32 to f16 and back, on CPUs and on GPUs alike, so that each value is off by up to u16.
 */
export function measuresBeforeRounding(caps: Caps): boolean {
  return caps.hasShaderF16 && /\bmesa\b/i.test(adapterNames(caps));
}

/** Mean and M2 of each [split, channel]; of runs, those of each [split, run]. */
interface Moments {
  readonly mean: Float64Array;
  readonly m2: Float64Array;
}

/** Entries of `run` channels, in doubles; `pixels` of each split. Channels that fill no channelsPerEntry are left out. */
export function entriesOf(
  { mean, m2 }: Moments,
  pixels: readonly number[],
  channels: number,
  channelsPerEntry: ChannelsPerEntry,
): Moments {
  const entries = Math.floor(channels / channelsPerEntry);
  const runs = {
    mean: new Float64Array(pixels.length * entries),
    m2: new Float64Array(pixels.length * entries),
  };
  pixels.forEach((count, split) => {
    for (let entry = 0; entry < entries; entry++) {
      const from = split * channels + entry * channelsPerEntry;
      const means = mean.subarray(from, from + channelsPerEntry);
      const average = means.reduce((sum, value) => sum + value, 0) / channelsPerEntry;
      const within = m2
        .subarray(from, from + channelsPerEntry)
        .reduce((sum, value) => sum + value, 0);
      const between = means.reduce((sum, value) => sum + count * (value - average) ** 2, 0);
      runs.mean[split * entries + entry] = average;
      runs.m2[split * entries + entry] = within + between;
    }
  });
  return runs;
}

/** Where the mean of an entry is, in f32 from the first; M2 is 4 / channelsPerEntry further. */
export function entryIndex(
  split: number,
  entry: number,
  channels: number,
  channelsPerEntry: ChannelsPerEntry,
): number {
  const lanes = 4 / channelsPerEntry;
  const quad = split * Math.ceil(channels / 4) + Math.floor(entry / lanes);
  return quad * 2 * lanes + (entry % lanes);
}

/** As the kernels store them, zeros in the padding. */
export function storedEntries(
  { mean, m2 }: Moments,
  partials: number,
  channels: number,
  channelsPerEntry: ChannelsPerEntry,
): Float32Array {
  const entries = Math.floor(channels / channelsPerEntry);
  const stored = new Float32Array((partials * Math.ceil(channels / 4) * 8) / channelsPerEntry);
  for (let i = 0; i < partials * entries; i++) {
    const at = entryIndex(Math.floor(i / entries), i % entries, channels, channelsPerEntry);
    stored[at] = mean[i] as number;
    stored[at + 4 / channelsPerEntry] = m2[i] as number;
  }
  return stored;
}
