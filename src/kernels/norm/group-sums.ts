/**
 * Statistics of one or two sources, entry by entry, summed over the channels of a group: what `groupNormAffine` and norms
 * that are merged on load (`merged-norm.ts`) have in common. Chan's formula for many parts at once: the mean, then
 * M2 = Σ(M2ₑ + nₑ·(meanₑ − mean)²). f32; means are taken relative to the group's first entry.
 */
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { u32 } from "../kernel.ts";
import type { Statistics } from "./channel-stats.ts";
import { partialParams, partialPixelsWgsl } from "./channel-stats.ts";

/** A map whose channels are normalised, and its statistics. */
export interface GroupNormSource extends Statistics {
  /** Without padding. */
  readonly channels: number;
}

/** One or two sources; the second's channels follow the first's. */
export type GroupNormSources =
  | readonly [GroupNormSource]
  | readonly [GroupNormSource, GroupNormSource];

/** A GroupNorm over the channels of its sources. */
export interface GroupNormOfSources {
  /** Number of images. */
  readonly batch: number;
  /** Where the partial statistics come from; the second source's channels follow the first's. */
  readonly sources: GroupNormSources;
  /** Groups of neighbouring channels; divides the channels. */
  readonly numGroups: number;
  /** Added to the variance, so that its root is never zero. */
  readonly eps: number;
}

/** Channels of all sources. */
export const totalChannels = (sources: GroupNormSources): number =>
  sources.reduce((sum, { channels }) => sum + channels, 0);

/** Throws `ShapeError`, in the name of a kernel, for a GroupNorm that cannot be. */
export function checkGroupNorm(
  name: string,
  { batch, sources, numGroups, eps }: GroupNormOfSources,
): void {
  if (!isShape([batch, numGroups])) {
    throw new ShapeError(
      `${name}: batch and numGroups must be integers ≥ 1, got ${batch} and ${numGroups}`,
    );
  }
  for (const { channels, partials, pixels } of sources) {
    if (!isShape([channels, partials, pixels]) || partials > pixels) {
      throw new ShapeError(
        `${name}: a source needs channels ≥ 1 and 1 ≤ partials ≤ pixels, ` +
          `got channels ${channels}, partials ${partials}, pixels ${pixels}`,
      );
    }
  }
  const [first, second] = sources;
  if (second !== undefined && first.pixels !== second.pixels) {
    throw new ShapeError(
      `${name}: both sources must count the same pixels, got ${first.pixels} and ${second.pixels}`,
    );
  }
  if (second !== undefined && first.channels % 4 !== 0) {
    throw new ShapeError(
      `${name}: the first of two sources must have a multiple of 4 channels, got ${first.channels}. ` +
        `Concatenate by a copy instead`,
    );
  }
  const channels = totalChannels(sources);
  if (channels % numGroups !== 0) {
    throw new ShapeError(
      `${name}: channels must be divisible by numGroups, got ${channels} and ${numGroups}`,
    );
  }
  for (const { channelsPerEntry } of sources) {
    if ((channels / numGroups) % channelsPerEntry === 0) continue;
    throw new ShapeError(
      `${name}: statistics must not span groups, got entries of ${channelsPerEntry} in groups of ${channels / numGroups} channels`,
    );
  }
  if (!(eps > 0 && Number.isFinite(eps))) {
    throw new ShapeError(`${name}: eps must be a positive number, got ${eps}`);
  }
}

/** One source is two of which the second has no channels: no group reaches it. */
const NO_SOURCE = {
  channels: 0,
  partials: 1,
  pixels: 1,
  tiles: null,
  channelsPerEntry: 1,
  first: 0,
} as const;

/** Uniforms of `groupSumsWgsl`. */
export function groupSumsParams(sources: GroupNormSources): Param[] {
  const [first, second = NO_SOURCE] = sources;
  return [first, second].flatMap((source, k) => [
    u32(`channels_${k}`, source.channels),
    u32(`quads_${k}`, quadCount(source.channels)),
    u32(`splits_${k}`, source.partials),
    u32(`run_${k}`, source.channelsPerEntry),
    u32(`first_${k}`, source.first),
    ...partialParams(source, `_${k}`),
  ]);
}

/**
 * Functions on source `k`, whose statistics are in `buffer`: `stats_index_k` finds the mean of an entry (M2 is 4 / run
 * further); `weighted_means_k` and `spread_k` are a lane's part of the two sums over `count` channels from `first`.
 */
const sourceFunctions = (
  k: number,
  buffer: string,
): string => /* wgsl */ `${partialPixelsWgsl(`_${k}`)}
fn stats_index_${k}(image: u32, split: u32, entry: u32) -> u32 {
  let lanes = 4u / params.run_${k};
  return params.first_${k}
    + (((image * params.splits_${k} + split) * params.quads_${k} + entry / lanes) * 2u) * lanes + entry % lanes;
}

fn weighted_means_${k}(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let run = params.run_${k};
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_${k}; i += lanes) {
    let split = i / entries;
    let index = stats_index_${k}(image, split, first / run + i % entries);
    sum += split_pixels_${k}(split) * (${buffer}[index] - shift);
  }
  return f32(run) * sum;
}

fn spread_${k}(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let run = params.run_${k};
  let entries = count / run;
  var sum = 0.0;
  for (var i = lane; i < entries * params.splits_${k}; i += lanes) {
    let split = i / entries;
    let index = stats_index_${k}(image, split, first / run + i % entries);
    let delta = (${buffer}[index] - shift) - mean;
    sum += ${buffer}[index + 4u / run] + f32(run) * split_pixels_${k}(split) * (delta * delta);
  }
  return sum;
}
`;

/**
 * WGSL of `first_mean`, the mean of the entry that holds channel `low`, and of the parts of a lane of `lanes` of the sums
 * over channels `low` to `high`. `buffers` are the variables that hold the statistics of the sources.
 */
export const groupSumsWgsl = (buffers: readonly [string, string]): string =>
  sourceFunctions(0, buffers[0]) +
  sourceFunctions(1, buffers[1]) +
  /* wgsl */ `
fn first_mean(image: u32, low: u32) -> f32 {
  if (low < params.channels_0) { return ${buffers[0]}[stats_index_0(image, 0u, low / params.run_0)]; }
  return ${buffers[1]}[stats_index_1(image, 0u, (low - params.channels_0) / params.run_1)];
}

fn weighted_means(image: u32, low: u32, high: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return weighted_means_0(image, low, seam - low, lane, lanes, shift)
    + weighted_means_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, lanes, shift);
}

fn spread(image: u32, low: u32, high: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return spread_0(image, low, seam - low, lane, lanes, shift, mean)
    + spread_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, lanes, shift, mean);
}
`;
