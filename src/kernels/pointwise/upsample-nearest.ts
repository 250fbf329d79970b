/**
 * Nearest-neighbour resize to a given size, bit for bit:
 *
 *   y[b, i, j] = x[b, ⌊i·inHeight/outHeight⌋, ⌊j·inWidth/outWidth⌋]
 *
 * Layout: NHWC in quads. One invocation per output quad. Indices are integers throughout. An f32 scale
 * differs at some sizes (row 41 of 2 → 82 comes from row 0 instead of 1), never at power-of-two factors.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { isShape, paddedChannels, quadCount, ShapeError } from "../../gpu/shape.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";

/** Operands: `x` [batch, inHeight, inWidth, channels], `y` [batch, outHeight, outWidth, channels]. */
export interface UpsampleNearestProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Rows of the input map. */
  readonly inHeight: number;
  /** Columns of the input map. */
  readonly inWidth: number;
  /** Rows of the output map. */
  readonly outHeight: number;
  /** Columns of the output map. */
  readonly outWidth: number;
  /** Channels, without padding. */
  readonly channels: number;
}

const WORKGROUP = 64;
/** Rows and batch are grid dimensions; and (out − 1)·in must stay within u32. */
const MAX_SIZE = 65_535;

/** Workgroups of one row of y. */
function rowGroups({ outWidth, channels }: UpsampleNearestProblem): number {
  return Math.ceil((outWidth * quadCount(channels)) / WORKGROUP);
}

const BODY = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x / QUADS;
  if (column >= params.out_width) { return; }
  let source_row = id.z * params.in_height + id.y * params.in_height / params.out_height;
  let source_column = column * params.in_width / params.out_width;
  let target_row = id.z * params.out_height + id.y;
  y[target_row * params.out_width * QUADS + id.x] =
    x[(source_row * params.in_width + source_column) * QUADS + id.x % QUADS];
}
`;

/** Nearest-neighbour resize to a given size, bit for bit. */
export const upsampleNearest: Kernel<UpsampleNearestProblem, "quad"> = defineKernel({
  name: "upsample-nearest",
  variants: ["quad"],
  check(problem) {
    const { batch, inHeight, inWidth, outHeight, outWidth, channels } = problem;
    const sizes = [batch, inHeight, inWidth, outHeight, outWidth, channels];
    const described = `[${batch}, ${inHeight}, ${inWidth}, ${channels}] to ${outHeight}×${outWidth}`;
    if (!isShape(sizes) || sizes.some((size) => size > MAX_SIZE)) {
      throw new ShapeError(
        `upsampleNearest: sizes must be integers from 1 to ${MAX_SIZE}, got ${described}`,
      );
    }
    if (rowGroups(problem) > MAX_SIZE) {
      throw new ShapeError(
        `upsampleNearest: a row must have at most ${MAX_SIZE * WORKGROUP} quads, got ${described}`,
      );
    }
  },
  dispatches(problem, caps) {
    const { dtype, batch, inHeight, inWidth, outHeight, outWidth, channels } = problem;
    const header = {
      caps,
      dtype,
      operands: [reads("x"), writes("y")],
      params: [
        u32("in_height", inHeight),
        u32("in_width", inWidth),
        u32("out_height", outHeight),
        u32("out_width", outWidth),
      ],
      constants: { WORKGROUP, QUADS: quadCount(channels) },
    };
    return [dispatch("upsample-nearest", header, BODY, [rowGroups(problem), outHeight, batch])];
  },
  cost({ dtype, batch, inHeight, inWidth, outHeight, outWidth, channels }) {
    const pixel = batch * paddedChannels(channels) * dtypeByteLength(dtype);
    return {
      flops: 0,
      bytesRead: pixel * inHeight * inWidth,
      bytesWritten: pixel * outHeight * outWidth,
    };
  },
});
