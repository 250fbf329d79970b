/**
 * The second step of GroupNorm: partial statistics of one or two sources become a scale and a shift for
 * every channel, to be applied by `affineActivation`, or by conv2d and linear while they load (`input-norm.ts`).
 *
 *   a[c] = gamma[c]·rstd,  b[c] = beta[c] − mean·a[c]      rstd = 1/√(variance + eps), biased variance
 *
 * Layout: stats0, stats1 as `channelStats` writes them; gamma, beta f32 padded with zeros to quads; affine
 * f32: [N][2][quads] vec4, all a of an image and then all b, zeros in the padding. With two sources the
 * channels of the second follow those of the first, and a group may have channels of both.
 *
 * One workgroup per (image, group). The entries (split, channel) of the group are summed lane by lane and
 * then over a tree, always in the same order, in two passes: the mean, then M2 = Σ(M2ₑ + nₑ·(meanₑ − mean)²),
 * which is Chan's formula for many parts at once. f32; means are taken relative to the first entry's.
 *
 * Known limit: y = a·x + b rounds at the size of b, so its absolute error reaches 2e-7·|mean|·rstd·gamma.
 */
import type { Caps } from "../gpu/caps.ts";
import { ShapeError, isShape, paddedChannels, quadCount } from "../gpu/shape.ts";
import { foldWorkgroups } from "../gpu/wgsl.ts";
import type { SplitCounts } from "./channel-stats.ts";
import { channelStatsByteLength, splitParams, splitPixelsWgsl } from "./channel-stats.ts";
import type { Cost, Kernel, KernelPlan } from "./kernel.ts";
import { dispatch, f32, reads, u32, writes } from "./kernel.ts";

/** A tensor whose channels are normalised, and how its statistics count the pixels of each image. */
export interface GroupNormSource extends SplitCounts {
  /** Without padding. */
  readonly channels: number;
}

/** Operands: `stats0`, `stats1` (with two sources), `gamma`, `beta` → `affine`. */
export interface GroupNormAffineProblem {
  /** Number of images. */
  readonly batch: number;
  /** Where the partial statistics come from; the second source's channels follow the first's. */
  readonly sources: readonly [GroupNormSource] | readonly [GroupNormSource, GroupNormSource];
  /** Groups of neighbouring channels; divides the channels. */
  readonly numGroups: number;
  /** Added to the variance, so that its root is never zero. */
  readonly eps: number;
}

/** Bytes of the `affine` operand. */
export function groupNormAffineByteLength(batch: number, channels: number): number {
  return batch * 2 * paddedChannels(channels) * 4;
}

export function totalChannels(problem: GroupNormAffineProblem): number {
  return problem.sources.reduce((sum, { channels }) => sum + channels, 0);
}

function check(problem: GroupNormAffineProblem): void {
  const { batch, sources, numGroups, eps } = problem;
  if (!isShape([batch, numGroups])) {
    throw new ShapeError(
      `groupNorm: batch and numGroups must be integers ≥ 1, got ${batch} and ${numGroups}`,
    );
  }
  for (const { channels, splits, pixels } of sources) {
    if (!isShape([channels, splits, pixels]) || splits > pixels) {
      throw new ShapeError(
        `groupNorm: a source needs channels ≥ 1 and 1 ≤ splits ≤ pixels, ` +
          `got channels ${channels}, splits ${splits}, pixels ${pixels}`,
      );
    }
  }
  const [first, second] = sources;
  if (second !== undefined && first.pixels !== second.pixels) {
    throw new ShapeError(
      `groupNorm: both sources must count the same pixels, got ${first.pixels} and ${second.pixels}`,
    );
  }
  if (second !== undefined && first.channels % 4 !== 0) {
    throw new ShapeError(
      `groupNorm: the first of two sources must have a multiple of 4 channels, got ${first.channels}. ` +
        `Concatenate by a copy instead`,
    );
  }
  const channels = totalChannels(problem);
  if (channels % numGroups !== 0) {
    throw new ShapeError(
      `groupNorm: channels must be divisible by numGroups, got ${channels} and ${numGroups}`,
    );
  }
  if (!(eps > 0 && Number.isFinite(eps))) {
    throw new ShapeError(`groupNorm: eps must be a positive number, got ${eps}`);
  }
}

/**
 * Functions on source `k` (0 or 1): `stats_index_k` finds the mean of an entry (M2 is 4 further);
 * `weighted_means_k` and `spread_k` are a lane's part of the two sums over `count` channels from `first`.
 */
const sourceFunctions = (k: number): string => /* wgsl */ `${splitPixelsWgsl(`_${k}`)}
fn stats_index_${k}(image: u32, split: u32, channel: u32) -> u32 {
  return ((image * params.splits_${k} + split) * params.quads_${k} + channel / 4u) * 8u + channel % 4u;
}

fn weighted_means_${k}(image: u32, first: u32, count: u32, lane: u32, shift: f32) -> f32 {
  var sum = 0.0;
  for (var entry = lane; entry < count * params.splits_${k}; entry += LANES) {
    let split = entry / count;
    let index = stats_index_${k}(image, split, first + entry % count);
    sum += split_pixels_${k}(split) * (stats${k}[index] - shift);
  }
  return sum;
}

fn spread_${k}(image: u32, first: u32, count: u32, lane: u32, shift: f32, mean: f32) -> f32 {
  var sum = 0.0;
  for (var entry = lane; entry < count * params.splits_${k}; entry += LANES) {
    let split = entry / count;
    let index = stats_index_${k}(image, split, first + entry % count);
    let delta = (stats${k}[index] - shift) - mean;
    sum += stats${k}[index + 4u] + split_pixels_${k}(split) * (delta * delta);
  }
  return sum;
}
`;

/** One source is two of which the second has no channels: no group reaches it. */
const TWO_SOURCES = /* wgsl */ `
fn first_mean(image: u32, low: u32) -> f32 {
  if (low < params.channels_0) { return stats0[stats_index_0(image, 0u, low)]; }
  return stats1[stats_index_1(image, 0u, low - params.channels_0)];
}

fn weighted_means(image: u32, low: u32, high: u32, lane: u32, shift: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return weighted_means_0(image, low, seam - low, lane, shift)
    + weighted_means_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, shift);
}

fn spread(image: u32, low: u32, high: u32, lane: u32, shift: f32, mean: f32) -> f32 {
  let seam = clamp(params.channels_0, low, high);
  return spread_0(image, low, seam - low, lane, shift, mean)
    + spread_1(image, max(seam, params.channels_0) - params.channels_0, high - seam, lane, shift, mean);
}
`;

const MAIN = /* wgsl */ `
var<workgroup> partial: array<f32, LANES>;

fn sum_of_lanes(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var reach = LANES / 2u; reach > 0u; reach >>= 1u) {
    if (lane < reach) { partial[lane] += partial[lane + reach]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let flat = flat_group(id, counts);
  if (flat >= params.batch * params.groups) { return; } // the same for the whole workgroup
  let image = flat / params.groups;
  let group = flat % params.groups;
  let low = group * params.group_channels;
  let high = low + params.group_channels;

  let values = f32(params.pixels) * f32(params.group_channels);
  let shift = first_mean(image, low);
  let mean = sum_of_lanes(weighted_means(image, low, high, lane, shift), lane) / values;
  let variance = sum_of_lanes(spread(image, low, high, lane, shift, mean), lane) / values;
  let rstd = 1.0 / sqrt(variance + params.eps);

  // The last group also writes the padding: gamma and beta are 0 there.
  let end = select(high, params.quads * 4u, group + 1u == params.groups);
  let table = image * params.quads * 8u;
  for (var channel = low + lane; channel < end; channel += LANES) {
    let a = gamma[channel] * rstd;
    affine[table + channel] = a;
    affine[table + params.quads * 4u + channel] = (beta[channel] - mean * a) - shift * a;
  }
}
`;

function plan(problem: GroupNormAffineProblem, caps: Caps): KernelPlan {
  check(problem);
  const { batch, sources, numGroups, eps } = problem;
  const channels = totalChannels(problem);
  const [first, second = { channels: 0, splits: 1, pixels: 1, tiles: null }] = sources;
  const sourceParams = [first, second].flatMap((source, k) => [
    u32(`channels_${k}`, source.channels),
    u32(`quads_${k}`, quadCount(source.channels)),
    u32(`splits_${k}`, source.splits),
    ...splitParams(source, `_${k}`),
  ]);
  return {
    variant: "tree",
    scratch: [],
    dispatches: [
      dispatch(
        "groupNormAffine",
        {
          caps,
          dtype: "f32",
          // Scalars, not quads: groups begin and end anywhere within a quad.
          operands: [
            reads("stats0", "f32"),
            sources.length === 2
              ? reads("stats1", "f32")
              : { ...reads("stats1", "f32"), boundTo: "stats0" },
            reads("gamma", "f32"),
            reads("beta", "f32"),
            writes("affine", "f32"),
          ],
          params: [
            u32("batch", batch),
            u32("groups", numGroups),
            u32("group_channels", channels / numGroups),
            u32("quads", quadCount(channels)),
            u32("pixels", first.pixels),
            f32("eps", eps),
            ...sourceParams,
          ],
          constants: { LANES: caps.isSoftware ? 64 : 256 },
        },
        sourceFunctions(0) + sourceFunctions(1) + TWO_SOURCES + MAIN,
        foldWorkgroups(batch * numGroups),
      ),
    ],
  };
}

function cost(problem: GroupNormAffineProblem): Cost {
  const { batch, sources } = problem;
  const channels = totalChannels(problem);
  const entries = sources.reduce((sum, source) => sum + batch * source.splits * source.channels, 0);
  const statsBytes = sources.reduce(
    (sum, source) => sum + channelStatsByteLength(batch, source.splits, source.channels),
    0,
  );
  return {
    flops: entries * 9 + batch * channels * 3,
    bytesRead: statsBytes + 2 * paddedChannels(channels) * 4,
    bytesWritten: groupNormAffineByteLength(batch, channels),
  };
}

/** Statistics of channels as a scale and a shift for each: the second step of GroupNorm. */
export const groupNormAffine: Kernel<GroupNormAffineProblem, "tree"> = {
  name: "groupNormAffine",
  variants: ["tree"],
  check,
  select: () => "tree",
  plan,
  cost,
};
