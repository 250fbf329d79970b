/**
 * The second step of GroupNorm: partial statistics of one or two sources become a scale and a shift for
 * every channel, to be applied by `affineActivation`, or by conv2d and linear while they load (`loads.ts`).
 *
 *   a[c] = gamma[c]·rstd,  b[c] = beta[c] − mean·a[c]      rstd = 1/√(variance + eps), biased variance
 *
 * Layout: stats0, stats1 as `Statistics` says; gamma, beta f32 padded with zeros to quads; affine
 * f32: [N][2][quads] vec4, all a of an image and then all b, zeros in the padding. With two sources the
 * channels of the second follow those of the first, and a group may have channels of both.
 *
 * One workgroup per (image, group). The entries of the group are summed lane by lane (`group-sums.ts`) and then over a
 * tree, always in the same order.
 *
 * Known limit: y = a·x + b rounds at the size of b, so its absolute error reaches 2e-7·|mean|·rstd·gamma.
 */
import { paddedChannels, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, f32, reads, u32, writes } from "../kernel.ts";
import { channelStatsByteLength } from "./channel-stats.ts";
import type { GroupNormOfSources } from "./group-sums.ts";
import { checkGroupNorm, groupSumsParams, groupSumsWgsl, totalChannels } from "./group-sums.ts";
import { laneSumWgsl } from "./lane-sum.ts";

/** Operands: `stats0`, `stats1` (with two sources), `gamma`, `beta` → `affine`. */
export interface GroupNormAffineProblem extends GroupNormOfSources {
  /** Whether operand `beta` also holds gamma, before it: [2][quads]. */
  readonly isStacked: boolean;
}

/** Bytes of the `affine` operand. */
export function groupNormAffineByteLength(batch: number, channels: number): number {
  return batch * 2 * paddedChannels(channels) * 4;
}

const BODY = /* wgsl */ `${groupSumsWgsl(["stats0", "stats1"])}${laneSumWgsl("f32", "LANES")}
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
  let mean = sum_of_lanes(weighted_means(image, low, high, lane, LANES, shift), lane) / values;
  let variance = sum_of_lanes(spread(image, low, high, lane, LANES, shift, mean), lane) / values;
  let rstd = 1.0 / sqrt(variance + params.eps);

  // The last group also writes the padding: gamma and beta are 0 there.
  let end = select(high, params.quads * 4u, group + 1u == params.groups);
  let table = image * params.quads * 8u;
  for (var channel = low + lane; channel < end; channel += LANES) {
    let a = gamma[channel] * rstd;
    affine[table + channel] = a;
    affine[table + params.quads * 4u + channel] = (beta[params.beta_first + channel] - mean * a) - shift * a;
  }
}
`;

/** Statistics of channels as a scale and a shift for each: the second step of GroupNorm. */
export const groupNormAffine: Kernel<GroupNormAffineProblem, "tree"> = defineKernel({
  name: "groupNormAffine",
  variants: ["tree"],
  check: (problem) => checkGroupNorm("groupNorm", problem),
  dispatches({ batch, sources, numGroups, eps, isStacked }, caps) {
    const channels = totalChannels(sources);
    const second = sources.length === 2 ? {} : { boundTo: "stats0" };
    const header = {
      caps,
      dtype: "f32",
      // Scalars, not quads: groups begin and end anywhere within a quad.
      operands: [
        reads("stats0", "f32"),
        { ...reads("stats1", "f32"), ...second },
        reads("gamma", "f32"),
        reads("beta", "f32"),
        writes("affine", "f32"),
      ],
      params: [
        u32("batch", batch),
        u32("groups", numGroups),
        u32("group_channels", channels / numGroups),
        u32("quads", quadCount(channels)),
        u32("pixels", sources[0].pixels),
        f32("eps", eps),
        u32("beta_first", isStacked ? paddedChannels(channels) : 0),
        ...groupSumsParams(sources),
      ],
      constants: { LANES: caps.isSoftware ? 64 : 256 },
    } as const;
    return [dispatch("groupNormAffine", header, BODY, foldWorkgroups(batch * numGroups))];
  },
  cost({ batch, sources }) {
    const channels = totalChannels(sources);
    const cost = { flops: batch * channels * 3, bytesRead: 2 * paddedChannels(channels) * 4 };
    for (const { partials, channels: own, channelsPerEntry } of sources) {
      cost.flops += ((batch * partials * own) / channelsPerEntry) * 9;
      cost.bytesRead += channelStatsByteLength(batch, partials, own, channelsPerEntry);
    }
    return { ...cost, bytesWritten: groupNormAffineByteLength(batch, channels) };
  },
});
