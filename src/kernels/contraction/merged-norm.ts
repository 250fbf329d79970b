/**
 * GroupNorm on load without a dispatch that makes scale and shift: every workgroup of `tiled`, `matrix`, `patch` and
 * `patch-winograd` first merges the statistics of all groups into mean and 1 / deviation, in 256 bytes of workgroup memory.
 * Operand `norm` then holds gamma and beta.
 *
 * Each workgroup repeats the merge, with all of its lanes, of which groups must take whole numbers. On a large GPU it takes
 * 1 or 2 µs; a dispatch and its barrier take 5 (bench/NOTES.md). Operand `stats` holds these statistics and those that the
 * kernel writes, because WebGPU does not bind a buffer twice to a dispatch that writes it.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { f32, u32 } from "../kernel.ts";
import type { Statistics } from "../norm/channel-stats.ts";
import type { GroupNormSource, GroupNormSources } from "../norm/group-sums.ts";
import {
  checkGroupNorm,
  groupSumsParams,
  groupSumsWgsl,
  totalChannels,
} from "../norm/group-sums.ts";

/** The GroupNorm of x. */
export interface MergedNorm {
  /** Where the statistics of each source of x are within operand `stats`. */
  readonly statistics: readonly Statistics[];
  /** Groups of neighbouring channels; divides 32. */
  readonly numGroups: number;
  /** Added to the variance. */
  readonly eps: number;
}

const MOST_GROUPS = 32;
/** Workgroup memory. */
export const MERGED_NORM_BYTES = 8 * MOST_GROUPS;
/** Entries of the statistics, 64 for each of 128 lanes, which reads them twice. For more, a dispatch of their own is faster. */
const MOST_ENTRIES = 64 * 128;

/** The statistics with the channels that they are of. */
const sourcesOf = ({ statistics }: MergedNorm, inChannels: readonly number[]): GroupNormSources =>
  statistics.map((source, k): GroupNormSource => ({
    ...source,
    channels: inChannels[k] ?? 0,
  })) as unknown as GroupNormSources;

/** Why such a norm cannot or should not be merged on load, or null. */
export function mergedNormRefusal(norm: MergedNorm, inChannels: readonly number[]): string | null {
  const { numGroups } = norm;
  const sources = sourcesOf(norm, inChannels);
  const channels = totalChannels(sources);
  if (MOST_GROUPS % numGroups !== 0 || channels % (2 * numGroups) !== 0) {
    return `merges norms of at most ${MOST_GROUPS} groups, a power of two, of an even number of channels, got ${numGroups} of ${channels}`;
  }
  const entries = sources.reduce(
    (sum, source) => sum + (source.partials * source.channels) / source.channelsPerEntry,
    0,
  );
  if (entries <= MOST_ENTRIES) return null;
  return `merges at most ${MOST_ENTRIES} statistics on load, got ${entries}. Use groupNormAffine`;
}

/** Throws `ShapeError` for a norm that cannot be merged, or does not fit the sources. */
export function checkMergedNorm(
  name: string,
  norm: MergedNorm,
  inChannels: readonly number[],
): void {
  const refusal = mergedNormRefusal(norm, inChannels);
  if (refusal !== null) throw new ShapeError(`${name}: ${refusal}`);
  checkGroupNorm(name, { ...norm, batch: 1, sources: sourcesOf(norm, inChannels) });
}

/** Uniforms of `MERGED_NORM`. */
export function mergedNormParams(norm: MergedNorm | null, inChannels: readonly number[]): Param[] {
  if (norm === null) return [];
  const { numGroups, eps } = norm;
  const sources = sourcesOf(norm, inChannels);
  const channels = totalChannels(sources);
  return [
    u32("groups", numGroups),
    u32("group_channels", channels / numGroups),
    f32("group_share", (2 * numGroups) / channels), // of a pair of channels
    f32("group_values", sources[0].pixels * (channels / numGroups)),
    f32("eps", eps),
    ...groupSumsParams(sources),
  ];
}

/**
 * WGSL of `merge_statistics(local)`, and of `moments_of(k)`: mean and 1 / deviation of the two pairs of channels in quad
 * `k`. The whole workgroup calls `merge_statistics` before it stages anything, as it uses `exchange_set` and
 * `exchange_get` of the includer, and its `INVOCATIONS`.
 */
export const MERGED_NORM = /* wgsl */ `${constantsWgsl({ MOST_GROUPS })}
${groupSumsWgsl(["stats", "stats"])}
var<workgroup> group_moments: array<vec2<f32>, MOST_GROUPS>; // mean, 1 / deviation

fn sum_of_lanes(first: u32, count: u32) -> f32 {
  var sum = 0.0;
  for (var i = first; i < first + count; i++) { sum += exchange_get(i).x; }
  return sum;
}

fn merge_statistics(local: u32) {
  let lanes = INVOCATIONS / params.groups;
  let group = local / lanes;
  let lane = local % lanes;
  let low = group * params.group_channels;
  let high = low + params.group_channels;
  let shift = first_mean(0u, low);
  exchange_set(local, vec4<f32>(weighted_means(0u, low, high, lane, lanes, shift), 0.0, 0.0, 0.0));
  workgroupBarrier();
  let mean = sum_of_lanes(group * lanes, lanes) / params.group_values;
  workgroupBarrier();
  exchange_set(local, vec4<f32>(spread(0u, low, high, lane, lanes, shift, mean), 0.0, 0.0, 0.0));
  workgroupBarrier();
  if (lane == 0u) {
    let variance = sum_of_lanes(local, lanes) / params.group_values;
    group_moments[group] = vec2<f32>(shift + mean, 1.0 / sqrt(variance + params.eps));
  }
  workgroupBarrier();
}

fn moments_of(k: u32) -> vec4<f32> {
  // (pair + 1/2) / (pairs of a group) is never within rounding of a whole number.
  let group = vec2<u32>((vec2<f32>(0.5, 1.5) + f32(2u * k)) * params.group_share);
  let last = params.groups - 1u; // of the padding, where gamma and beta are 0
  return vec4<f32>(group_moments[min(group.x, last)], group_moments[min(group.y, last)]);
}
`;
