/**
 * Workgroup-tiled GEMM shared by linear and conv2d (`tiled`), the starting point for GPUs.
 *
 * A workgroup of 128 computes a tile of 64 rows × 64 columns; an invocation finishes 4 rows × 2 column quads. How a K step
 * is staged and multiplied is a `GemmBody`: `tiledBody` here, or that of matrix units in `gemm-matrix.ts`. For conv2d the
 * K axis is (tap, channel).
 *
 * The grid's z axis is the phase: the parities of an upsampled output, which have taps of their own, else one. With split-K
 * it is (phase, slice): see `tiled-plan.ts`.
 */
import { quadCount } from "../../gpu/shape.ts";
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { scaleOf, weightQuad } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import { accumulatorsWgsl } from "./gemm-register.ts";
import { COLUMN_STATISTICS, ROW_STATISTICS } from "./tile-statistics-wgsl.ts";

export const TILE_ROWS = 64;
export const TILE_COLUMNS = 64;

/** Sizes of a tile, as main declares them. */
const TILE_CONSTANTS = {
  INVOCATIONS: 128,
  TILE_ROWS,
  TILE_ROW_BITS: Math.log2(TILE_ROWS),
  TILE_COLUMNS,
  COLUMN_QUADS: TILE_COLUMNS / 4,
  COLUMN_QUAD_BITS: Math.log2(TILE_COLUMNS / 4),
  LANES_ACROSS: 8, // with 2 column quads each
  LANES_ACROSS_BITS: 3,
  MERGED_ROWS: 32, // at a time, for the statistics of rows
};

/** How a workgroup of 128 sums a tile, as WGSL within `main`. */
export interface GemmBody {
  /** Quads of the K axis in a K step: `K_QUADS` of the shader. */
  readonly kQuads: number;
  /** More sizes that the shader has a name for. */
  readonly constants: Readonly<Record<string, number>>;
  /** Lines in front of the shader. */
  readonly directives: readonly string[];
  /** Workgroup memory; and `exchange_set(at, v)`, `exchange_get(at)` for 256 vec4 f32 of it, outside the K loop. */
  readonly declarations: string;
  /** Attributes and further parameters of `main`. */
  readonly attributes: string;
  readonly parameters: string;
  /** Before the first K step. */
  readonly begin: string;
  /** Stages quads `k0` to `k0 + K_QUADS` of a tap that has `quads`, and adds their products. */
  readonly step: string;
  /** Leaves the sums of rows `my_row + r`, quads `my_quad + q` in `acc<r>_<q>`, and a barrier behind it. */
  readonly end: string;
}

/** What a tile writes beside its outputs: see `tile-statistics.ts`. */
export type TileStatistics = "none" | "channels" | "rows";

/** K steps for a tap of one or two sources: they are one K axis, each padded to quads. */
export const tileSteps = (sources: readonly number[], { kQuads }: GemmBody): number =>
  Math.ceil(sources.reduce((sum, channels) => sum + quadCount(channels), 0) / kQuads);

/** What a tile does beside its sums. */
export interface TileExtras {
  /** Whether columns are pairs of value and gate. */
  readonly geglu: boolean;
  /** Those of channels need tiles of whole rows, those of rows whole columns; split-K has none. */
  readonly statistics: TileStatistics;
  /** Whether it first merges the statistics of x: needs `MERGED_NORM`. */
  readonly isMerging: boolean;
}

/**
 * Main of all variants on tiles. `taps` is an expression of type u32. Needs params `rows`, `column_quads`, the epilogue, and
 *
 * - `k_quads()`, the quads of the K axis in the weight from tap to tap, and `tap_quads(tap)`, those that a tap has;
 * - `struct Row` and `locate(row, phase) -> Row`, for a row that exists;
 * - `Source` and `at_tap(Row, tap) -> Source`, what is the same for all K steps of a tap;
 * - `load_tap(Source, tap, k) -> vec4<f32>`, zeros in the padding;
 * - `output_row(row, phase)`.
 */
export function tiledGemmWgsl(body: GemmBody, taps: string, extras: TileExtras | "split"): string {
  const isSplit = extras === "split";
  return /* wgsl */ `
${constantsWgsl({ ...TILE_CONSTANTS, K_QUADS: body.kQuads, ...body.constants })}
${body.declarations}
@compute @workgroup_size(INVOCATIONS) ${body.attributes}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32${body.parameters}) {
  let index = flat_group(group, counts);
  let row_tiles = (params.rows + (TILE_ROWS - 1u)) / TILE_ROWS;
  let row0 = (index % row_tiles) * TILE_ROWS;
  let nq0 = (index / row_tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group
  ${!isSplit && extras.isMerging ? "merge_statistics(local);" : ""}
  ${isSplit ? SLICE : "let phase = group.z;"}
  // Staging: 64 lanes take a row each and half of its quads, the other 64 the other half.
  let stage_row = local & (TILE_ROWS - 1u);
  let stage_k = (local >> TILE_ROW_BITS) * (K_QUADS / 2u);
  let source_row = locate(min(row0 + stage_row, params.rows - 1u), phase);
  let stage_column = local & (COLUMN_QUADS - 1u);
  let stage_nq = min(nq0 + stage_column, params.column_quads - 1u);
  let first_tap = phase * ${taps};
  // Finishing: 16 × 8 lanes.
  let my_row = (local >> LANES_ACROSS_BITS) * 4u;
  let my_quad = (local & (LANES_ACROSS - 1u)) * 2u;
  let quads_in = k_quads();
  ${body.begin}
  for (var tap = 0u; tap < ${taps}; tap++) {
    let quads = tap_quads(tap);
    let source = at_tap(source_row, tap);
    ${isSplit ? SLICE_STEPS : "for (var k0 = 0u; k0 < quads; k0 += K_QUADS) {"}
      ${body.step}
    }
  }
  ${body.end}
  let nq = nq0 + my_quad;
  ${isSplit ? storesWgsl(false) : { none: storesWgsl(extras.geglu), channels: COLUMN_STATISTICS, rows: ROW_STATISTICS }[extras.statistics]}
}
`;
}

/** The slice of the K axis that a workgroup sums, in K steps. */
const SLICE = /* wgsl */ `let phase = group.z / params.slices;
  let my_slice = group.z % params.slices; // uniform, which a variable of the module is not to the compiler
  slice = my_slice;
  let slice_begin = my_slice * params.slice_steps;
  let slice_end = slice_begin + params.slice_steps;
  var tap_begin = 0u;`;

/** The loop over the K steps of a tap that are in the slice. */
const SLICE_STEPS = /* wgsl */ `let steps = (quads + (K_QUADS - 1u)) / K_QUADS;
    let k_begin = (max(slice_begin, tap_begin) - tap_begin) * K_QUADS;
    let k_end = min(min(max(slice_end, tap_begin) - tap_begin, steps) * K_QUADS, quads);
    tap_begin += steps;
    for (var k0 = k_begin; k0 < k_end; k0 += K_QUADS) {`;

/**
 * f32 arithmetic: an invocation multiplies 4 rows × 2 column quads. Stages 16 channels a K step, 4 KiB of x and of weights.
 * Integers become floats here; all of a K step have the scale of one block.
 */
export const tiledBody = (storage: WeightStorage): GemmBody => ({
  kQuads: 4,
  constants: {},
  directives: [],
  declarations: /* wgsl */ `
// Arrays of arrays: an index of a dimension is checked once, outside of the loop.
var<workgroup> tile_a: array<array<vec4<f32>, TILE_ROWS>, K_QUADS>; // [quad][row]
var<workgroup> tile_w: array<array<vec4<f32>, COLUMN_QUADS>, K_QUADS * 4u>; // [channel][column quad]
fn exchange_set(at: u32, v: vec4<f32>) { tile_a[at / TILE_ROWS][at % TILE_ROWS] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return tile_a[at / TILE_ROWS][at % TILE_ROWS]; }
`,
  attributes: "",
  parameters: "",
  begin: accumulatorsWgsl(4, 2),
  step: /* wgsl */ `for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        tile_a[stage_k + s][stage_row] = a;
      }
      // Behind the last quad of channels or columns: a stand-in. Such channels meet zeros of x, such columns are not stored.
      ${scaleOf(storage, "first_tap + tap", "k0", "stage_nq")}for (var s = 0u; s < K_QUADS * 4u * COLUMN_QUADS / INVOCATIONS; s++) {
        let channel = (local >> COLUMN_QUAD_BITS) + s * (INVOCATIONS / COLUMN_QUADS);
        let k = min(k0 + (channel >> 2u), quads - 1u);
        let row = (first_tap + tap) * quads_in + k;
        tile_w[channel][stage_column] = ${weightQuad(storage, "(row * params.column_quads + stage_nq) * 4u + (channel & 3u)")};
      }
      workgroupBarrier();
      for (var k = 0u; k < K_QUADS; k++) {
        ${unroll(4, (r) => `let a${r} = tile_a[k][my_row + ${r}u];`)}
        ${unroll(4, (c) => unroll(2, (q) => stagedProductsWgsl(c, q)))}
      }
      workgroupBarrier();`,
  end: "",
});

/**
 * Adds the products of channel `c` of quad `k` with column quad `my_quad + q`. A chain of multiply-adds into the accumulator:
 * a sum of four products that is added at the end costs two instructions more on GPUs, as compilers may not reorder it.
 */
function stagedProductsWgsl(c: number, q: number): string {
  return /* wgsl */ `{
          let w = tile_w[4u * k + ${c}u][my_quad + ${q}u];
          ${unroll(4, (r) => `acc${r}_${q} += a${r}.${"xyzw".charAt(c)} * w;`)}
        }`;
}

/** Finishes and stores the four rows of an invocation. */
function storesWgsl(geglu: boolean): string {
  const finishRow = (r: number): string =>
    geglu
      ? `finish_pair(acc${r}_0, acc${r}_1, row, nq / 2u);`
      : `finish(acc${r}_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc${r}_1, row, nq + 1u); }`;
  return /* wgsl */ `if (nq >= params.column_quads) { return; }
  ${unroll(
    4,
    (r) => `{
    let grid_row = row0 + my_row + ${r}u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      ${finishRow(r)}
    }
  }`,
  )}`;
}
