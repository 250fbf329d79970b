/**
 * Workgroup-tiled GEMM shared by linear and conv2d (`tiled`), the starting point for GPUs.
 *
 * A workgroup of 128 computes 64 rows × 64 columns; an invocation finishes 4 rows × 2 column quads. How a step of the K
 * axis is staged and multiplied is a `GemmBody`. `TILED`: 16 input channels of 64 rows (4 KiB) and the matching 16×64
 * weights (4 KiB) as f32. Accumulators are spelled out: an array indexed by loop variables ran 1.7 times slower on
 * SwiftShader. The other body is `gemm-matrix.ts`. For conv2d the K axis is (tap, channel): `load_tap` gathers the
 * shifted pixel and gives zeros in the padding.
 *
 * The grid's z axis are phases, each with taps of its own: the parities of an upsampled output, else one. With
 * `split` it is (phase, slice): see `gemm-split.ts`.
 *
 * The includer provides: `k_quads()` (rows of blocks in the weight from tap to tap), `tap_quads(tap)` (those
 * that a tap has), `struct Row`, `locate(row, phase) -> Row` (row already clamped to
 * range), `load_tap(Row, tap, k) -> vec4<f32>`, `output_row(row, phase)`, the epilogue, and params `rows`,
 * `column_quads`.
 */
import { quadCount } from "../../gpu/shape.ts";
import { unroll } from "../unroll.ts";
import { columnStatisticsWgsl } from "./column-statistics.ts";
import { multiplyAddWgsl } from "./gemm-register.ts";

export const TILE_ROWS = 64;
export const TILE_COLUMNS = 64;

/** How a workgroup of 128 sums a tile, as WGSL within `main`. */
export interface GemmBody {
  /** Quads of the K axis in a step. */
  readonly kQuads: number;
  /** Lines in front of the shader. */
  readonly directives: readonly string[];
  /** Workgroup memory; and `exchange_set(at, v)`, `exchange_get(at)` for 256 vec4 f32 of it, once the sums are there. */
  readonly declarations: string;
  /** Attributes and further parameters of `main`. */
  readonly attributes: string;
  readonly parameters: string;
  /** Before the first step. */
  readonly begin: string;
  /** Stages quads `k0` to `k0 + kQuads` of a tap that has `quads`, and adds their products. */
  readonly step: string;
  /** Leaves the sums of rows `my_row` + r, quads `my_quad` + q in `acc{r}_{q}`, and a barrier behind it. */
  readonly end: string;
}

/** What a tile writes beside its outputs: see `tile-statistics.ts`. */
export type TileStatistics = "none" | "channels" | "rows";

/** Steps of the K loop for a tap of so many channels. */
export const tileSteps = (channels: number, { kQuads }: GemmBody): number =>
  Math.ceil(quadCount(channels) / kQuads);

/** What a tile does beside its sums. */
export interface TileExtras {
  /** Whether columns are pairs of value and gate. */
  readonly geglu: boolean;
  /** Those of channels need tiles of whole rows, those of rows whole columns; a split has none. */
  readonly statistics: TileStatistics;
  /** Whether it first merges the statistics of x: needs `MERGED_NORM`. */
  readonly isMerging: boolean;
  /** Whether the grid's z axis has slices of the K axis too. */
  readonly split: boolean;
}

/** Entry point `main`; `taps` is a WGSL expression of type u32. */
export function tiledGemmWgsl(
  body: GemmBody,
  taps: string,
  { geglu, statistics, isMerging, split }: TileExtras,
): string {
  const { kQuads } = body;
  const slice = split
    ? `let phase = group.z / params.slices;
  let my_slice = group.z % params.slices; // uniform, which a variable of the module is not to the compiler
  slice = my_slice;
  let slice_begin = my_slice * params.slice_steps;
  let slice_end = slice_begin + params.slice_steps;
  var tap_begin = 0u; // in steps`
    : "let phase = group.z;";
  const range = split
    ? `let steps = (quads + ${kQuads - 1}u) / ${kQuads}u;
    let k_begin = (max(slice_begin, tap_begin) - tap_begin) * ${kQuads}u;
    let k_end = min(min(max(slice_end, tap_begin) - tap_begin, steps) * ${kQuads}u, quads);
    tap_begin += steps;
    for (var k0 = k_begin; k0 < k_end; k0 += ${kQuads}u) {`
    : `for (var k0 = 0u; k0 < quads; k0 += ${kQuads}u) {`;
  return /* wgsl */ `
${body.declarations}
@compute @workgroup_size(128) ${body.attributes}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32${body.parameters}) {
  let index = flat_group(group, counts);
  let row_tiles = (params.rows + ${TILE_ROWS - 1}u) / ${TILE_ROWS}u;
  let row0 = (index % row_tiles) * ${TILE_ROWS}u;
  let nq0 = (index / row_tiles) * ${TILE_COLUMNS / 4}u;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group
  ${isMerging ? "merge_statistics(local);" : ""}
  ${slice}
  // Staging: lanes 0..63 take rows, twice half the quads each; finishing: 16 × 8 invocations.
  let stage_row = local & 63u;
  let stage_k = (local >> 6u) * ${kQuads / 2}u;
  let source_row = locate(min(row0 + stage_row, params.rows - 1u), phase);
  let first_tap = phase * ${taps};
  let my_row = (local >> 3u) * 4u;
  let my_quad = (local & 7u) * 2u;
  let quads_in = k_quads();
  ${body.begin}
  for (var tap = 0u; tap < ${taps}; tap++) {
    let quads = tap_quads(tap);
    ${range}
      ${body.step}
    }
  }
  ${body.end}
  let nq = nq0 + my_quad;
  ${{ none: storesWgsl(geglu), channels: CHANNEL_STATISTICS, rows: ROW_STATISTICS }[statistics]}
}
`;
}

const K_QUADS = 4; // 16 channels a step

/** Scalar arithmetic: every invocation multiplies 4 rows × 2 column quads. */
export const TILED: GemmBody = {
  kQuads: K_QUADS,
  directives: [],
  declarations: /* wgsl */ `
var<workgroup> tile_a: array<vec4<f32>, ${K_QUADS * TILE_ROWS}>;
var<workgroup> tile_w: array<vec4<f32>, ${K_QUADS * 4 * (TILE_COLUMNS / 4)}>;
fn exchange_set(at: u32, v: vec4<f32>) { tile_a[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return tile_a[at]; }
`,
  attributes: "",
  parameters: "",
  begin: unroll(4, (r) => `var acc${r}_0 = vec4<f32>(0.0); var acc${r}_1 = vec4<f32>(0.0);`),
  step: /* wgsl */ `for (var s = 0u; s < 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source_row, tap, k); }
        tile_a[(stage_k + s) * ${TILE_ROWS}u + stage_row] = a;
      }
      // 16 weight rows × 16 column quads = 256 quads; two per invocation.
      for (var s = 0u; s < 2u; s++) {
        let slot = local + s * 128u;
        let kk = slot >> 4u; // channel within the step
        let nq = nq0 + (slot & 15u);
        let k = k0 + (kk >> 2u);
        var w = vec4<f32>(0.0);
        if (k < quads && nq < params.column_quads) {
          w = unpack(weight[(((first_tap + tap) * quads_in + k) * params.column_quads + nq) * 4u + (kk & 3u)]);
        }
        tile_w[slot] = w;
      }
      workgroupBarrier();
      for (var k = 0u; k < ${K_QUADS}u; k++) {
        ${unroll(4, (r) => `let a${r} = tile_a[k * ${TILE_ROWS}u + my_row + ${r}u];`)}
        ${unroll(
          2,
          (q) => `{
          let at = k * 64u + my_quad + ${q}u;
          let w0 = tile_w[at]; let w1 = tile_w[at + 16u]; let w2 = tile_w[at + 32u]; let w3 = tile_w[at + 48u];
          ${multiplyAddWgsl(4, q)}
        }`,
        )}
      }
      workgroupBarrier();`,
  end: "",
};

/** Finishes and stores the four rows of an invocation. */
function storesWgsl(geglu: boolean): string {
  return `if (nq >= params.column_quads) { return; }
  ${unroll(
    4,
    (r) => `{
    let grid_row = row0 + my_row + ${r}u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      ${
        geglu
          ? `finish_pair(acc${r}_0, acc${r}_1, row, nq / 2u);`
          : `finish(acc${r}_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc${r}_1, row, nq + 1u); }`
      }
    }
  }`,
  )}`;
}

/** The same, and the statistics of the tile's columns. */
const CHANNEL_STATISTICS = columnStatisticsWgsl({
  rows: 4,
  quadStep: 1,
  part: "local >> 3u",
  outputRow: (r) => `output_row(row0 + my_row + ${r}u, phase)`,
  split: "phase * row_tiles + index % row_tiles",
  within: null,
});

/**
 * The same, and the statistics of the tile's rows: 8 lanes hold 8 values each of a row, one lane merges them; 32 rows
 * at a time, for which there is memory.
 */
const ROW_STATISTICS = /* wgsl */ `
  ${unroll(
    4,
    (r) => `var part${r} = vec4<f32>(0.0);
  {
    let row = row0 + my_row + ${r}u;
    var v0 = vec4<f32>(0.0);
    var v1 = vec4<f32>(0.0);
    if (row < params.rows) {
      v0 = finish(acc${r}_0, output_row(row, phase), nq);
      v1 = finish(acc${r}_1, output_row(row, phase), nq + 1u);
    }
    let mean = dot(v0 + v1, vec4<f32>(0.125));
    let d0 = v0 - mean;
    let d1 = v1 - mean;
    part${r} = vec4<f32>(mean, dot(d0, d0) + dot(d1, d1), 0.0, 0.0);
  }`,
  )}
  for (var turn = 0u; turn < 2u; turn++) {
    if (my_row / 32u == turn) {
      let at = (my_row % 32u) * 8u + (local & 7u);
      ${unroll(4, (r) => `exchange_set(at + ${r * 8}u, part${r});`)}
    }
    workgroupBarrier();
    let row = row0 + turn * 32u + local;
    if (local < 32u && row < params.rows) {
      var mean = 0.0;
      for (var i = 0u; i < 8u; i++) { mean += exchange_get(local * 8u + i).x; }
      mean *= 0.125;
      var m2 = 0.0;
      for (var i = 0u; i < 8u; i++) {
        let eight = exchange_get(local * 8u + i);
        m2 += eight.y + 8.0 * (eight.x - mean) * (eight.x - mean);
      }
      row_stats_out[row * (params.column_quads / ${TILE_COLUMNS / 4}u) + nq0 / ${TILE_COLUMNS / 4}u] = vec2<f32>(mean, m2);
    }
    workgroupBarrier();
  }
`;
