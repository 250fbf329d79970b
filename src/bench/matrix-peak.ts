/** The peak rate of matrix units: products of matrices that stay in registers, added to several independent sums. */
import type { Caps } from "../gpu/caps.ts";
import type { MatrixArray, MatrixUnits } from "../gpu/subgroup-matrix.ts";
import {
  MATRIX_WORKGROUP,
  loadMatrix,
  matrixArrayWgsl,
  matrixDirectives,
  matrixType,
  storeMatrix,
  subgroupSizeAttribute,
} from "../gpu/subgroup-matrix.ts";
import { foldWorkgroups } from "../gpu/wgsl.ts";
import type { KernelPlan } from "../kernels/kernel.ts";
import { dispatch, reads, u32, writes } from "../kernels/kernel.ts";
import { unroll } from "../kernels/unroll.ts";

/** Independent sums of a subgroup: 64 registers of an invocation for 16×16 in subgroups of 32. */
const CHAINS = 8;

/** A loop of products. */
export interface MatrixPeak {
  readonly plan: KernelPlan;
  /** Floating-point operations of a run. */
  readonly flops: number;
  /** Bytes of `y`. */
  readonly byteLength: number;
}

/**
 * Every subgroup adds `steps` times the same product to each of its sums. The factors, whole numbers below 4 over 64, come
 * from memory, so that nothing folds; y gets each subgroup's sums of all chains, [workgroup][subgroup][M][N].
 */
export function matrixPeak(
  units: MatrixUnits,
  caps: Caps,
  workgroups: number,
  steps: number,
): MatrixPeak {
  const { M, N, K } = units;
  const subgroups = MATRIX_WORKGROUP / units.subgroupSize;
  const a: MatrixArray = { name: "tile_a", type: "f16", rowLength: K, rows: M };
  const b: MatrixArray = { name: "tile_b", type: "f16", rowLength: N, rows: K };
  const c: MatrixArray = { name: "sums", type: "f32", rowLength: N, rows: M * subgroups };
  const quads = (M * N * subgroups) / 4;
  const fill = ({ name, rowLength, rows }: MatrixArray): string =>
    `for (var i = local; i < ${(rowLength * rows) / 4}u; i += ${MATRIX_WORKGROUP}u) {
    set_${name}(i, vec4<f16>(x[i % 4u] + vec4<f32>(f32(i % 4u) / 64.0)));
  }`;
  const body = /* wgsl */ `
${[a, b, c].map((array) => matrixArrayWgsl(units, array)).join("")}
@compute @workgroup_size(${MATRIX_WORKGROUP}) ${subgroupSizeAttribute(units)}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  ${fill(a)}
  ${fill(b)}
  workgroupBarrier();
  let left = ${loadMatrix(units, "left", a, "0u")};
  let right = ${loadMatrix(units, "right", b, "0u")};
  ${unroll(CHAINS, (i) => `var sum${i}: ${matrixType(units, "result")};`)}
  for (var step = 0u; step < params.steps; step++) {
    ${unroll(CHAINS, (i) => `sum${i} = subgroupMatrixMultiplyAccumulate(left, right, sum${i});`)}
  }
  let first = flat_group(group, counts) * ${quads}u;
  for (var i = local; i < ${quads}u; i += ${MATRIX_WORKGROUP}u) { y[first + i] = vec4<f32>(0.0); }
  ${unroll(
    CHAINS,
    (i) => `${storeMatrix(units, c, `subgroup * ${M * N}u`, `sum${i}`)}
  workgroupBarrier();
  for (var i = local; i < ${quads}u; i += ${MATRIX_WORKGROUP}u) { y[first + i] += get_sums(i); }
  workgroupBarrier();`,
  )}
}
`;
  const header = {
    caps,
    dtype: "f16" as const,
    directives: matrixDirectives(units),
    operands: [reads("x", "vec4<f32>"), writes("y", "vec4<f32>")],
    params: [u32("steps", steps)],
  };
  const dispatches = [dispatch("bench matrix", header, body, foldWorkgroups(workgroups))];
  return {
    plan: { variant: "matrix", scratch: [], dispatches },
    flops: workgroups * subgroups * steps * CHAINS * 2 * M * N * K,
    byteLength: workgroups * subgroups * M * N * 4,
  };
}
