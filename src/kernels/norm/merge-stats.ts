/**
 * Merges the partial statistics of a tile into one entry for each channel, which is a partial of the whole map: where a map is
 * computed tile by tile, `groupNormAffine` reads the entries of all its tiles.
 *
 *   mean = Σ_s pixels_s · mean_s / pixels,  M2 = Σ_s (M2_s + pixels_s · (mean_s − mean)²)
 *
 * Layout: both as `channelStats` writes them, for one image; the entry begins at `first`, and the rest of `stats` stays as it is.
 * One workgroup per quad: its lanes take the partials in turn, and a tree adds them, always in the same order. All in f32, with
 * means relative to the first one.
 */
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import type { PartialCounts } from "./channel-stats.ts";
import { channelStatsByteLength, partialParams, partialPixelsWgsl } from "./channel-stats.ts";
import { laneSumWgsl } from "./lane-sum.ts";

/** Operands, both f32: `partials` [partials, quads] pairs of mean and M2; `stats`, of which one such row is written. */
export interface MergeStatsProblem extends PartialCounts {
  /** Channels, without padding. */
  readonly channels: number;
  /** Where the row begins in `stats`: in f32, a multiple of 8. */
  readonly first: number;
}

const LANES = 64;

const BODY = /* wgsl */ `${partialPixelsWgsl("")}${laneSumWgsl("vec4<f32>", "LANES")}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let quad = flat_group(group, counts);
  if (quad >= params.quads) { return; } // the same for the whole workgroup
  let shift = partials[quad * 2u];
  var means = vec4<f32>(0.0);
  for (var s = lane; s < params.partials; s += LANES) {
    means += partial_pixels(s) * (partials[(s * params.quads + quad) * 2u] - shift);
  }
  let mean = sum_of_lanes(means, lane) / f32(params.pixels);
  var spread = vec4<f32>(0.0);
  for (var s = lane; s < params.partials; s += LANES) {
    let at = (s * params.quads + quad) * 2u;
    let delta = (partials[at] - shift) - mean;
    spread += partials[at + 1u] + partial_pixels(s) * (delta * delta);
  }
  let m2 = sum_of_lanes(spread, lane);
  if (lane == 0u) {
    stats[params.first_quad + quad * 2u] = shift + mean;
    stats[params.first_quad + quad * 2u + 1u] = m2;
  }
}
`;

/** The statistics of a tile as one partial of its map. */
export const mergeStats: Kernel<MergeStatsProblem, "tree"> = defineKernel({
  name: "mergeStats",
  variants: ["tree"],
  check({ channels, partials, pixels, first }) {
    if (!isShape([channels, partials, pixels]) || partials > pixels) {
      throw new ShapeError(
        `mergeStats: needs channels ≥ 1 and 1 ≤ partials ≤ pixels, ` +
          `got channels ${channels}, partials ${partials}, pixels ${pixels}`,
      );
    }
    if (!Number.isSafeInteger(first) || first < 0 || first % 8 !== 0) {
      throw new ShapeError(`mergeStats: first must be a multiple of 8 from 0 on, got ${first}`);
    }
  },
  dispatches(problem, caps) {
    const quads = quadCount(problem.channels);
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("partials", "vec4<f32>"), writes("stats", "vec4<f32>")],
      params: [
        u32("quads", quads),
        u32("partials", problem.partials),
        u32("pixels", problem.pixels),
        u32("first_quad", problem.first / 4),
        ...partialParams(problem, ""),
      ],
      constants: { LANES },
    } as const;
    return [dispatch("mergeStats", header, BODY, foldWorkgroups(quads))];
  },
  cost({ channels, partials }) {
    return {
      flops: partials * quadCount(channels) * 4 * 8,
      bytesRead: channelStatsByteLength(1, partials, channels),
      bytesWritten: channelStatsByteLength(1, 1, channels),
    };
  },
});
