/**
 * y[n, p, c] = x[n, p, c] + v[n, c]: the time embedding added to every pixel, where it is not an epilogue
 * of the convolution before it. One invocation per quad.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";

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

function check({ batch, pixels, channels }: ChannelAddProblem): void {
  if (!isShape([batch, pixels, channels])) {
    throw new ShapeError(
      `channelAdd: sizes must be integers ≥ 1, got [${batch}, ${pixels}, ${channels}]`,
    );
  }
}

function plan(p: ChannelAddProblem, caps: Caps): KernelPlan {
  check(p);
  const quads = p.batch * p.pixels * quadCount(p.channels);
  const body = /* wgsl */ `
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * ${WORKGROUP}u + local;
  if (i >= params.total) { return; }
  let image = i / params.image_quads;
  y[i] = pack(unpack(x[i]) + unpack(channel_add[image * params.quads + i % params.quads]));
}
`;
  return {
    variant: "quad",
    scratch: [],
    dispatches: [
      dispatch(
        "channelAdd",
        {
          caps,
          dtype: p.dtype,
          operands: [reads("x"), reads("channel_add"), writes("y")],
          params: [
            u32("total", quads),
            u32("quads", quadCount(p.channels)),
            u32("image_quads", p.pixels * quadCount(p.channels)),
          ],
        },
        body,
        foldWorkgroups(Math.ceil(quads / WORKGROUP)),
      ),
    ],
  };
}

function cost(p: ChannelAddProblem): Cost {
  const bytes = p.batch * p.pixels * p.channels * dtypeByteLength(p.dtype);
  return { flops: p.batch * p.pixels * p.channels, bytesRead: bytes, bytesWritten: bytes };
}

/** One value per channel and image added to every pixel. */
export const channelAdd: Kernel<ChannelAddProblem, "quad"> = {
  name: "channelAdd",
  variants: ["quad"],
  check,
  select: () => "quad",
  plan,
  cost,
};
