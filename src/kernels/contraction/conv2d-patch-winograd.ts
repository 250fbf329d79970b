/**
 * Main of the `patch-winograd` convolution, 3×3 at stride 1: `patch` with Winograd's F(4, 3) along rows, 18 products for 4
 * neighbouring outputs and a channel, not 36.
 *
 *   Y = Aᵀ Σ_ky [ (G g) ⊙ (Bᵀ d) ]
 *
 * d are 6 neighbouring pixels of a line, g the taps of a row of the window, ⊙ the product at each of 6 positions. Along columns
 * the sum stays direct: F(2×2, 3×3) would save 20, not 18 of 36 products, but has 4 sums for each output, not 1.5, and so
 * half the reuse of what is staged.
 *
 * A workgroup of 192 computes the tile of `patch`, 16 × 8 pixels × 64 columns. An invocation computes 8 rows of one position in
 * one of 4 tiles of 4 pixels, for 2 column quads; a position is 32 neighbouring invocations. In a turn of the loop, 2 channels, some
 * transform weights and the others pixels, into workgroup memory, all in f32. Then an invocation reads a column of pixels once
 * for all taps of a column: 9 reads of 16 bytes for 192 multiply-adds, as `patch` does. Weights are transformed here, in
 * each workgroup, at 3 % of its products: twice their bytes need not be stored and read. The factors of G multiply sums instead.
 *
 * The pixels of the next four channels are loaded beside the products of these. A shortcut is a window with one tap, in its middle.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { weightQuadOf } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import {
  PATCH_CONSTANTS,
  PATCH_TILE,
  patchFinishWgsl,
  patchMainWgsl,
  rowProductsWgsl,
} from "./conv2d-patch.ts";
import { POINTS_WGSL, TILE } from "./winograd-wgsl.ts";

const [TILE_HEIGHT, TILE_WIDTH] = PATCH_TILE;
const { COLUMN_QUADS, LANES_ACROSS } = PATCH_CONSTANTS;
const WINDOW = 3;
const POSITIONS = TILE + WINDOW - 1;
/** Tiles of 4 pixels across. */
const TILES = TILE_WIDTH / TILE;
const INVOCATIONS = POSITIONS * TILES * LANES_ACROSS;
/** Input channels of a turn. */
const CHANNELS = 2;
const PATCH_WIDTH = TILE_WIDTH + WINDOW - 1;
const PATCH_HEIGHT = TILE_HEIGHT + WINDOW - 1;
/** Lines of staged pixels: one more than are needed, so that every invocation has a quad there for its M2. */
const LINES = PATCH_HEIGHT + 1;
const ROW_QUADS = Math.ceil(PATCH_HEIGHT / 4);
const CONSTANTS = {
  ...PATCH_CONSTANTS,
  FINISHED_ROWS: 1,
  INVOCATIONS,
  WINDOW,
  TILE,
  TILES,
  POSITIONS,
  CHANNELS,
  PATCH_WIDTH,
  PATCH_HEIGHT,
  LINES,
  ROW_QUADS,
  TAP_LANES: CHANNELS * COLUMN_QUADS,
  POINT_LANES: CHANNELS * TILES * PATCH_HEIGHT,
};

/** Workgroup memory: the place of the tile, pixels, their transforms and those of weights. */
export const PATCH_WINOGRAD_BYTES =
  16 *
  (1 + LINES * PATCH_WIDTH + CHANNELS * POSITIONS * (TILES * ROW_QUADS + WINDOW * COLUMN_QUADS));

/** Main of `patch-winograd`: as `patchConv2dWgsl`. */
export function patchWinogradConv2dWgsl(
  shortcut: boolean,
  hasStatistics: boolean,
  isMerging: boolean,
  storage: WeightStorage,
): string {
  const store = (row: number, q: number): string =>
    `taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + ${q}u * LANES_ACROSS] = acc${row}_${q};`;
  return /* wgsl */ `
${constantsWgsl(CONSTANTS)}
alias Inputs = f32;
alias Weights = vec4<f32>;
${POINTS_WGSL}${MEMORY}${stagingWgsl(storage)}${shortcut ? shortcutStagingWgsl(storage) : ""}${patchMainWgsl(isMerging)}
  let my_tile = (local / LANES_ACROSS) % TILES;
  let my_position = local / (LANES_ACROSS * TILES);
  ${sumWgsl("x", "quads_in", [0, 1, 2])}
  ${shortcut ? sumWgsl("shortcut", "shortcut_quads()", [1]) : ""}
  ${patchFinishWgsl(hasStatistics, 1, store)}
}
`;
}

/** What is in workgroup memory, and what is there when sums are finished, which `patchFinishWgsl` asks for. */
const MEMORY = /* wgsl */ `
// Of four channels: [line][column]. Then M2.
var<workgroup> pixels: array<array<vec4<f32>, PATCH_WIDTH>, LINES>;
// Bᵀ d: [channel][position][tile][quad of rows].
var<workgroup> points: array<array<array<array<vec4<f32>, ROW_QUADS>, TILES>, POSITIONS>, CHANNELS>;
// G g: [channel][row of taps][position][column quad]. Then sums, of tile t in [t / 2][t % 2], and means in [][2].
var<workgroup> taps: array<array<array<array<vec4<f32>, COLUMN_QUADS>, POSITIONS>, WINDOW>, CHANNELS>;

// Of an invocation in a row of taps: channel, position, column quad.
fn cell(at: u32) -> vec3<u32> {
  return vec3<u32>(at / (POSITIONS * COLUMN_QUADS), (at / COLUMN_QUADS) % POSITIONS, at % COLUMN_QUADS);
}
fn exchange_set(at: u32, v: vec4<f32>) { let i = cell(at); taps[i.x][0][i.y][i.z] = v; }
fn exchange_get(at: u32) -> vec4<f32> { let i = cell(at); return taps[i.x][0][i.y][i.z]; }
fn mean_set(at: u32, v: vec4<f32>) { let i = cell(at); taps[i.x][2][i.y][i.z] = v; }
fn mean_get(at: u32) -> vec4<f32> { let i = cell(at); return taps[i.x][2][i.y][i.z]; }
fn m2_set(at: u32, v: vec4<f32>) { pixels[at / PATCH_WIDTH][at % PATCH_WIDTH] = v; }
fn m2_get(at: u32) -> vec4<f32> { return pixels[at / PATCH_WIDTH][at % PATCH_WIDTH]; }

// Aᵀ m, of one pixel, with the factors of G.
fn exchanged_sum(x: u32, column: u32) -> vec4<f32> {
  let m = &taps[x / (2u * TILE)][(x / TILE) % 2u];
  let i = x % TILE;
  let sign = vec4<f32>(1.0, -1.0, 1.0, -1.0)[i];
  let a = FACTOR_A * vec4<f32>(1.0, A, A2, A2 * A)[i];
  let b = FACTOR_B * vec4<f32>(1.0, B, B2, B2 * B)[i];
  let end = vec4<f32>(FACTOR_0, 0.0, 0.0, 1.0)[i];
  return a * ((*m)[1][column] + sign * (*m)[2][column]) + b * ((*m)[3][column] + sign * (*m)[4][column])
    + end * (*m)[select(0u, 5u, i == 3u)][column];
}
`;

/** Quad `at` of a tap, of column quad `q` of the tile; expressions. */
const tapWgsl = (storage: WeightStorage, at: string, tap: string): string =>
  weightQuadOf(storage, at, tap, "k", "min(place.w + q, params.column_quads - 1u)");

/** What each invocation stages: quad `k` of a pixel; of channel `first` of the quad or the next a row of a tile, or of a weight's taps. */
const stagingWgsl = (storage: WeightStorage): string => /* wgsl */ `
fn stage_x_pixels(i: u32, k: u32) {
  let column = i % PATCH_WIDTH;
  let row = i / PATCH_WIDTH;
  if (row >= PATCH_HEIGHT) { return; }
  let ix = i32(place.x + column) - params.pad_left;
  let iy = i32(place.y + row) - params.pad_top;
  var a = vec4<f32>(0.0);
  if ((ix >= 0) & (ix < params.in_width) & (iy >= 0) & (iy < params.in_height)) {
    a = load_x(u32((i32(place.z) * params.in_height + iy) * params.in_width + ix), k);
  }
  pixels[row][column] = a;
}

fn stage_points(i: u32, first: u32) {
  let c = i % CHANNELS;
  let tile = (i / CHANNELS) % TILES;
  let row = i / (CHANNELS * TILES);
  let x = tile * TILE;
  ${unroll(POSITIONS, (p) => `let d${p} = pixels[row][x + ${p}u][first + c];`)}
  let values = input_points(d0, d1, d2, d3, d4, d5);
  ${unroll(POSITIONS, (p) => `points[c][${p}][tile][row / 4u][row % 4u] = values[${p}];`)}
}

fn set_taps(c: u32, ky: u32, q: u32, g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>) {
  let values = weight_points(g0, g1, g2);
  ${unroll(POSITIONS, (p) => `taps[c][ky][${p}][q] = values[${p}];`)}
}

// Of channel c of a tap. Columns behind the last are stand-ins, and not stored.
fn weight_at(c: u32, q: u32, k: u32) -> u32 {
  return (k * params.column_quads + min(place.w + q, params.column_quads - 1u)) * 4u + c;
}

fn stage_x_taps(i: u32, k: u32, first: u32, w_tap: u32) {
  let q = i % COLUMN_QUADS;
  let c = (i / COLUMN_QUADS) % CHANNELS;
  let ky = i / (COLUMN_QUADS * CHANNELS);
  let at = ky * WINDOW * w_tap + weight_at(first + c, q, k);
  set_taps(c, ky, q, ${tapWgsl(storage, "at", "ky * WINDOW")}, ${tapWgsl(storage, "at + w_tap", "ky * WINDOW + 1u")}, ${tapWgsl(storage, "at + 2u * w_tap", "ky * WINDOW + 2u")});
}
`;

/** The shortcut, as a window with one tap in its middle, which lies behind those of x. */
const shortcutStagingWgsl = (storage: WeightStorage): string => /* wgsl */ `
fn stage_shortcut_pixels(i: u32, k: u32) {
  let column = i % PATCH_WIDTH;
  let row = i / PATCH_WIDTH;
  if (row >= PATCH_HEIGHT) { return; }
  let ox = place.x + column - 1u;
  let oy = place.y + row - 1u;
  var a = vec4<f32>(0.0);
  if ((ox < params.grid_width) & (oy < params.grid_height)) {
    a = load_shortcut((place.z * params.grid_height + oy) * params.grid_width + ox, k);
  }
  pixels[row][column] = a;
}

fn stage_shortcut_taps(i: u32, k: u32, first: u32, w_tap: u32) {
  let q = i % COLUMN_QUADS;
  let c = i / COLUMN_QUADS;
  let g = ${tapWgsl(storage, "params.taps * w_tap + weight_at(first + c, q, k)", "params.taps")};
  set_taps(c, 1u, q, vec4<f32>(0.0), g, vec4<f32>(0.0));
}
`;

/** The sum over `quads` quads of channels of a source, for so many rows of taps. The last turn stages the next pixels. */
const sumWgsl = (
  source: "x" | "shortcut",
  quads: string,
  rows: readonly number[],
): string => /* wgsl */ `
  stage_${source}_pixels(local, 0u);
  workgroupBarrier();
  for (var k = 0u; k < ${quads}; k++) {
    ${stageTurnWgsl(source, 0, rows)}
    ${productsWgsl(rows)}
    ${stageTurnWgsl(source, 2, rows)}
    if (k + 1u < ${quads}) { stage_${source}_pixels(local, k + 1u); }
    ${productsWgsl(rows)}
  }`;

/** Stages channels `first` and the next. */
const stageTurnWgsl = (
  source: string,
  first: number,
  rows: readonly number[],
): string => /* wgsl */ `if (local < ${rows.length}u * TAP_LANES) {
      stage_${source}_taps(local, k, ${first}u, w_tap);
    } else if (local < ${rows.length}u * TAP_LANES + POINT_LANES) {
      stage_points(local - ${rows.length}u * TAP_LANES, ${first}u);
    }
    workgroupBarrier();`;

const productsWgsl = (
  rows: readonly number[],
): string => /* wgsl */ `for (var c = 0u; c < CHANNELS; c++) {
      ${rowProductsWgsl(
        rows,
        ROW_QUADS,
        (j) => `points[c][my_position][my_tile][${j}]`,
        (ky, q) => `taps[c][${ky}][my_position][my_quad + ${q}u * LANES_ACROSS]`,
      )}
    }
    workgroupBarrier();`;
