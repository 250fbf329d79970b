/**
 * LayerNorm over the channels of every row (token).
 *
 *   y = (x − mean)·rstd·gamma + beta      rstd = 1/√(variance + eps), biased variance
 *
 * Layout: x, y [rows, C] in quads; gamma, beta f32 padded with zeros to quads.
 *
 * Two passes in f32 with the padding masked: first the mean, then Σ(x − mean) and Σ(x − mean)². In exact arithmetic
 * Σ(x − mean) is zero. What rounding leaves of it corrects the mean ("corrected two-pass"), so that an offset of 1000
 * costs no digits. The variance needs no correction: the square of that rest is below its rounding.
 *
 * "row": one invocation per row, for software adapters and short rows. "workgroup": one workgroup per row,
 * lanes along the quads, sums over a tree of fixed order.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, paddedChannels, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, f32, reads, u32, writes } from "../kernel.ts";
import { laneSumWgsl } from "./lane-sum.ts";

/** Operands: `x`, `gamma`, `beta` → `y`. */
export interface LayerNormProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** Channels, without padding. */
  readonly channels: number;
  /** Added to the variance, so that its root is never zero. */
  readonly eps: number;
}

export type LayerNormVariant = "row" | "workgroup";

/** Invocations of a workgroup: rows for "row", lanes of one row for "workgroup". */
const WORKGROUP = 64;

/** Rows of at most so many quads would leave most lanes of a workgroup idle. */
const SHORT_ROW_QUADS = 8;

const COMMON = /* wgsl */ `
// x − mean at a quad of the row, 0 in the padding.
fn centered(index: u32, quad: u32, mean: f32) -> vec4<f32> {
  let is_channel = vec4<u32>(0u, 1u, 2u, 3u) + vec4<u32>(quad * 4u) < vec4<u32>(params.channels);
  return select(vec4<f32>(0.0), unpack(x[index]) - vec4<f32>(mean), is_channel);
}

// Σd and Σd² of one quad.
fn moments(d: vec4<f32>) -> vec2<f32> {
  return vec2<f32>(dot(d, vec4<f32>(1.0)), dot(d, d));
}

// The correction of the mean, and rstd, from Σ(x − mean) and Σ(x − mean)².
fn finish(sums: vec2<f32>) -> vec2<f32> {
  let rest = sums / f32(params.channels);
  return vec2<f32>(rest.x, 1.0 / sqrt(rest.y + params.eps));
}
`;

const ROW = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let row = flat_group(group, counts) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  let base = row * params.quads;
  var sum = vec4<f32>(0.0);
  for (var q = 0u; q < params.quads; q += 1u) { sum += unpack(x[base + q]); }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(params.channels);
  var sums = vec2<f32>(0.0);
  for (var q = 0u; q < params.quads; q += 1u) { sums += moments(centered(base + q, q, mean)); }
  let rest = finish(sums);
  for (var q = 0u; q < params.quads; q += 1u) {
    let d = centered(base + q, q, mean) - vec4<f32>(rest.x);
    y[base + q] = pack(d * rest.y * gamma[q] + beta[q]);
  }
}
`;

const WORKGROUP_PER_ROW = /* wgsl */ `${laneSumWgsl("vec2<f32>", "WORKGROUP")}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, counts);
  if (row >= params.rows) { return; } // the same for the whole workgroup
  let base = row * params.quads;
  var sum = vec4<f32>(0.0);
  for (var q = lane; q < params.quads; q += WORKGROUP) { sum += unpack(x[base + q]); }
  let total = sum_of_lanes(vec2<f32>(dot(sum, vec4<f32>(1.0)), 0.0), lane);
  let mean = total.x / f32(params.channels);
  var sums = vec2<f32>(0.0);
  for (var q = lane; q < params.quads; q += WORKGROUP) { sums += moments(centered(base + q, q, mean)); }
  let rest = finish(sum_of_lanes(sums, lane));
  for (var q = lane; q < params.quads; q += WORKGROUP) {
    let d = centered(base + q, q, mean) - vec4<f32>(rest.x);
    y[base + q] = pack(d * rest.y * gamma[q] + beta[q]);
  }
}
`;

/** Normalises the channels of every row. */
export const layerNorm: Kernel<LayerNormProblem, LayerNormVariant> = defineKernel({
  name: "layerNorm",
  variants: ["row", "workgroup"],
  check({ rows, channels, eps }) {
    if (!isShape([rows, channels])) {
      throw new ShapeError(
        `layerNorm: rows and channels must be integers ≥ 1, got ${rows} and ${channels}`,
      );
    }
    if (!(eps > 0 && Number.isFinite(eps))) {
      throw new ShapeError(`layerNorm: eps must be a positive number, got ${eps}`);
    }
  },
  select: ({ channels }, caps) =>
    caps.isSoftware || quadCount(channels) <= SHORT_ROW_QUADS ? "row" : "workgroup",
  dispatches({ dtype, rows, channels, eps }, caps, variant) {
    const tables = ["gamma", "beta"].map((name) => reads(name, "vec4<f32>"));
    const header = {
      caps,
      dtype,
      operands: [reads("x"), ...tables, writes("y")],
      params: [
        u32("rows", rows),
        u32("channels", channels),
        u32("quads", quadCount(channels)),
        f32("eps", eps),
      ],
      constants: { WORKGROUP },
    };
    const body = COMMON + (variant === "row" ? ROW : WORKGROUP_PER_ROW);
    const workgroups = foldWorkgroups(variant === "row" ? Math.ceil(rows / WORKGROUP) : rows);
    return [dispatch(`layerNorm/${variant}`, header, body, workgroups)];
  },
  cost({ dtype, rows, channels }) {
    const bytes = rows * paddedChannels(channels) * dtypeByteLength(dtype);
    return {
      flops: rows * channels * 9,
      bytesRead: bytes + 2 * paddedChannels(channels) * 4,
      bytesWritten: bytes,
    };
  },
});
