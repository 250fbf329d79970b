/**
 * `matrix`: the tile of `gemm-tiled.ts` summed by matrix units, with factors of f16 and sums of f32 (`subgroup-matrix.ts`).
 *
 * A K step stages 32 input channels of 64 rows, and the matching 32 × 64 weights, as f16. A staged row is 16 bytes longer
 * than its data, so that the 8 rows of a fragment lie in different banks (9,728 bytes in all). Every subgroup sums a
 * rectangle of fragments that is as square as can be. Of 4 subgroups each sums 32 × 32: 2 × 2 fragments of 16×16 or 4 × 4
 * of 8×8, and a fragment is loaded once for 2 or 4 products. Invocations cannot see into a matrix. So the sums go to them
 * through 4 KiB of workgroup memory, 16 rows at a time. From there on all is as in `tiled`: epilogue, GEGLU, statistics.
 *
 * Rounding. Products of two halves are exact in f32, so that stored activations and weights give what `tiled` gives, up to
 * the order of the sums. A norm on load is different: `tiled` keeps its result in f32, and here it is rounded to f16 (and
 * clamped to ±65504). That is what storing the normalised map as f16 does, which happens without that fusion.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { MatrixArray, MatrixUnits } from "../../gpu/subgroup-matrix.ts";
import {
  MATRIX_WORKGROUP,
  loadMatrix,
  matrixArrayByteLength,
  matrixArrayWgsl,
  matrixDirectives,
  matrixType,
  storeMatrix,
  subgroupSizeAttribute,
} from "../../gpu/subgroup-matrix.ts";
import { unroll } from "../unroll.ts";
import { accumulatorsWgsl } from "./gemm-register.ts";
import type { GemmBody } from "./gemm-tiled.ts";
import { TILED, TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";

/** Quads of a K step. */
const K_QUADS = 8;
/** Rows of the sums that are in workgroup memory at a time. */
const SUM_ROWS = 16;
/** Halves by which a staged row is longer than its data. */
const PADDING = 8;

const TILE_A: MatrixArray = {
  name: "tile_a",
  type: "f16",
  rowLength: 4 * K_QUADS + PADDING,
  rows: TILE_ROWS,
};
const TILE_W: MatrixArray = {
  name: "tile_w",
  type: "f16",
  rowLength: TILE_COLUMNS + PADDING,
  rows: 4 * K_QUADS,
};
const SUMS: MatrixArray = { name: "sums", type: "f32", rowLength: TILE_COLUMNS, rows: SUM_ROWS };
const ARRAYS = [TILE_A, TILE_W, SUMS];

/** Workgroup memory. */
const STORAGE_BYTES = ARRAYS.reduce((sum, array) => sum + matrixArrayByteLength(array), 0);

/** The rows × columns of subgroups that a tile's fragments are dealt to. */
function subgroupGrid({ M, N, subgroupSize }: MatrixUnits): readonly [number, number] {
  const subgroups = MATRIX_WORKGROUP / subgroupSize;
  const [rows, columns] = [TILE_ROWS / M, TILE_COLUMNS / N]; // in fragments
  const grids: (readonly [number, number])[] = [];
  for (let down = 1; down <= subgroups; down *= 2) {
    if (down <= rows && subgroups / down <= columns) grids.push([down, subgroups / down]);
  }
  // The fewest elements that a subgroup loads for a column of products; of equal grids the fewest fragments.
  const elements = ([down, across]: readonly [number, number]): number =>
    TILE_ROWS / down + TILE_COLUMNS / across;
  const fragments = ([down, across]: readonly [number, number]): number =>
    rows / down + columns / across;
  const [best] = grids.toSorted((a, b) => elements(a) - elements(b) || fragments(a) - fragments(b));
  return best as readonly [number, number];
}

function matrixBody(units: MatrixUnits, normalises: boolean): GemmBody {
  const { M, N, K } = units;
  const [down, across] = subgroupGrid(units);
  const [rows, columns] = [TILE_ROWS / M / down, TILE_COLUMNS / N / across]; // fragments of a subgroup
  const each = (line: (i: number, j: number) => string): string =>
    unroll(rows, (i) => unroll(columns, (j) => line(i, j)));
  const left = (i: number): string =>
    loadMatrix(units, "left", TILE_A, `(fragment_row + ${i}u * M) * A_LENGTH + k`);
  const right = (j: number): string =>
    loadMatrix(units, "right", TILE_W, `k * W_LENGTH + fragment_column + ${j}u * N`);
  return {
    kQuads: K_QUADS,
    constants: {
      M,
      N,
      K,
      A_LENGTH: TILE_A.rowLength,
      W_LENGTH: TILE_W.rowLength,
      SUM_ROWS,
      SUBGROUPS_ACROSS: across,
      SUBGROUP_ROWS: rows * M,
      SUBGROUP_COLUMNS: columns * N,
      BLOCK_BITS: Math.log2(TILE_COLUMNS),
    },
    directives: matrixDirectives(units),
    declarations: `${ARRAYS.map((array) => matrixArrayWgsl(units, array)).join("")}
fn exchange_set(at: u32, v: vec4<f32>) { set_sums(at, v); }
fn exchange_get(at: u32) -> vec4<f32> { return get_sums(at); }
`,
    attributes: subgroupSizeAttribute(units),
    parameters: ", @builtin(subgroup_id) subgroup: u32",
    begin: /* wgsl */ `let fragment_row = (subgroup / SUBGROUPS_ACROSS) * SUBGROUP_ROWS;
  let fragment_column = (subgroup % SUBGROUPS_ACROSS) * SUBGROUP_COLUMNS;
  ${each((i, j) => `var sum${i}_${j}: ${matrixType(units, "result")};`)}`,
    step: /* wgsl */ `for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source_row, tap, k); }
        set_tile_a(stage_row * (A_LENGTH / 4u) + stage_k + s, ${normalises ? "pack(a)" : "vec4<f16>(a)"});
      }
      // Blocks of 16 column quads × 4 channels, one for each quad of the K step, as they lie in memory.
      for (var s = 0u; s < K_QUADS * 4u * COLUMN_QUADS / INVOCATIONS; s++) {
        let slot = local + s * INVOCATIONS;
        let block = slot >> BLOCK_BITS;
        let column = (slot >> 2u) & (COLUMN_QUADS - 1u);
        let kk = slot & 3u;
        let k = k0 + block;
        let nq = nq0 + column;
        var w = vec4<f16>();
        if (k < quads && nq < params.column_quads) {
          w = weight[(((first_tap + tap) * quads_in + k) * params.column_quads + nq) * 4u + kk];
        }
        set_tile_w((block * 4u + kk) * (W_LENGTH / 4u) + column, w);
      }
      workgroupBarrier();
      for (var k = 0u; k < 4u * K_QUADS; k += K) {
        ${unroll(rows, (i) => `let left${i} = ${left(i)};`)}
        ${unroll(columns, (j) => `let right${j} = ${right(j)};`)}
        ${each((i, j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`)}
      }
      workgroupBarrier();`,
    end: /* wgsl */ `${accumulatorsWgsl(4, 2)}
  for (var first = 0u; first < TILE_ROWS; first += SUM_ROWS) {
    ${unroll(
      rows,
      (i) => `if ((fragment_row + ${i}u * M) / SUM_ROWS * SUM_ROWS == first) {
      let at = (fragment_row + ${i}u * M - first) * (4u * COLUMN_QUADS) + fragment_column;
      ${unroll(columns, (j) => storeMatrix(units, SUMS, `at + ${j}u * N`, `sum${i}_${j}`))}
    }`,
    )}
    workgroupBarrier();
    if (my_row / SUM_ROWS * SUM_ROWS == first) {
      let at = (my_row - first) * COLUMN_QUADS + my_quad;
      ${unroll(4, (r) => unroll(2, (q) => `acc${r}_${q} = get_sums(at + (${r}u * COLUMN_QUADS + ${q}u));`))}
    }
    workgroupBarrier();
  }`,
  };
}

/** Whether a variant sums its tiles by matrix units. */
export const isMatrixVariant = (variant: string): boolean => variant.startsWith("matrix");

/** Why a variant cannot sum its tiles by matrix units; null where it can, or does not try. */
export function matrixRefusal(variant: string, dtype: DType, caps: Caps): string | null {
  if (!isMatrixVariant(variant)) return null;
  if (dtype !== "f16") return `matrix units take f16 storage, got ${dtype}`;
  if (caps.matrixUnits === null) return `matrix units cannot be used: ${caps.matrixRefusal}`;
  const [bytes, most] = [STORAGE_BYTES, caps.limits.maxComputeWorkgroupStorageSize];
  if (bytes <= most) return null;
  return `matrix units need ${bytes} bytes of workgroup storage, got ${most}`;
}

/** The body of a variant on tiles. `normalises`: loads apply a norm, whose result may be outside the range of f16. */
export function gemmBody(variant: string, caps: Caps, normalises: boolean): GemmBody {
  if (!isMatrixVariant(variant)) return TILED;
  if (caps.matrixUnits === null) throw new Error(`internal: ${variant} without matrix units`);
  return matrixBody(caps.matrixUnits, normalises);
}
