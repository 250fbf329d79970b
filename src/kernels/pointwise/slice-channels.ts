/**
 * A window of channels, optionally scaled and clamped:
 *
 *   y[row, c] = clamp(scale·x[row, offset + c]),  c = 0 … count − 1
 *
 * Layout: rows (pixels or tokens) of quads. y is padded with zeros, whatever follows the window in x. One invocation
 * per output quad, which is put together from two quads of x where offset is not a multiple of 4. A plain copy is bit
 * for bit; scaled and clamped values go through f32, which holds every half. Covers mean and log-variance of the VAE.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { isShape, paddedChannels, quadCount, ShapeError } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, f32, reads, u32, writes } from "../kernel.ts";
import { quadWindowWgsl } from "./quad-window.ts";

/** Operands: `x` [rows, channels], `y` [rows, count]. */
export interface SliceChannelsProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** Channels of x. */
  readonly channels: number;
  /** First channel of the window. */
  readonly offset: number;
  /** Channels of the window. */
  readonly count: number;
  /** Factor of every value. */
  readonly scale: number;
  /** [lowest, highest], or null. */
  readonly clamp: readonly [number, number] | null;
}

const WORKGROUP = 64;
/** The largest finite f32; shaders need not know infinities. */
const F32_MAX = 3.4028234663852886e38;

/** A window of the channels, optionally scaled and clamped. */
export const sliceChannels: Kernel<SliceChannelsProblem, "quad"> = defineKernel({
  name: "slice-channels",
  variants: ["quad"],
  check({ rows, channels, offset, count, clamp }) {
    if (!isShape([rows, channels, count])) {
      throw new ShapeError(
        `sliceChannels: rows, channels and count must be integers ≥ 1, got ${rows}, ${channels} and ${count}`,
      );
    }
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + count > channels) {
      throw new ShapeError(
        `sliceChannels: window must lie within the ${channels} channels, ` +
          `got offset ${offset}, count ${count}`,
      );
    }
    if (clamp !== null && !(clamp[0] <= clamp[1])) {
      throw new ShapeError(`sliceChannels: clamp must be [low, high], got [${clamp.join(", ")}]`);
    }
  },
  dispatches(problem, caps) {
    const { dtype, rows, channels, offset, count, scale, clamp } = problem;
    const [low, high] = clamp ?? [-F32_MAX, F32_MAX];
    const quads = rows * quadCount(count);
    const header = {
      caps,
      dtype,
      operands: [reads("x"), writes("y")],
      params: [
        u32("quads", quads),
        u32("first_quad", Math.floor(offset / 4)),
        f32("scale", scale),
        f32("low", low),
        f32("high", high),
      ],
      constants: { WORKGROUP, X_QUADS: quadCount(channels), Y_QUADS: quadCount(count) },
    };
    const body = quadWindowWgsl(dtype, caps) + sliceWgsl(problem);
    return [dispatch("slice-channels", header, body, foldWorkgroups(Math.ceil(quads / WORKGROUP)))];
  },
  cost({ dtype, rows, count, clamp }) {
    const bytes = rows * paddedChannels(count) * dtypeByteLength(dtype);
    return { flops: clamp === null ? 0 : 2 * rows * count, bytesRead: bytes, bytesWritten: bytes };
  },
});

function sliceWgsl({ offset, count, scale, clamp }: SliceChannelsProblem): string {
  const isCopy = scale === 1 && clamp === null;
  const shift = offset % 4;
  const kept = count % 4;
  const window = shift === 0 ? "x[first]" : `window_${shift}(x[first], following)`;
  const scaled = `pack(clamp(params.scale * unpack(${window}), vec4<f32>(params.low), vec4<f32>(params.high)))`;
  // Zeros behind the last channel: move the kept ones to the end of a quad and back before zeros.
  const trimmed = `window_${4 - kept}(window_${kept}(Quad(), value), Quad())`;
  return /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  let quad = i % Y_QUADS + params.first_quad; // in a row of x
  let first = i / Y_QUADS * X_QUADS + quad;
${shift === 0 ? "" : "  var following = Quad();\n  if (quad + 1u < X_QUADS) { following = x[first + 1u]; }"}
  var value = ${isCopy ? window : scaled};
${kept === 0 ? "" : `  if (i % Y_QUADS == Y_QUADS - 1u) { value = ${trimmed}; }`}
  y[i] = value;
}
`;
}
