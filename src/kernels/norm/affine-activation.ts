/**
 * The third step of GroupNorm: a scale and a shift for every channel, then an activation.
 *
 *   y = activate(a[c]·x + b[c])
 *
 * Layout: x [N, pixels, channels], y [N, pixels, totalChannels], both in quads. affine f32 as `groupNormAffine`
 * writes it: [N][2][quads of totalChannels] vec4, all a of an image and then all b. The channels of x begin at
 * `channelOffset` in y and in the table: a norm over two concatenated tensors is two plans that write one y.
 *
 * One invocation per quad and strip of pixels, quads innermost; a and b are read once for a strip. f32
 * arithmetic, one rounding. Padding stays zero: a and b are 0 there.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import { activationWgsl } from "../pointwise/activation.ts";

/** Operands: `x`, `affine` → `y` (only the channels of x are written). */
export interface AffineActivationProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Pixels of one image. */
  readonly pixels: number;
  /** Channels of x. */
  readonly channels: number;
  /** First channel of x in y and in the table; a multiple of 4. */
  readonly channelOffset: number;
  /** Channels of y and of the table. */
  readonly totalChannels: number;
  /** Applied last. */
  readonly activation: "none" | "silu";
}

const WORKGROUP = 64;

/**
 * Pixels of one invocation, which share 32 B of scale and shift. On software adapters those and what an invocation costs
 * before its first pixel are a third of the time with 4 (bench/NOTES.md).
 */
const stripPixels = ({ isSoftware }: Caps): number => (isSoftware ? 64 : 4);

const BODY = /* wgsl */ `${activationWgsl("silu")}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let quad = i % params.quads;
  let strip = (i / params.quads) % params.strips;
  let image = i / (params.quads * params.strips);
  let first = strip * STRIP_PIXELS;
  let end = min(first + STRIP_PIXELS, params.pixels);

  let out_quad = params.quad_offset + quad;
  let table = image * params.total_quads * 2u + out_quad;
  let a = affine[table];
  let b = affine[table + params.total_quads];
  for (var pixel = image * params.pixels + first; pixel < image * params.pixels + end; pixel += 1u) {
    let v = unpack(x[pixel * params.quads + quad]);
    let z = a * v + b;
    if (params.has_silu != 0u) { y[pixel * params.total_quads + out_quad] = pack(activate(z)); }
    else { y[pixel * params.total_quads + out_quad] = pack(z); }
  }
}
`;

/** A scale and a shift for every channel, then an activation: the third step of GroupNorm. */
export const affineActivation: Kernel<AffineActivationProblem, "strip"> = defineKernel({
  name: "affineActivation",
  variants: ["strip"],
  check({ batch, pixels, channels, channelOffset, totalChannels }) {
    if (!isShape([batch, pixels, channels, totalChannels])) {
      throw new ShapeError(
        `affineActivation: sizes must be integers ≥ 1, ` +
          `got batch ${batch}, pixels ${pixels}, channels ${channels}, totalChannels ${totalChannels}`,
      );
    }
    const end = channelOffset + channels;
    if (!(channelOffset >= 0 && channelOffset % 4 === 0 && end <= totalChannels)) {
      throw new ShapeError(
        `affineActivation: channelOffset must be a multiple of 4 that leaves room for ${channels} of ` +
          `${totalChannels} channels, got ${channelOffset}`,
      );
    }
    if (channels % 4 !== 0 && end !== totalChannels) {
      throw new ShapeError(
        `affineActivation: only the last source may have an incomplete quad, ` +
          `got channels ${channelOffset}..${end} of ${totalChannels}`,
      );
    }
  },
  dispatches(problem, caps) {
    const { dtype, batch, pixels, channels, channelOffset, totalChannels, activation } = problem;
    const quads = quadCount(channels);
    const STRIP_PIXELS = stripPixels(caps);
    const strips = Math.ceil(pixels / STRIP_PIXELS);
    const invocations = batch * strips * quads;
    const header = {
      caps,
      dtype,
      operands: [reads("x"), reads("affine", "vec4<f32>"), writes("y")],
      params: [
        u32("invocations", invocations),
        u32("quads", quads),
        u32("strips", strips),
        u32("pixels", pixels),
        u32("quad_offset", channelOffset / 4),
        u32("total_quads", quadCount(totalChannels)),
        u32("has_silu", activation === "silu" ? 1 : 0),
      ],
      constants: { WORKGROUP, STRIP_PIXELS },
    };
    const workgroups = foldWorkgroups(Math.ceil(invocations / WORKGROUP));
    return [dispatch(`affineActivation ${activation}`, header, BODY, workgroups)];
  },
  cost({ dtype, batch, pixels, channels, activation }) {
    const elements = batch * pixels * quadCount(channels) * 4;
    const bytes = elements * dtypeByteLength(dtype);
    return {
      flops: elements * (activation === "none" ? 2 : 5),
      bytesRead: bytes + batch * quadCount(channels) * 2 * 16,
      bytesWritten: bytes,
    };
  },
});
