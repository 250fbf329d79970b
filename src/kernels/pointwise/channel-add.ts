/**
 * y[n, p, c] = x[n, p, c] + v[n, c]: the time embedding, added to every pixel. Runs where the addition is not in the
 * epilogue of the convolution before it. One invocation per quad.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";

/** Operands `x` [batch, pixels, channels], `channel_add` [batch, channels], `y` like x. */
export interface ChannelAddProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Pixels of one image. */
  readonly pixels: number;
  /** Channels, without padding. */
  readonly channels: number;
}

const WORKGROUP = 64;

const BODY = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.total) { return; }
  let image = i / params.image_quads;
  y[i] = pack(unpack(x[i]) + unpack(channel_add[image * params.quads + i % params.quads]));
}
`;

/** One value per channel and image added to every pixel. */
export const channelAdd: Kernel<ChannelAddProblem, "quad"> = defineKernel({
  name: "channelAdd",
  variants: ["quad"],
  check({ batch, pixels, channels }) {
    if (isShape([batch, pixels, channels])) return;
    throw new ShapeError(
      `channelAdd: sizes must be integers ≥ 1, got [${batch}, ${pixels}, ${channels}]`,
    );
  },
  dispatches({ dtype, batch, pixels, channels }, caps) {
    const quads = quadCount(channels);
    const total = batch * pixels * quads;
    const operands = [reads("x"), reads("channel_add"), writes("y")];
    const params = [u32("total", total), u32("quads", quads), u32("image_quads", pixels * quads)];
    const header = { caps, dtype, operands, params, constants: { WORKGROUP } };
    return [dispatch("channelAdd", header, BODY, foldWorkgroups(Math.ceil(total / WORKGROUP)))];
  },
  cost({ dtype, batch, pixels, channels }) {
    const bytes = batch * pixels * channels * dtypeByteLength(dtype);
    return { flops: batch * pixels * channels, bytesRead: bytes, bytesWritten: bytes };
  },
});
