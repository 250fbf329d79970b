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
 * clamped to ±65504). That is what storing the normalised map as f16 does, which happens without that fusion. Integers times
 * their scale are rounded to f16 too, as weights that are stored so are.
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
  setTransposed,
  storeMatrix,
  subgroupSizeAttribute,
} from "../../gpu/subgroup-matrix.ts";
import { matrixUnitsRefusal } from "../kernel.ts";
import { scaleOf } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import { accumulatorsWgsl } from "./gemm-register.ts";
import type { GemmBody } from "./gemm-tiled.ts";
import { TILE_COLUMNS, TILE_ROWS, tiledBody } from "./gemm-tiled.ts";

/** Quads of a K step. */
export const MATRIX_K_QUADS = 8;
/** Rows of the sums that are in workgroup memory at a time. */
export const SUM_ROWS = 16;
/** Halves by which a staged row is longer than its data. */
const PADDING = 8;

/** The left factor: `rows` of a K step. */
export const leftArray = (rows: number): MatrixArray => ({
  name: "tile_a",
  type: "f16",
  rowLength: 4 * MATRIX_K_QUADS + PADDING,
  rows,
});
const TILE_W: MatrixArray = {
  name: "tile_w",
  type: "f16",
  rowLength: 4 * MATRIX_K_QUADS + PADDING,
  rows: TILE_COLUMNS,
  isTransposed: true,
};
const SUMS: MatrixArray = { name: "sums", type: "f32", rowLength: TILE_COLUMNS, rows: SUM_ROWS };

/** Workgroup memory of a tile with this left factor. */
export const matrixTileByteLength = (left: MatrixArray): number =>
  [left, TILE_W, SUMS].reduce((sum, array) => sum + matrixArrayByteLength(array), 0);

/** The rows × columns of subgroups that the fragments of a tile are dealt to. Each has whole turns of the sums. */
function subgroupGrid(
  { M, N, subgroupSize }: MatrixUnits,
  tileRows: number,
): readonly [number, number] {
  const subgroups = MATRIX_WORKGROUP / subgroupSize;
  const [rows, columns] = [tileRows / M, TILE_COLUMNS / N]; // in fragments
  const grids: (readonly [number, number])[] = [];
  for (let down = 1; down <= subgroups; down *= 2) {
    if (down <= tileRows / SUM_ROWS && subgroups / down <= columns)
      grids.push([down, subgroups / down]);
  }
  // The fewest elements that a subgroup loads for a column of products; of equal grids the fewest fragments.
  const elements = ([down, across]: readonly [number, number]): number =>
    tileRows / down + TILE_COLUMNS / across;
  const fragments = ([down, across]: readonly [number, number]): number =>
    rows / down + columns / across;
  const [best] = grids.toSorted((a, b) => elements(a) - elements(b) || fragments(a) - fragments(b));
  return best as readonly [number, number];
}

/** The four quads of a block of weights, as halves. */
const LOAD_HALVES = /* wgsl */ `let w0 = weight[block];
        let w1 = weight[block + 1u];
        let w2 = weight[block + 2u];
        let w3 = weight[block + 3u];`;
const LOAD_INTEGERS = /* wgsl */ `let w0 = vec4<f16>(stored(block) * scale - zero);
        let w1 = vec4<f16>(stored(block + 1u) * scale - zero);
        let w2 = vec4<f16>(stored(block + 2u) * scale - zero);
        let w3 = vec4<f16>(stored(block + 3u) * scale - zero);`;

/**
 * How subgroups sum a tile of `tileRows` × 64, as WGSL within main:
 *
 * - `declarations`: workgroup memory, and `exchange_set(at, v)`, `exchange_get(at)` for the 256 quads of the sums.
 * - `stageWeights`: of quads `k0` to `k0 + K_QUADS` of a tap that has `quads`, from row `first_row` of the weight on. An
 *   invocation takes quad `stage_quad` of the K step and the tile's `stage_column`, which is column quad `stage_nq`. Integers of
 *   a K step have one scale.
 * - `products`: adds those of what is staged. `leftAt`: where row i · M of a subgroup's rows is in the left factor.
 * - `storeSums`: rows `first` to `first + SUM_ROWS`.
 */
export function matrixTile(
  units: MatrixUnits,
  tileRows: number,
  left: MatrixArray,
  storage: WeightStorage,
) {
  const { M, N, K } = units;
  const [down, across] = subgroupGrid(units, tileRows);
  const [rows, columns] = [tileRows / M / down, TILE_COLUMNS / N / across]; // fragments of a subgroup
  const each = (line: (i: number, j: number) => string): string =>
    unroll(rows, (i) => unroll(columns, (j) => line(i, j)));
  const right = (j: number): string =>
    loadMatrix(units, "right", TILE_W, `right_at + ${j}u * (N * W_LENGTH) + k`);
  return {
    constants: {
      M,
      N,
      K,
      A_LENGTH: left.rowLength,
      W_LENGTH: TILE_W.rowLength,
      SUM_ROWS,
      SUBGROUPS_DOWN: down,
      SUBGROUPS_ACROSS: across,
      SUBGROUP_ROWS: rows * M,
      SUBGROUP_COLUMNS: columns * N,
    },
    declarations: `${[left, TILE_W, SUMS].map((array) => matrixArrayWgsl(units, array)).join("")}
fn exchange_set(at: u32, v: vec4<f32>) { set_sums(at, v); }
fn exchange_get(at: u32) -> vec4<f32> { return get_sums(at); }
`,
    begin: /* wgsl */ `// The masks change nothing. They show compilers that all loads of matrices are within their arrays.
  let fragment_row = ((subgroup / SUBGROUPS_ACROSS) & (SUBGROUPS_DOWN - 1u)) * SUBGROUP_ROWS;
  let fragment_column = (subgroup & (SUBGROUPS_ACROSS - 1u)) * SUBGROUP_COLUMNS;
  let right_at = fragment_column * W_LENGTH;
  ${each((i, j) => `var sum${i}_${j}: ${matrixType(units, "result")};`)}`,
    stageWeights: (
      tap: string,
    ): string => /* wgsl */ `// An invocation takes a block of 4 channels × 4 columns and transposes it. Behind the last quad of channels or columns it
      // takes a stand-in: such channels meet zeros of x, such columns are not stored.
      {
        let block = ((first_row + min(k0 + stage_quad, quads - 1u)) * params.column_quads + stage_nq) * 4u;
        ${scaleOf(storage, tap, "k0", "stage_nq")}${storage === "float" ? LOAD_HALVES : LOAD_INTEGERS}
        ${setTransposed(TILE_W, "stage_column * W_LENGTH + stage_quad", "w")}
      }`,
    products: (
      leftAt: (i: number) => string,
    ): string => /* wgsl */ `for (var k = 0u; k < 4u * K_QUADS; k += K) {
        ${unroll(rows, (i) => `let left${i} = ${loadMatrix(units, "left", left, `${leftAt(i)} + k`)};`)}
        ${unroll(columns, (j) => `let right${j} = ${right(j)};`)}
        ${each((i, j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`)}
      }`,
    storeSums: unroll(
      rows,
      (i) => /* wgsl */ `if ((fragment_row + ${i}u * M) / SUM_ROWS * SUM_ROWS == first) {
      let at = (fragment_row + ${i}u * M - first) * (4u * COLUMN_QUADS) + fragment_column;
      ${unroll(columns, (j) => storeMatrix(units, SUMS, `at + ${j}u * N`, `sum${i}_${j}`))}
    }`,
    ),
  };
}

function matrixBody(units: MatrixUnits, normalises: boolean, storage: WeightStorage): GemmBody {
  const tile = matrixTile(units, TILE_ROWS, leftArray(TILE_ROWS), storage);
  return {
    kQuads: MATRIX_K_QUADS,
    constants: tile.constants,
    directives: matrixDirectives(units),
    declarations: tile.declarations,
    attributes: subgroupSizeAttribute(units),
    parameters: ", @builtin(subgroup_id) subgroup: u32",
    begin: /* wgsl */ `${tile.begin}
  let left_at = fragment_row * A_LENGTH;
  let stage_quad = local >> COLUMN_QUAD_BITS;`,
    step: /* wgsl */ `for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        set_tile_a(stage_row * (A_LENGTH / 4u) + stage_k + s, ${normalises ? "pack(a)" : "vec4<f16>(a)"});
      }
      let first_row = (first_tap + tap) * quads_in;
      ${tile.stageWeights("first_tap + tap")}
      workgroupBarrier();
      ${tile.products((i) => `left_at + ${i}u * (M * A_LENGTH)`)}
      workgroupBarrier();`,
    end: /* wgsl */ `${accumulatorsWgsl(4, 2)}
  for (var first = 0u; first < TILE_ROWS; first += SUM_ROWS) {
    ${tile.storeSums}
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
  return matrixUnitsRefusal(dtype, caps, matrixTileByteLength(leftArray(TILE_ROWS)));
}

/** The body of a variant on tiles. `normalises`: loads apply a norm, whose result may be outside the range of f16. */
export function gemmBody(
  variant: string,
  caps: Caps,
  normalises: boolean,
  storage: WeightStorage,
): GemmBody {
  if (!isMatrixVariant(variant)) return tiledBody(storage);
  if (caps.matrixUnits === null) throw new Error(`internal: ${variant} without matrix units`);
  return matrixBody(caps.matrixUnits, normalises, storage);
}
