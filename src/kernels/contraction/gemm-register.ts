/**
 * GEMM in registers, without workgroup memory: `register-RxQ` of linear, and what other variants share with it.
 *
 * On software adapters a load is a gather over the SIMD lanes and costs more than a fused multiply-add: on SwiftShader 80
 * instructions for each 4 lanes of an f32, where a multiply-add takes 4. So the ratio of arithmetic to loads decides. R rows ×
 * Q quads per invocation need R + 4Q loads for 4·R·Q vector multiply-adds, and R + Q loads where the lanes of a subgroup
 * share the weights (`RegisterBlock.shares`). Accumulators are variables, `acc<r>_<q>`, because SwiftShader keeps arrays in
 * memory. A product is written as matrix times vector: SwiftShader sums it channel by channel in a register, where a sum of
 * four scaled vectors is stored after each.
 */
import type { Caps } from "../../gpu/caps.ts";
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { placedLoadsWgsl, placedScaleOf } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";

/** Invocations per workgroup. Row blocks vary fastest, so that a workgroup shares its weight columns. */
export const REGISTER_WORKGROUP = 64;
/** The same where lanes share weights: all of a workgroup have the same columns, and the last one's lanes may idle. */
const SHARING_WORKGROUP = 8;

/** What an invocation computes. */
export interface RegisterBlock {
  readonly rows: number;
  readonly quads: number;
  /** Whether the invocations of a workgroup have the same columns. Then a lane loads one channel of four and they exchange them. */
  readonly shares: boolean;
  readonly weightStorage: WeightStorage;
}

/** Whether the lanes of subgroups can share weights. */
export const canShare = ({ hasSubgroups, subgroupSizes }: Caps): boolean =>
  hasSubgroups && subgroupSizes[0] >= 4;

/**
 * Whether four column quads of an invocation are expected to be faster than two: a block that is not full costs more than its
 * better ratio gains.
 */
export const suitsWideBlock = (columnQuads: number): boolean =>
  columnQuads % 4 === 0 || columnQuads > 12;

/**
 * With fewer flops a block of another size earns less than its shader takes to compile, half a second to two: on software
 * adapters the block that most problems have serves.
 */
export const LEAST_FLOPS_OF_OWN_BLOCK = 1e9;

/** Directives of a shader of this block. */
export const registerDirectives = ({ shares }: RegisterBlock): readonly string[] =>
  shares ? ["enable subgroups;"] : [];

/** Workgroups for `blocks` blocks of each `quads` of `columnQuads` quads. */
export function registerGroups(
  { quads, shares }: RegisterBlock,
  blocks: number,
  columnQuads: number,
): number {
  const columns = Math.ceil(columnQuads / quads);
  return shares
    ? Math.ceil(blocks / SHARING_WORKGROUP) * columns
    : Math.ceil((blocks * columns) / REGISTER_WORKGROUP);
}

const PLACE = /* wgsl */ `let index = flat_group(group, counts) * INVOCATIONS + local;
  let block = index % blocks;
  let is_block = true;
  let nq0 = (index / blocks) * QUADS;`;
const SHARED_PLACE = /* wgsl */ `let groups = (blocks + (INVOCATIONS - 1u)) / INVOCATIONS;
  let index = flat_group(group, counts);
  let own_block = (index % groups) * INVOCATIONS + local;
  let block = min(own_block, blocks - 1u);
  let is_block = own_block < blocks;
  let nq0 = (index / groups) * QUADS;`;

/**
 * The head of main: `block`, the invocation's block of `blocks` (an expression of type u32 in terms of `params`), `nq0`, its first
 * column quad, `column<q>`, all its column quads, and `is_block`, false in lanes that have none and compute the last one again.
 */
export function registerMainWgsl(
  { quads, shares, weightStorage }: RegisterBlock,
  blocks: string,
): string {
  const size = shares ? SHARING_WORKGROUP : REGISTER_WORKGROUP;
  return /* wgsl */ `${constantsWgsl({ INVOCATIONS: size, QUADS: quads })}
${placedLoadsWgsl(weightStorage, shares)}
@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32${shares ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
  let blocks = ${blocks};
  ${shares ? SHARED_PLACE : PLACE}
  if (nq0 >= params.column_quads) { return; }
  ${unroll(quads, (q) => `let column${q} = min(nq0 + ${q}u, params.column_quads - 1u);`)}`;
}

const LOAD = /* wgsl */ `let w = mat4x4<f32>(
        unpack(weight[at]),
        unpack(weight[at + 1u]),
        unpack(weight[at + 2u]),
        unpack(weight[at + 3u]),
      );`;
const LOAD_INTEGERS = /* wgsl */ `let w = mat4x4<f32>(
        placed(at) * scale - zero,
        placed(at + 1u) * scale - zero,
        placed(at + 2u) * scale - zero,
        placed(at + 3u) * scale - zero,
      );`;
const LOAD_OWN = "let own = unpack(weight[at + (lane & 3u)]);";
const LOAD_OWN_INTEGERS = "let own = placed(at + (lane & 3u)) * scale - zero;";
const SHARE = /* wgsl */ `let w = mat4x4<f32>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
      );`;

/** Loads the block `at` into `w`. */
function loadWgsl({ shares, weightStorage }: RegisterBlock): string {
  const isFloat = weightStorage === "float";
  if (!shares) return isFloat ? LOAD : LOAD_INTEGERS;
  return `${isFloat ? LOAD_OWN : LOAD_OWN_INTEGERS}\n      ${SHARE}`;
}

/** A row of 4×4 blocks of operand `weight`, those of quad `k` of a tap; expressions. */
export interface WeightRow {
  readonly row: string;
  readonly tap: string;
  /** Of the scales of integers, where `quadsLoopWgsl` has them; else they are loaded for each quad. */
  readonly scales?: string;
}

const EACH_QUAD = /* wgsl */ `for (var k = 0u; k < count; k++) {`;
const EACH_BLOCK = /* wgsl */ `for (var k0 = 0u; k0 < count; k0 += SCALE_QUADS) {`;
const EACH_QUAD_OF_BLOCK = /* wgsl */ `let end_k = min(k0 + SCALE_QUADS, count);
    for (var k = k0; k < end_k; k++) {`;

/**
 * A loop over quads `k` of `count`, an expression. Integers have one loop around another, which loads the scales of these rows for
 * a block of quads: a branch within one loop would make SwiftShader keep accumulators in memory.
 */
export function quadsLoopWgsl(
  { quads, shares, weightStorage }: RegisterBlock,
  count: string,
  rows: readonly WeightRow[],
  body: string,
): string {
  const isFloat = weightStorage === "float";
  const scales = rows.map(({ scales: name = "", tap }) =>
    unroll(quads, (q) => placedScaleOf(`${name}${q}`, shares, tap, "k0", `column${q}`)),
  );
  const head = isFloat ? [EACH_QUAD] : [EACH_BLOCK, ...scales, EACH_QUAD_OF_BLOCK];
  const end = isFloat ? "}" : "}\n  }";
  return [`let count = ${count};`, ...head, body, end].join("\n  ");
}

/**
 * Adds the products of quads `a0` … to the accumulators: row `r` takes the quad `a<aIndex(r)>`, column quad `q` its block
 * of a row of the weight. Needs `integerLoadsWgsl`.
 */
export function registerProductsWgsl(
  block: RegisterBlock,
  { row, tap, scales }: WeightRow,
  aIndex = (r: number): number => r,
): string {
  const { rows, quads, shares, weightStorage } = block;
  const scaleWgsl = (q: number): string => {
    if (weightStorage === "float") return "";
    const name = `${scales ?? "own"}${q}`;
    const load = scales === undefined ? placedScaleOf(name, shares, tap, "k", `column${q}`) : "";
    return `${load}let scale = ${name}_scale;
      let zero = ${name}_zero;
      `;
  };
  return unroll(
    quads,
    (q) => `{
      let at = (${row} * params.column_quads + column${q}) * 4u;
      ${scaleWgsl(q)}${loadWgsl(block)}
      ${unroll(rows, (r) => `acc${r}_${q} += w * a${aIndex(r)};`)}
    }`,
  );
}

/** The accumulators `acc<r>_<q>` of `rows` × `quads`, all zero. */
export const accumulatorsWgsl = (rows: number, quads: number): string =>
  unroll(rows, (r) => unroll(quads, (q) => `var acc${r}_${q} = vec4<f32>(0.0);`));

/**
 * The accumulators as an array `sums`, row by row, to finish them in a loop: an epilogue written out for each of them
 * takes longer to compile than the products, and memory no longer matters when the sums are done.
 */
export function sumsWgsl(rows: number, quads: number): string {
  const sums = unroll(rows, (r) => unroll(quads, (q) => `acc${r}_${q},`));
  return `var sums = array<vec4<f32>, ${rows * quads}>(${sums});`;
}

/** Finishes the sums of a row of a block, one by one. */
const FINISH = /* wgsl */ `for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q++) {
      finish(sums[r * QUADS + q], row, nq0 + q);
    }`;
/** The same for pairs of value and gate. Needs an even Q. */
const FINISH_PAIRS = /* wgsl */ `for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q += 2u) {
      finish_pair(sums[r * QUADS + q], sums[r * QUADS + q + 1u], row, (nq0 + q) / 2u);
    }`;

/**
 * Main of `register-RxQ` of linear, and of other products of `params.rows` rows from `firstRow` on. Needs `load_x` and `finish`,
 * for GEGLU `finish_pair`. `weightRow` is the row of weight blocks for quad `k`.
 */
export function registerGemmWgsl(
  block: RegisterBlock,
  geglu: boolean,
  firstRow = "0u",
  weightRow: WeightRow = { row: "(k)", tap: "0u", scales: "tap" },
): string {
  const { rows, quads } = block;
  const loads = unroll(rows, (r) => `let a${r} = load_x(min(first_row + ${r}u, last_row), k);`);
  const products = `${loads}\n    ${registerProductsWgsl(block, weightRow)}`;
  return /* wgsl */ `
${constantsWgsl({ ROWS: rows })}
${registerMainWgsl(block, "(params.rows + (ROWS - 1u)) / ROWS")}
  let begin = ${firstRow};
  let first_row = begin + block * ROWS;
  let last_row = begin + params.rows - 1u;
  let k_quads = params.in_quads0 + params.in_quads1;
  ${accumulatorsWgsl(rows, quads)}
  ${quadsLoopWgsl(block, "k_quads", [weightRow], products)}
  ${sumsWgsl(rows, quads)}
  let rows = select(0u, ROWS, is_block);
  for (var r = 0u; r < rows && first_row + r <= last_row; r++) {
    let row = first_row + r;
    ${geglu ? FINISH_PAIRS : FINISH}
  }
}
`;
}
