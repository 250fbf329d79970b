/**
 * Sums over the statistics of a group's channels, which may lie in one or two sources. `groupNormAffine` and norms that
 * are merged on load (`merged-norm.ts`) share them.
 *
 * Chan's formula for many entries e at once: first the mean, then M2 = Σ(M2ₑ + nₑ·(meanₑ − mean)²). All in f32, with
 * means relative to the group's first entry.
 */
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { u32 } from "../kernel.ts";
import { unroll } from "../unroll.ts";
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

/** Second source of a norm over one: it has no channels, so that no group reaches it. */
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
    u32(`partials_${k}`, source.partials),
    u32(`channels_per_entry_${k}`, source.channelsPerEntry),
    u32(`first_${k}`, source.first),
    ...partialParams(source, `_${k}`),
  ]);
}

/**
 * Functions on source `$k`. `stats_index_$k` finds the mean of an entry in a buffer of f32; M2 is
 * 4 / channels_per_entry further. `weighted_means_$k` and `spread_$k` are what one lane of `lanes` adds to the two
 * sums over `count` channels from `first` on.
 */
const SOURCE_SUMS = /* wgsl */ `${partialPixelsWgsl("_$k")}
fn stats_index_$k(image: u32, partial: u32, entry: u32) -> u32 {
  let quad_entries = 4u / params.channels_per_entry_$k;
  return params.first_$k
    + (((image * params.partials_$k + partial) * params.quads_$k + entry / quad_entries) * 2u) * quad_entries
    + entry % quad_entries;
}

fn weighted_means_$k(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32) -> f32 {
  let channels = params.channels_per_entry_$k;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_$k; i += lanes) {
    let partial = i / entries;
    let index = stats_index_$k(image, partial, first / channels + i % entries);
    sum += partial_pixels_$k(partial) * ($stats$k[index] - shift);
  }
  return f32(channels) * sum;
}

fn spread_$k(image: u32, first: u32, count: u32, lane: u32, lanes: u32, shift: f32, mean: f32) -> f32 {
  let channels = params.channels_per_entry_$k;
  let entries = count / channels;
  var sum = 0.0;
  for (var i = lane; i < entries * params.partials_$k; i += lanes) {
    let partial = i / entries;
    let index = stats_index_$k(image, partial, first / channels + i % entries);
    let delta = ($stats$k[index] - shift) - mean;
    sum += $stats$k[index + 4u / channels] + f32(channels) * partial_pixels_$k(partial) * (delta * delta);
  }
  return sum;
}
`;

const GROUP_SUMS = /* wgsl */ `${unroll(2, "$k", SOURCE_SUMS)}
fn first_mean(image: u32, low: u32) -> f32 {
  if (low < params.channels_0) { return $stats0[stats_index_0(image, 0u, low / params.channels_per_entry_0)]; }
  return $stats1[stats_index_1(image, 0u, (low - params.channels_0) / params.channels_per_entry_1)];
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

/**
 * WGSL of three functions on the channels `low` to `high` of a group. `first_mean` is the mean of the entry that holds
 * channel `low`. `weighted_means` and `spread` are what one lane of `lanes` adds to the sums. `buffers` are the
 * variables that hold the statistics of the two sources. Needs `groupSumsParams`.
 */
export const groupSumsWgsl = (buffers: readonly [string, string]): string =>
  GROUP_SUMS.replaceAll("$stats0", buffers[0]).replaceAll("$stats1", buffers[1]);
