/**
 * Elementwise kernels on whole tensors (padding included, where every formula below maps zeros to zeros).
 *
 *   y = activate(scaleA·a + scaleB·b)        b optional
 *
 * Layout: any; operands have equal size. One invocation per quad. f32 arithmetic, one rounding.
 * Covers: residual add, SiLU/GELU on their own, x0 = p·z − q·eps, latent scaling.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, f32, reads, u32, writes } from "../kernel.ts";
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

function check(problem: ElementwiseProblem): void {
  if (!Number.isSafeInteger(problem.quads) || problem.quads < 1) {
    throw new ShapeError(`elementwise: quads must be an integer ≥ 1, got ${problem.quads}`);
  }
}

function plan(problem: ElementwiseProblem, caps: Caps): KernelPlan {
  check(problem);
  const { dtype, quads, hasB, activation } = problem;
  const body = /* wgsl */ `${activationWgsl(activation)}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * ${WORKGROUP}u + local;
  if (i >= params.quads) { return; }
  let sum = params.scale_a * unpack(a[i])${hasB ? " + params.scale_b * unpack(b[i])" : ""};
  y[i] = pack(activate(sum));
}
`;
  return {
    variant: "quad",
    scratch: [],
    dispatches: [
      dispatch(
        `elementwise ${activation}`,
        {
          caps,
          dtype,
          operands: [reads("a"), ...(hasB ? [reads("b")] : []), writes("y")],
          params: [
            u32("quads", quads),
            f32("scale_a", problem.scaleA),
            f32("scale_b", problem.scaleB),
          ],
        },
        body,
        foldWorkgroups(Math.ceil(quads / WORKGROUP)),
      ),
    ],
  };
}

function cost(problem: ElementwiseProblem): Cost {
  const bytes = problem.quads * 4 * dtypeByteLength(problem.dtype);
  return {
    flops: problem.quads * 4 * (problem.hasB ? 3 : 1),
    bytesRead: bytes * (problem.hasB ? 2 : 1),
    bytesWritten: bytes,
  };
}

/** activate(scaleA·a + scaleB·b) on whole tensors; b is optional. */
export const elementwise: Kernel<ElementwiseProblem, "quad"> = {
  name: "elementwise",
  variants: ["quad"],
  check,
  select: () => "quad",
  plan,
  cost,
};
