/**
 * Mean over all pixels of each channel, the last step of a global average pool:
 *
 *   y[n, c] = Σ_s pixels_s · mean[n, s, c] / pixels
 *
 * Layout: `stats` f32 as `channelStats` writes them, `y` [N, C] in quads. One invocation per (image, quad).
 * The means of the partials are summed as differences from the first one, so that a large common offset does
 * not cost digits.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import type { StatisticsTiles } from "./channel-stats.ts";
import { channelStatsByteLength, partialParams, partialPixelsWgsl } from "./channel-stats.ts";

/** Operands: `stats` (f32, [batch, partials, quads] pairs of mean and M2), `y` [batch, channels]. */
export interface ChannelMeanProblem {
  /** Storage of `y`. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Channels, without padding. */
  readonly channels: number;
  /** Partials of an image, at most `pixels`. */
  readonly partials: number;
  /** Pixels that the statistics count. */
  readonly pixels: number;
  /** Which partials are tiles of what map; null: strips, as `channelStats` cuts them. */
  readonly tiles: StatisticsTiles | null;
  /** Where the statistics, of single channels, begin in `stats`: in f32, a multiple of 8. */
  readonly first: number;
}

const WORKGROUP = 64;

const BODY = /* wgsl */ `${partialPixelsWgsl("")}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let image = i / params.quads;
  let quad = i % params.quads;
  let first = params.first_quad + image * params.partials * params.quads + quad;
  let shift = stats[first * 2u];
  var sum = vec4<f32>(0.0);
  for (var s = 0u; s < params.partials; s++) {
    sum += partial_pixels(s) * (stats[(first + s * params.quads) * 2u] - shift);
  }
  y[i] = pack(shift + sum / f32(params.pixels));
}
`;

/** Mean of each channel over all pixels, from the statistics of `channelStats`. */
export const channelMean: Kernel<ChannelMeanProblem, "quad"> = defineKernel({
  name: "channelMean",
  variants: ["quad"],
  check({ batch, channels, partials, pixels }) {
    if (isShape([batch, channels, partials, pixels]) && partials <= pixels) return;
    throw new ShapeError(
      `channelMean: needs sizes ≥ 1 and partials ≤ pixels, ` +
        `got batch ${batch}, channels ${channels}, partials ${partials}, pixels ${pixels}`,
    );
  },
  dispatches(problem, caps) {
    const { dtype, batch, channels, partials, pixels, first } = problem;
    const quads = quadCount(channels);
    const header = {
      caps,
      dtype,
      operands: [reads("stats", "vec4<f32>"), writes("y")],
      params: [
        u32("invocations", batch * quads),
        u32("quads", quads),
        u32("partials", partials),
        u32("pixels", pixels),
        u32("first_quad", first / 8),
        ...partialParams(problem, ""),
      ],
      constants: { WORKGROUP },
    };
    const workgroups = foldWorkgroups(Math.ceil((batch * quads) / WORKGROUP));
    return [dispatch("channelMean", header, BODY, workgroups)];
  },
  cost({ dtype, batch, channels, partials }) {
    const elements = batch * quadCount(channels) * 4;
    return {
      flops: 3 * elements * partials,
      bytesRead: channelStatsByteLength(batch, partials, channels),
      bytesWritten: elements * dtypeByteLength(dtype),
    };
  },
});
