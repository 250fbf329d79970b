/**
 * GEGLU on its own: y[row, c] = x[row, c] · gelu(x[row, D + c]),  x [rows, 2D] → y [rows, D].
 *
 * The fused form is an epilogue of linear; this one serves graphs without fusion. D need not be a multiple of 4, so
 * the gate's quad is put together channel by channel. One invocation per output quad.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import { activationWgsl } from "./activation.ts";

/** Operands `x` [rows, 2·channels], `y` [rows, channels]. */
export interface GegluProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** D, the stored channels of y. */
  readonly channels: number;
}

const WORKGROUP = 64;

const BODY = /* wgsl */ `${activationWgsl("gelu")}
fn gate_at(row: u32, channel: u32) -> f32 {
  return unpack(x[row * params.in_quads + (channel >> 2u)])[channel & 3u];
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.rows * params.out_quads) { return; }
  let row = i / params.out_quads;
  let c = (i % params.out_quads) * 4u;
  var value = vec4<f32>(0.0);
  var gate = vec4<f32>(0.0);
  for (var lane = 0u; lane < 4u; lane++) {
    if (c + lane < params.channels) {
      value[lane] = gate_at(row, c + lane);
      gate[lane] = gate_at(row, params.channels + c + lane);
    }
  }
  y[i] = pack(value * activate(gate));
}
`;

/** value · gelu(gate), of a tensor that holds both side by side. */
export const geglu: Kernel<GegluProblem, "quad"> = defineKernel({
  name: "geglu",
  variants: ["quad"],
  check({ rows, channels }) {
    if (isShape([rows, channels])) return;
    throw new ShapeError(
      `geglu: sizes must be integers ≥ 1, got rows ${rows}, channels ${channels}`,
    );
  },
  dispatches({ dtype, rows, channels }, caps) {
    const params = [
      u32("rows", rows),
      u32("channels", channels),
      u32("in_quads", quadCount(2 * channels)),
      u32("out_quads", quadCount(channels)),
    ];
    const operands = [reads("x"), writes("y")];
    const header = { caps, dtype, operands, params, constants: { WORKGROUP } };
    const workgroups = foldWorkgroups(Math.ceil((rows * quadCount(channels)) / WORKGROUP));
    return [dispatch("geglu", header, BODY, workgroups)];
  },
  cost({ dtype, rows, channels }) {
    const bytes = rows * channels * dtypeByteLength(dtype);
    return { flops: 20 * rows * channels, bytesRead: 2 * bytes, bytesWritten: bytes };
  },
});
