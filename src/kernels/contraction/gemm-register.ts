/**
 * Register-blocked GEMM bodies without workgroup memory (`register-RxQ`).
 *
 * On software adapters a load is a gather over the SIMD lanes and costs more than a fused multiply-add, so
 * the ratio of arithmetic to loads decides: R rows × Q quads per invocation need R + 4Q loads for 4·R·Q
 * vector multiply-adds. The accumulators are spelled out as variables because SwiftShader keeps arrays in
 * memory. Measured there, f32, 512³: one output quad per invocation 0.2 GFLOP/s, 4×4 outputs 1.7, 8×8 2.65.
 */
import { unroll } from "../unroll.ts";

/** Invocations per workgroup; row blocks vary fastest so that a workgroup shares its weight columns. */
export const REGISTER_WORKGROUP = 64;

/** Multiply-adds of loaded quads `a<r>` with the four weight quads of column quad `q` into `acc<r>_<q>`. */
export function multiplyAddWgsl(
  rows: number,
  quad: number,
  firstA = "a",
  aIndex = (r: number) => r,
): string {
  return unroll(
    rows,
    (r) =>
      `acc${r}_${quad} += ${firstA}${aIndex(r)}.x * w0 + ${firstA}${aIndex(r)}.y * w1 + ${firstA}${aIndex(r)}.z * w2 + ${firstA}${aIndex(r)}.w * w3;`,
  );
}

/** `let w0 … w3`: the 4×4 weight block at block index `block` (an expression). */
export function loadBlockWgsl(block: string): string {
  return `let at = (${block}) * 4u;
      let w0 = unpack(weight[at]); let w1 = unpack(weight[at + 1u]);
      let w2 = unpack(weight[at + 2u]); let w3 = unpack(weight[at + 3u]);`;
}

/**
 * The accumulators as an array `sums`, row by row, to finish them in a loop: an epilogue spelled out for each of them
 * takes longer to compile than the products, and memory no longer matters when the sums are done.
 */
export function sumsWgsl(rows: number, quads: number): string {
  const names = Array.from(
    { length: rows * quads },
    (_, i) => `acc${Math.floor(i / quads)}_${i % quads}`,
  );
  return `var sums = array<vec4<f32>, ${rows * quads}>(${names.join(", ")});`;
}

/** Body of linear with R = `rows`, Q = `quads`; needs `load_a` and the epilogue. GEGLU needs Q = 2. */
export function linearRegisterWgsl(rows: number, quads: number, geglu: boolean): string {
  const store = geglu
    ? `if (row < params.rows) { finish_pair(sums[2u * r], sums[2u * r + 1u], row, nq0 / 2u); }`
    : `for (var q = 0u; q < ${quads}u; q++) {
      if (row < params.rows && nq0 + q < params.column_quads) { finish(sums[r * ${quads}u + q], row, nq0 + q); }
    }`;
  return /* wgsl */ `
@compute @workgroup_size(${REGISTER_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${REGISTER_WORKGROUP}u + local;
  let row_blocks = (params.rows + ${rows - 1}u) / ${rows}u;
  let row0 = (index % row_blocks) * ${rows}u;
  let nq0 = (index / row_blocks) * ${quads}u;
  if (nq0 >= params.column_quads) { return; }
  let last_row = params.rows - 1u;
  ${unroll(quads, (q) => `let column${q} = min(nq0 + ${q}u, params.column_quads - 1u);`)}
  ${unroll(rows, (r) => unroll(quads, (q) => `var acc${r}_${q} = vec4<f32>(0.0);`))}
  let k_quads = params.in_quads0 + params.in_quads1;
  for (var k = 0u; k < k_quads; k++) {
    ${unroll(rows, (r) => `let a${r} = load_a(min(row0 + ${r}u, last_row), k);`)}
    ${unroll(
      quads,
      (q) => `{
      ${loadBlockWgsl(`k * params.column_quads + column${q}`)}
      ${multiplyAddWgsl(rows, q)}
    }`,
    )}
  }
  ${sumsWgsl(rows, quads)}
  for (var r = 0u; r < ${rows}u; r++) {
    let row = row0 + r;
    ${store}
  }
}
`;
}
