/**
 * GEMM in registers, without workgroup memory: `register-RxQ` of linear, and what other variants share with it.
 *
 * On software adapters a load is a gather over the SIMD lanes and costs more than a fused multiply-add. So the ratio of
 * arithmetic to loads decides: R rows × Q quads per invocation need R + 4Q loads for 4·R·Q vector multiply-adds.
 * Accumulators are variables, `acc<r>_<q>`, because SwiftShader keeps arrays in memory. Measured there, f32, 512³: one
 * output quad per invocation 0.2 GFLOP/s, 4×4 outputs 1.7, 8×8 2.65.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { unroll } from "../unroll.ts";

/** Invocations per workgroup. Row blocks vary fastest, so that a workgroup shares its weight columns. */
export const REGISTER_WORKGROUP = 64;

/** The accumulators `acc<r>_<q>` of `rows` × `quads`, all zero. */
export const accumulatorsWgsl = (rows: number, quads: number): string =>
  unroll(rows, (r) => unroll(quads, (q) => `var acc${r}_${q} = vec4<f32>(0.0);`));

/**
 * Adds the products of quads `a0` … to the accumulators. Column quad `q` takes the weight quads `w0` … `w3` that
 * `loadWeights(q)` declares; row `r` takes the quad `a<aIndex(r)>`.
 */
export function productsWgsl(
  rows: number,
  quads: number,
  loadWeights: (quad: number) => string,
  aIndex = (row: number): number => row,
): string {
  const dot = (a: string): string => `${a}.x * w0 + ${a}.y * w1 + ${a}.z * w2 + ${a}.w * w3`;
  return unroll(
    quads,
    (q) => `{
      ${loadWeights(q)}
      ${unroll(rows, (r) => `acc${r}_${q} += ${dot(`a${aIndex(r)}`)};`)}
    }`,
  );
}

/** Weights for `productsWgsl`: the 4×4 block at block index `block` (an expression) of operand `weight`. */
export function storedWeightsWgsl(block: string): string {
  return /* wgsl */ `let at = (${block}) * 4u;
      let w0 = unpack(weight[at]);
      let w1 = unpack(weight[at + 1u]);
      let w2 = unpack(weight[at + 2u]);
      let w3 = unpack(weight[at + 3u]);`;
}

/**
 * The accumulators as an array `sums`, row by row, to finish them in a loop: an epilogue written out for each of them
 * takes longer to compile than the products, and memory no longer matters when the sums are done.
 */
export function sumsWgsl(rows: number, quads: number): string {
  const sums = unroll(rows, (r) => unroll(quads, (q) => `acc${r}_${q},`));
  return `var sums = array<vec4<f32>, ${rows * quads}>(${sums});`;
}

/** Main of `register-RxQ` of linear, R = `rows`, Q = `quads`. Needs `load_x` and the epilogue; GEGLU needs Q = 2. */
export function linearRegisterWgsl(rows: number, quads: number, geglu: boolean): string {
  const store = geglu
    ? /* wgsl */ `if (row < params.rows) { finish_pair(sums[2u * r], sums[2u * r + 1u], row, nq0 / 2u); }`
    : /* wgsl */ `for (var q = 0u; q < QUADS; q++) {
      if (row < params.rows && nq0 + q < params.column_quads) { finish(sums[r * QUADS + q], row, nq0 + q); }
    }`;
  return /* wgsl */ `
${constantsWgsl({ INVOCATIONS: REGISTER_WORKGROUP, ROWS: rows, QUADS: quads })}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * INVOCATIONS + local;
  let row_blocks = (params.rows + (ROWS - 1u)) / ROWS;
  let row0 = (index % row_blocks) * ROWS;
  let nq0 = (index / row_blocks) * QUADS;
  if (nq0 >= params.column_quads) { return; }
  let last_row = params.rows - 1u;
  ${unroll(quads, (q) => `let column${q} = min(nq0 + ${q}u, params.column_quads - 1u);`)}
  ${accumulatorsWgsl(rows, quads)}
  let k_quads = params.in_quads0 + params.in_quads1;
  for (var k = 0u; k < k_quads; k++) {
    ${unroll(rows, (r) => `let a${r} = load_x(min(row0 + ${r}u, last_row), k);`)}
    ${productsWgsl(rows, quads, (q) => storedWeightsWgsl(`k * params.column_quads + column${q}`))}
  }
  ${sumsWgsl(rows, quads)}
  for (var r = 0u; r < ROWS; r++) {
    let row = row0 + r;
    ${store}
  }
}
`;
}
