/** GroupNorm's statistics on the host, in doubles. Maps in tiles need them: the moments of all tiles are merged. */
import { ShapeError, isShape, paddedChannels, quadCount } from "../../gpu/shape.ts";
import { channelStatsByteLength, partialPixels } from "./channel-stats.ts";
import type { GroupNormAffineProblem } from "./group-norm-affine.ts";
import { groupNormAffine } from "./group-norm-affine.ts";
import { totalChannels } from "./group-sums.ts";

/** Mean, biased variance and number of values of each group, images outermost; doubles. */
export interface GroupMoments {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  readonly count: Float64Array;
}

/**
 * The moments of every group from partials that were read back: one array per source, as `channelStats` wrote it.
 * Moments of tiles are merged with `mergeGroupMoments`.
 */
export function groupMoments(
  stats: readonly Float32Array[],
  problem: GroupNormAffineProblem,
): GroupMoments {
  groupNormAffine.check(problem);
  const { batch, sources, numGroups } = problem;
  sources.forEach((source, k) => {
    const expected = channelStatsByteLength(batch, source.partials, source.channels) / 4;
    if (stats[k]?.length !== expected) {
      throw new ShapeError(
        `groupNorm: statistics of source ${k} need ${expected} values, got ${stats[k]?.length ?? "none"}`,
      );
    }
  });
  const groupChannels = totalChannels(sources) / numGroups;
  const moments = emptyMoments(batch * numGroups);
  for (let image = 0; image < batch; image++) {
    let channel = 0;
    sources.forEach((source, k) => {
      const { channels, partials } = source;
      const values = stats[k] as Float32Array;
      for (let c = 0; c < channels; c++, channel++) {
        const group = image * numGroups + Math.floor(channel / groupChannels);
        for (let partial = 0; partial < partials; partial++) {
          const quad = (image * partials + partial) * quadCount(channels) + Math.floor(c / 4);
          const index = quad * 8 + (c % 4);
          const count = partialPixels(source, partial);
          mergeInto(
            moments,
            group,
            count,
            values[index] as number,
            (values[index + 4] as number) / count,
          );
        }
      }
    });
  }
  return moments;
}

/**
 * The moments of the union of disjoint tiles. Throws `ShapeError` unless all have the same groups. Of no tiles: no
 * groups.
 */
export function mergeGroupMoments(tiles: readonly GroupMoments[]): GroupMoments {
  const groups = tiles[0]?.count.length ?? 0;
  const moments = emptyMoments(groups);
  for (const tile of tiles) {
    if (tile.count.length !== groups) {
      throw new ShapeError(
        `groupNorm: tiles must have the same groups, got ${groups} and ${tile.count.length}`,
      );
    }
    tile.count.forEach((count, group) => {
      const [mean, variance] = [tile.mean[group] as number, tile.variance[group] as number];
      mergeInto(moments, group, count, mean, variance);
    });
  }
  return moments;
}

function emptyMoments(groups: number): GroupMoments {
  return {
    mean: new Float64Array(groups),
    variance: new Float64Array(groups),
    count: new Float64Array(groups),
  };
}

/** Chan's formula, on variances instead of M2. */
function mergeInto(
  moments: GroupMoments,
  group: number,
  count: number,
  mean: number,
  variance: number,
): void {
  const total = (moments.count[group] as number) + count;
  if (total === 0) return;
  const share = count / total;
  const oldMean = moments.mean[group] as number;
  const oldVariance = moments.variance[group] as number;
  const delta = mean - oldMean;
  moments.mean[group] = oldMean + delta * share;
  moments.variance[group] =
    oldVariance + (variance - oldVariance) * share + delta * delta * share * (1 - share);
  moments.count[group] = total;
}

/**
 * The `affine` operand of one image from known moments, in the kernel's layout. `mean` and `variance` have
 * `numGroups` entries; `gamma` and `beta` one per channel, without padding.
 */
export function affineFromMoments(
  mean: Float64Array,
  variance: Float64Array,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  numGroups: number,
  eps: number,
): Float32Array<ArrayBuffer> {
  const channels = gamma.length;
  if (beta.length !== channels || !isShape([channels, numGroups]) || channels % numGroups !== 0) {
    throw new ShapeError(
      `groupNorm: gamma and beta must have the same multiple of numGroups as length, ` +
        `got ${channels}, ${beta.length} and ${numGroups} groups`,
    );
  }
  if (mean.length !== numGroups || variance.length !== numGroups) {
    throw new ShapeError(
      `groupNorm: mean and variance must have ${numGroups} entries, got ${mean.length} and ${variance.length}`,
    );
  }
  const stride = paddedChannels(channels);
  const affine = new Float32Array(2 * stride);
  for (let c = 0; c < channels; c++) {
    const group = Math.floor(c / (channels / numGroups));
    const a = (gamma[c] as number) / Math.sqrt((variance[group] as number) + eps);
    affine[c] = a;
    affine[stride + c] = (beta[c] as number) - (mean[group] as number) * a;
  }
  return affine;
}
