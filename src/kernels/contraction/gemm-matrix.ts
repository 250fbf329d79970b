/**
 * `matrix`: the tile of `gemm-tiled.ts` summed by matrix units, f16 factors and f32 sums (`subgroup-matrix.ts`).
 *
 * Per step 32 input channels of 64 rows and the matching 32 × 64 weights are staged as f16; rows are 16 bytes longer
 * than they need be, so that the 8 rows of a fragment lie in different banks (9,728 bytes). Every subgroup sums a
 * rectangle of fragments that is as square as can be: of 4 subgroups each 32 × 32, 2 × 2 fragments of 16×16 or 4 × 4 of
 * 8×8, each loaded once for 2 or 4 products. Matrices are opaque, so the sums go through 4 KiB of workgroup memory, 16
 * rows at a time, to the invocations that finish them: epilogue, GEGLU and statistics are those of `tiled`.
 *
 * Rounding. Products of two halves are exact in f32, so stored activations and weights give what `tiled` gives up to the
 * order of the sums. What a norm on load makes is rounded to f16 on its way (and clamped to ±65504), where `tiled`
 * keeps f32: exactly what storing the normalised map as f16 would do, which is what happens without that fusion.
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
import type { GemmBody } from "./gemm-tiled.ts";
import { TILED, TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";

const K_QUADS = 8; // 32 channels a step
const STEP = 4 * K_QUADS;
/** Rows of the sums that are in workgroup memory at a time. */
const PART_ROWS = 16;
/** Halves that a staged row is longer. */
const PADDING = 8;

const TILE_A: MatrixArray = {
  name: "tile_a",
  type: "f16",
  rowLength: STEP + PADDING,
  rows: TILE_ROWS,
};
const TILE_W: MatrixArray = {
  name: "tile_w",
  type: "f16",
  rowLength: TILE_COLUMNS + PADDING,
  rows: STEP,
};
const SUMS: MatrixArray = { name: "sums", type: "f32", rowLength: TILE_COLUMNS, rows: PART_ROWS };
const ARRAYS = [TILE_A, TILE_W, SUMS];

/** Workgroup memory. */
const STORAGE_BYTES = ARRAYS.reduce((sum, array) => sum + matrixArrayByteLength(array), 0);

/** How the fragments of a tile are shared out: to rows × columns of subgroups. */
function subgroupGrid({ M, N, subgroupSize }: MatrixUnits): readonly [number, number] {
  const subgroups = MATRIX_WORKGROUP / subgroupSize;
  const [rows, columns] = [TILE_ROWS / M, TILE_COLUMNS / N]; // in fragments
  const grids: (readonly [number, number])[] = [];
  for (let down = 1; down <= subgroups; down *= 2) {
    if (down <= rows && subgroups / down <= columns) grids.push([down, subgroups / down]);
  }
  // Elements that a subgroup loads for a column of products; of equal ones the fewer fragments.
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
  const rows = TILE_ROWS / M / down;
  const columns = TILE_COLUMNS / N / across;
  const each = (line: (i: number, j: number) => string): string =>
    unroll(rows, (i) => unroll(columns, (j) => line(i, j)));
  const loads = (side: "left" | "right", array: MatrixArray, offset: (at: number) => string) =>
    unroll(
      side === "left" ? rows : columns,
      (at) => `let ${side}${at} = ${loadMatrix(units, side, array, offset(at))};`,
    );
  return {
    kQuads: K_QUADS,
    directives: matrixDirectives(units),
    declarations: `${ARRAYS.map((array) => matrixArrayWgsl(units, array)).join("")}
fn exchange_set(at: u32, v: vec4<f32>) { set_sums(at, v); }
fn exchange_get(at: u32) -> vec4<f32> { return get_sums(at); }
`,
    attributes: subgroupSizeAttribute(units),
    parameters: ", @builtin(subgroup_id) subgroup: u32",
    begin: /* wgsl */ `let fragment_row = (subgroup / ${across}u) * ${rows * M}u;
  let fragment_column = (subgroup % ${across}u) * ${columns * N}u;
  ${each((i, j) => `var sum${i}_${j}: ${matrixType(units, "result")};`)}`,
    step: /* wgsl */ `for (var s = 0u; s < ${K_QUADS / 2}u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source_row, tap, k); }
        set_tile_a(stage_row * ${TILE_A.rowLength / 4}u + stage_k + s, ${normalises ? "pack(a)" : "vec4<f16>(a)"});
      }
      // 8 blocks of 16 column quads × 4 channels, as they lie in memory; 4 quads per invocation.
      for (var s = 0u; s < ${K_QUADS / 2}u; s++) {
        let slot = local + s * ${MATRIX_WORKGROUP}u;
        let block = slot >> 6u;
        let column = (slot >> 2u) & 15u;
        let kk = slot & 3u;
        let k = k0 + block;
        let nq = nq0 + column;
        var w = vec4<f16>();
        if (k < quads && nq < params.column_quads) {
          w = weight[(((first_tap + tap) * quads_in + k) * params.column_quads + nq) * 4u + kk];
        }
        set_tile_w((block * 4u + kk) * ${TILE_W.rowLength / 4}u + column, w);
      }
      workgroupBarrier();
      for (var k = 0u; k < ${STEP}u; k += ${K}u) {
        ${loads("left", TILE_A, (i) => `(fragment_row + ${i * M}u) * ${TILE_A.rowLength}u + k`)}
        ${loads("right", TILE_W, (j) => `k * ${TILE_W.rowLength}u + fragment_column + ${j * N}u`)}
        ${each((i, j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`)}
      }
      workgroupBarrier();`,
    end: /* wgsl */ `${unroll(4, (r) => `var acc${r}_0 = vec4<f32>(0.0); var acc${r}_1 = vec4<f32>(0.0);`)}
  for (var first = 0u; first < ${TILE_ROWS}u; first += ${PART_ROWS}u) {
    ${unroll(
      rows,
      (i) => `if ((fragment_row + ${i * M}u) / ${PART_ROWS}u * ${PART_ROWS}u == first) {
      let at = (fragment_row + ${i * M}u - first) * ${TILE_COLUMNS}u + fragment_column;
      ${unroll(columns, (j) => storeMatrix(units, SUMS, `at + ${j * N}u`, `sum${i}_${j}`))}
    }`,
    )}
    workgroupBarrier();
    if (my_row / ${PART_ROWS}u * ${PART_ROWS}u == first) {
      let at = (my_row - first) * ${TILE_COLUMNS / 4}u + my_quad;
      ${unroll(4, (r) => unroll(2, (q) => `acc${r}_${q} = get_sums(at + ${r * (TILE_COLUMNS / 4) + q}u);`))}
    }
    workgroupBarrier();
  }`,
  };
}

/** Whether a variant sums its tiles by matrix units. */
export const isMatrixVariant = (variant: string): boolean => variant.startsWith("matrix");

/** Why a tile cannot be summed by matrix units; null where it can. */
export function matrixTileRefusal(dtype: DType, caps: Caps): string | null {
  if (dtype !== "f16") return `matrix units take f16 storage, got ${dtype}`;
  if (caps.matrixUnits === null) return `matrix units cannot be used: ${caps.matrixRefusal}`;
  const [bytes, most] = [STORAGE_BYTES, caps.limits.maxComputeWorkgroupStorageSize];
  if (bytes <= most) return null;
  return `matrix units need ${bytes} bytes of workgroup storage, got ${most}`;
}

/** The body of a variant that is built on tiles. `normalises`: what is loaded may be outside the range of f16. */
export function gemmBody(variant: string, caps: Caps, normalises: boolean): GemmBody {
  if (!isMatrixVariant(variant)) return TILED;
  if (caps.matrixUnits === null) throw new Error(`internal: ${variant} without matrix units`);
  return matrixBody(caps.matrixUnits, normalises);
}
