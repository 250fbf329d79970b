/**
 * Elementwise arithmetic on whole tensors. Padding is computed too: the formula maps zeros to zeros.
 *
 *   y = activate(scaleA·a + scaleB·b)        b optional
 *
 * Layout: any; operands have equal size. One invocation per quad. f32 arithmetic, one rounding.
 * Covers: residual add, SiLU/GELU on their own, x0 = p·z − q·eps, latent scaling.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, f32, reads, u32, writes } from "../kernel.ts";
import type { Activation } from "./activation.ts";
import { activationWgsl } from "./activation.ts";

/** Operands: `a`, `b` (when `hasB`), `y`; each `quads` quads. */
export interface ElementwiseProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Quads of each operand, padding included. */
  readonly quads: number;
  /** Whether there is an operand `b`. */
  readonly hasB: boolean;
  /** Factor of a. */
  readonly scaleA: number;
  /** Factor of b. */
  readonly scaleB: number;
  /** Applied last. */
  readonly activation: Activation;
}

const WORKGROUP = 64;

/** activate(scaleA·a + scaleB·b) on whole tensors; b is optional. */
export const elementwise: Kernel<ElementwiseProblem, "quad"> = defineKernel({
  name: "elementwise",
  variants: ["quad"],
  check({ quads }) {
    if (isShape([quads])) return;
    throw new ShapeError(`elementwise: quads must be an integer ≥ 1, got ${quads}`);
  },
  dispatches({ dtype, quads, hasB, scaleA, scaleB, activation }, caps) {
    const body = /* wgsl */ `${activationWgsl(activation)}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  let sum = params.scale_a * unpack(a[i])${hasB ? " + params.scale_b * unpack(b[i])" : ""};
  y[i] = pack(activate(sum));
}
`;
    const operands = [reads("a"), ...(hasB ? [reads("b")] : []), writes("y")];
    const params = [u32("quads", quads), f32("scale_a", scaleA), f32("scale_b", scaleB)];
    const header = { caps, dtype, operands, params, constants: { WORKGROUP } };
    const workgroups = foldWorkgroups(Math.ceil(quads / WORKGROUP));
    return [dispatch(`elementwise ${activation}`, header, body, workgroups)];
  },
  cost({ dtype, quads, hasB }) {
    const bytes = quads * 4 * dtypeByteLength(dtype);
    return {
      flops: quads * 4 * (hasB ? 3 : 1),
      bytesRead: bytes * (hasB ? 2 : 1),
      bytesWritten: bytes,
    };
  },
});
