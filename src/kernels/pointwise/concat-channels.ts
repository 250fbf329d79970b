/**
 * Concatenation along channels, bit for bit:
 *
 *   y[row, 0 … c1 − 1] = a[row, …],  y[row, c1 … c1 + c2 − 1] = b[row, …]
 *
 * Layout: rows (pixels or tokens) of quads, zero-padded. One invocation per output quad. Where c1 is a multiple of 4
 * (all of SD 2.1) quads are copied whole. Otherwise quads from c1 on are put together from two neighbours.
 *
 * Runs for the concatenations that no kernel before or after them can do in its stores or loads.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { isShape, paddedChannels, quadCount, ShapeError } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import { quadWindowWgsl } from "./quad-window.ts";

/** Operands: `a` [rows, channels[0]], `b` [rows, channels[1]], `y` [rows, channels[0] + channels[1]]. */
export interface ConcatChannelsProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** Channels of a and of b. */
  readonly channels: readonly [number, number];
}

/** `quads`: c1 is a multiple of 4. `shifted`: any c1. */
export type ConcatChannelsVariant = "quads" | "shifted";

const WORKGROUP = 64;

const MAIN = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  y[i] = concat(i / Y_QUADS, i % Y_QUADS);
}
`;

const QUADS = /* wgsl */ `
fn concat(row: u32, quad: u32) -> Quad {
  if (quad < A_QUADS) { return a[row * A_QUADS + quad]; }
  return b[row * B_QUADS + quad - A_QUADS];
}
`;

/** The last quad of a holds `remainder` channels; b starts in the rest of it. */
function shifted(dtype: DType, caps: Caps, remainder: number): string {
  return /* wgsl */ `${quadWindowWgsl(dtype, caps)}
fn concat(row: u32, quad: u32) -> Quad {
  if (quad + 1u < A_QUADS) { return a[row * A_QUADS + quad]; }
  // The quad before the new channels of b: the tail of a, moved up to the end of a quad, or one of b.
  let next = quad + 1u - A_QUADS;
  var before = Quad();
  if (next == 0u) {
    before = window_${remainder}(Quad(), a[row * A_QUADS + quad]);
  } else {
    before = b[row * B_QUADS + next - 1u];
  }
  var after = Quad();
  if (next < B_QUADS) { after = b[row * B_QUADS + next]; }
  return window_${4 - remainder}(before, after);
}
`;
}

/** Two tensors, one behind the other along the channels, bit for bit. */
export const concatChannels: Kernel<ConcatChannelsProblem, ConcatChannelsVariant> = defineKernel({
  name: "concat-channels",
  variants: ["quads", "shifted"],
  check({ rows, channels }) {
    if (isShape([rows, ...channels])) return;
    throw new ShapeError(
      `concatChannels: rows and channels must be integers ≥ 1, got ${rows} and ${channels.join(" + ")}`,
    );
  },
  select: ({ channels }) => (channels[0] % 4 === 0 ? "quads" : "shifted"),
  refusal: ({ channels }, _caps, variant) =>
    variant === "quads" && channels[0] % 4 !== 0
      ? `variant quads needs channels[0] divisible by 4, got ${channels[0]}`
      : null,
  dispatches({ dtype, rows, channels }, caps, variant) {
    const remainder = channels[0] % 4;
    const [A_QUADS, B_QUADS] = [quadCount(channels[0]), quadCount(channels[1])];
    const Y_QUADS = quadCount(channels[0] + channels[1]);
    const quads = rows * Y_QUADS;
    const header = {
      caps,
      dtype,
      operands: [reads("a"), reads("b"), writes("y")],
      params: [u32("quads", quads)],
      constants: { WORKGROUP, A_QUADS, B_QUADS, Y_QUADS },
    };
    const body = (remainder === 0 ? QUADS : shifted(dtype, caps, remainder)) + MAIN;
    const workgroups = foldWorkgroups(Math.ceil(quads / WORKGROUP));
    return [dispatch(`concat-channels/${variant}`, header, body, workgroups)];
  },
  cost({ dtype, rows, channels }) {
    const bytes = (count: number) => rows * paddedChannels(count) * dtypeByteLength(dtype);
    return {
      flops: 0,
      bytesRead: bytes(channels[0]) + bytes(channels[1]),
      bytesWritten: bytes(channels[0] + channels[1]),
    };
  },
});
