/**
 * `matrix`: the tile of `gemm-tiled.ts` summed by matrix units, with factors of f16 and sums of f32 (`subgroup-matrix.ts`).
 *
 * A K step stages 32 input channels of 64 rows, and the matching 32 × 64 weights transposed, as f16. A staged row is 16 bytes longer
 * than its data, so that the 8 rows of a fragment lie in different banks (10,240 bytes in all). Every subgroup sums a
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
  rowLength: 4 * K_QUADS + PADDING,
  rows: TILE_COLUMNS,
  isTransposed: true,
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
    loadMatrix(units, "left", TILE_A, `left_at + ${i}u * (M * A_LENGTH) + k`);
  const right = (j: number): string =>
    loadMatrix(units, "right", TILE_W, `right_at + ${j}u * (N * W_LENGTH) + k`);
  return {
    kQuads: K_QUADS,
    constants: {
      M,
      N,
      K,
      A_LENGTH: TILE_A.rowLength,
      W_LENGTH: TILE_W.rowLength,
      SUM_ROWS,
      SUBGROUPS_DOWN: down,
      SUBGROUPS_ACROSS: across,
      SUBGROUP_ROWS: rows * M,
      SUBGROUP_COLUMNS: columns * N,
    },
    directives: matrixDirectives(units),
    declarations: `${ARRAYS.map((array) => matrixArrayWgsl(units, array)).join("")}
fn exchange_set(at: u32, v: vec4<f32>) { set_sums(at, v); }
fn exchange_get(at: u32) -> vec4<f32> { return get_sums(at); }
`,
    attributes: subgroupSizeAttribute(units),
    parameters: ", @builtin(subgroup_id) subgroup: u32",
    begin: /* wgsl */ `// The masks change nothing. They show compilers that all loads of matrices are within their arrays.
  let fragment_row = ((subgroup / SUBGROUPS_ACROSS) & (SUBGROUPS_DOWN - 1u)) * SUBGROUP_ROWS;
  let fragment_column = (subgroup & (SUBGROUPS_ACROSS - 1u)) * SUBGROUP_COLUMNS;
  let left_at = fragment_row * A_LENGTH;
  let right_at = fragment_column * W_LENGTH;
  let stage_quad = local >> COLUMN_QUAD_BITS;
  ${each((i, j) => `var sum${i}_${j}: ${matrixType(units, "result")};`)}`,
    step: /* wgsl */ `for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        set_tile_a(stage_row * (A_LENGTH / 4u) + stage_k + s, ${normalises ? "pack(a)" : "vec4<f16>(a)"});
      }
      // An invocation takes a block of 4 channels × 4 columns and transposes it. Behind the last quad of channels or columns it
      // takes a stand-in: such channels meet zeros of x, such columns are not stored.
      {
        let row = (first_tap + tap) * quads_in + min(k0 + stage_quad, quads - 1u);
        let block = (row * params.column_quads + stage_nq) * 4u;
        ${unroll(4, (r) => `let w${r} = weight[block + ${r}u];`)}
        let at = stage_column * W_LENGTH + stage_quad;
        ${unroll(4, (c) => {
          const component = "xyzw".charAt(c);
          return `set_tile_w(at + ${c}u * (W_LENGTH / 4u), vec4<f16>(w0.${component}, w1.${component}, w2.${component}, w3.${component}));`;
        })}
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
