/**
 * Main of the `patch` convolution: an implicit GEMM that reads each input pixel once for all taps.
 *
 * A workgroup of 128 computes 16 × 8 pixels × 64 columns. An invocation computes the 8 pixels of one of the 16 columns of
 * pixels, for 2 column quads. The two are 8 apart, so that neighbouring invocations read neighbouring weights.
 *
 * A K step stages 8 input channels of the pixels that the tile and its border touch, as f32 with quads along y (18 × 12
 * pixels at 3×3: 6,912 bytes). Then, for each column of taps, it stages their 3 × 8 × 64 weights (6,144 bytes). An
 * invocation reads a column of pixels once for all taps of a column: 9 reads of 16 bytes for 192 multiply-adds.
 *
 * The sums change hands before they are finished: one at a time needs few registers, and the shader has the epilogue four
 * times, not sixteen.
 *
 * Stride 1 only: at stride 2 the patch would take four times the memory. A shortcut is one more tap over pixels of its own.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { weightQuadOf } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import { accumulatorsWgsl } from "./gemm-register.ts";
import { COLUMN_ENTRIES } from "./tile-statistics-wgsl.ts";

const TILE_WIDTH = 16;
const TILE_HEIGHT = 8;
/** Pixels of a workgroup. */
export const PATCH_TILE = [TILE_HEIGHT, TILE_WIDTH] as const;
/** Column quads of a tile. */
const COLUMN_QUADS = 16;
/** Quads of input channels in a K step. Each of its channels and each column quad has one invocation that stages weights. */
const K_QUADS = 2;
const INVOCATIONS = 4 * K_QUADS * COLUMN_QUADS;
/** Invocations that share a column of pixels, with 2 column quads each. */
const LANES_ACROSS = 8;
/** Constants of `patchMainWgsl` and `patchFinishWgsl`, beside `INVOCATIONS` and `FINISHED_ROWS`. */
export const PATCH_CONSTANTS = { TILE_WIDTH, TILE_HEIGHT, COLUMN_QUADS, LANES_ACROSS };
/** Rows of pixels that change hands at a time. */
const FINISHED_ROWS = 2;
const FINISHED_QUADS = FINISHED_ROWS * TILE_WIDTH * COLUMN_QUADS;

type KernelSize = readonly [height: number, width: number];

/** Columns of the patch, and quads of its rows. */
const patchSize = ([height, width]: KernelSize): { width: number; rowQuads: number } => ({
  width: TILE_WIDTH + width - 1,
  rowQuads: Math.ceil((TILE_HEIGHT + height - 1) / 4),
});

/** Quads of workgroup memory: patch and weights, then sums on their way to another invocation, and its mean and M2. */
function memoryQuads(kernelSize: KernelSize): number {
  const { width, rowQuads } = patchSize(kernelSize);
  const staged = 4 * K_QUADS * width * rowQuads + kernelSize[0] * INVOCATIONS;
  return Math.max(staged, FINISHED_QUADS + 2 * INVOCATIONS);
}

/** Workgroup memory: those quads and the place of the tile. */
export const patchStorageBytes = (kernelSize: KernelSize): number =>
  16 * (memoryQuads(kernelSize) + 1);

/** Workgroups for one image and phase. */
export function patchGroups(
  height: number,
  width: number,
  columnQuads: number,
  [tileHeight, tileWidth]: readonly [number, number] = PATCH_TILE,
): number {
  return (
    Math.ceil(height / tileHeight) *
    Math.ceil(width / tileWidth) *
    Math.ceil(columnQuads / COLUMN_QUADS)
  );
}

/**
 * Main of `patch`. Needs `conv2dLoadsWgsl` and the epilogue; `isMerging`: also `MERGED_NORM`. Statistics and the merge use
 * the memory of the patch.
 */
export function patchConv2dWgsl(
  kernelSize: KernelSize,
  shortcut: boolean,
  hasStatistics: boolean,
  isMerging: boolean,
  storage: WeightStorage,
): string {
  const [kernelHeight, kernelWidth] = kernelSize;
  const { width, rowQuads } = patchSize(kernelSize);
  const constants = {
    ...PATCH_CONSTANTS,
    INVOCATIONS,
    K_QUADS,
    KERNEL_HEIGHT: kernelHeight,
    KERNEL_WIDTH: kernelWidth,
    PATCH_WIDTH: width,
    PATCH_HEIGHT: TILE_HEIGHT + kernelHeight - 1,
    ROW_QUADS: rowQuads,
    WEIGHTS_AT: 4 * K_QUADS * width * rowQuads,
    MEMORY_QUADS: memoryQuads(kernelSize),
    FINISHED_ROWS,
    FINISHED_QUADS,
  };
  const store = (row: number, q: number): string =>
    `memory[(${row % FINISHED_ROWS}u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + ${q}u * LANES_ACROSS] = acc${row}_${q};`;
  return /* wgsl */ `
${constantsWgsl(constants)}
// Patch: [channel][column][quad of rows]. Weights: [row of taps][channel][column quad].
var<workgroup> memory: array<vec4<f32>, MEMORY_QUADS>;
fn exchange_set(at: u32, v: vec4<f32>) { memory[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return memory[at]; }
fn mean_set(at: u32, v: vec4<f32>) { memory[FINISHED_QUADS + at] = v; }
fn mean_get(at: u32) -> vec4<f32> { return memory[FINISHED_QUADS + at]; }
fn m2_set(at: u32, v: vec4<f32>) { memory[FINISHED_QUADS + INVOCATIONS + at] = v; }
fn m2_get(at: u32) -> vec4<f32> { return memory[FINISHED_QUADS + INVOCATIONS + at]; }
fn exchanged_sum(pixel: u32, column: u32) -> vec4<f32> { return memory[pixel * COLUMN_QUADS + column]; }

// The weight that an invocation stages in a K step of a tap that has so many quads. Behind the last quad of channels or columns it
// stages a stand-in: such channels meet zeros of the patch, such columns are not stored.
fn staged_weight(local: u32, nq0: u32, k0: u32, quads: u32) -> u32 {
  let k = min(k0 + local / (4u * COLUMN_QUADS), quads - 1u);
  let nq = min(nq0 + local % COLUMN_QUADS, params.column_quads - 1u);
  return (k * params.column_quads + nq) * 4u + (local / COLUMN_QUADS) % 4u;
}

${storage === "float" ? "" : STAGED_COLUMN}${patchMainWgsl(isMerging)}
  let my_x = local / LANES_ACROSS;
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    let tile_at = place;
    let lines = i32(tile_at.z) * params.in_height;
    for (var i = local; i < K_QUADS * PATCH_WIDTH * PATCH_HEIGHT; i += INVOCATIONS) {
      let k = k0 + i % K_QUADS;
      let column = (i / K_QUADS) % PATCH_WIDTH;
      let row = i / (K_QUADS * PATCH_WIDTH);
      let ix = i32(tile_at.x + column) - pad_left(phase);
      let iy = i32(tile_at.y + row) - pad_top(phase);
      var a = vec4<f32>(0.0);
      if (k < quads_in && ix >= 0 && ix < params.in_width && iy >= 0 && iy < params.in_height) {
        a = load_x(u32((lines + iy) * params.in_width + ix), k);
      }
      ${STORE_PIXEL}
    }
    var w_at = phase * (KERNEL_HEIGHT * KERNEL_WIDTH) * w_tap + staged_weight(local, tile_at.w, k0, quads_in);
    for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
      ${unroll(kernelHeight, (ky) => `memory[WEIGHTS_AT + ${ky}u * INVOCATIONS + local] = ${stagedWgsl(storage, `w_at + ${ky}u * (KERNEL_WIDTH * w_tap)`, `${ky}u * KERNEL_WIDTH + kx`)};`)}
      w_at += w_tap;
      workgroupBarrier();
      ${columnProductsWgsl(kernelHeight, rowQuads, "my_x + kx")}
      workgroupBarrier();
    }
  }
  ${shortcut ? shortcutWgsl(storage) : ""}
  ${patchFinishWgsl(hasStatistics, FINISHED_ROWS, store)}
}
`;
}

/** The place of a workgroup: `phase`, `tiles_x` × `tiles_y` of `tiles` that share its columns, from column quad `nq0` on. */
export const PATCH_PLACE = /* wgsl */ `let index = flat_group(group, counts);
  let phase = group.z;
  let tiles_x = (params.grid_width + (TILE_WIDTH - 1u)) / TILE_WIDTH;
  let tiles_y = (params.grid_height + (TILE_HEIGHT - 1u)) / TILE_HEIGHT;
  let tiles = tiles_x * tiles_y * params.batch;
  let nq0 = (index / tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group`;

/** The head of main, up to the accumulators of an invocation: rows of a column of pixels × 2 column quads. */
export const patchMainWgsl = (isMerging: boolean): string => /* wgsl */ `
var<workgroup> place: vec4<u32>; // of the tile: kept here and not in registers, which are full until the sums are done

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  ${PATCH_PLACE}
  ${isMerging ? "merge_statistics(local);" : ""}
  let tile = index % tiles;
  let ox0 = (tile % tiles_x) * TILE_WIDTH;
  let oy0 = ((tile / tiles_x) % tiles_y) * TILE_HEIGHT;
  let image = tile / (tiles_x * tiles_y);
  if (local == 0u) { place = vec4<u32>(ox0, oy0, image, nq0); }
  workgroupBarrier();
  let my_quad = local % LANES_ACROSS;
  let quads_in = params.in_quads0 + params.in_quads1;
  let w_tap = quads_in * params.column_quads * 4u;
  ${accumulatorsWgsl(TILE_HEIGHT, 2)}`;

/** Stores quad `a` of pixel (column, row) and of quad of channels i % K_QUADS. */
const STORE_PIXEL = /* wgsl */ `let at = (4u * (i % K_QUADS) * PATCH_WIDTH + column) * ROW_QUADS + row / 4u;
      ${unroll(4, (c) => `memory[at + ${c}u * (PATCH_WIDTH * ROW_QUADS)][row % 4u] = a.${"xyzw".charAt(c)};`)}`;

/** The products of a column of `taps` staged taps with the pixels of the patch's column `column`. */
const columnProductsWgsl = (
  taps: number,
  rowQuads: number,
  column: string,
): string => /* wgsl */ `for (var c = 0u; c < 4u * K_QUADS; c++) {
        let first = (c * PATCH_WIDTH + ${column}) * ROW_QUADS;
        let w_first = WEIGHTS_AT + c * COLUMN_QUADS + my_quad;
        ${rowProductsWgsl(
          Array.from({ length: taps }, (_, ky) => ky),
          rowQuads,
          (j) => `memory[first + ${j}u]`,
          (ky, q) => `memory[w_first + ${ky}u * INVOCATIONS + ${q}u * LANES_ACROSS]`,
        )}
      }`;

/** The products of the rows `taps` of taps with a column of pixels, in quads, for a channel. */
export function rowProductsWgsl(
  taps: readonly number[],
  rowQuads: number,
  pixels: (quad: number) => string,
  weight: (tap: number, q: number) => string,
): string {
  const pixel = (row: number): string => `a${row >> 2}.${"xyzw".charAt(row & 3)}`;
  const products = (ky: number, q: number): string => /* wgsl */ `{
          let w = ${weight(ky, q)};
          ${unroll(TILE_HEIGHT, (r) => `acc${r}_${q} += ${pixel(r + ky)} * w;`)}
        }`;
  return /* wgsl */ `${unroll(rowQuads, (j) => `let a${j} = ${pixels(j)};`)}
        ${unroll(taps.length, (i) => unroll(2, (q) => products(taps[i] ?? 0, q)))}`;
}

/** Quad `at` of a tap, expressions, as an invocation stages it. A K step of integers has one scale. */
const stagedWgsl = (storage: WeightStorage, at: string, tap: string): string =>
  weightQuadOf(storage, at, tap, "k0", "staged_column(local, tile_at.w)");

/** The column quad of the weight that an invocation stages. */
const STAGED_COLUMN = /* wgsl */ `fn staged_column(local: u32, nq0: u32) -> u32 {
  return min(nq0 + local % COLUMN_QUADS, params.column_quads - 1u);
}
`;

/** The shortcut's K loop, with its rows of the weight behind those of all taps. */
const shortcutWgsl = (
  storage: WeightStorage,
): string => /* wgsl */ `for (var k0 = 0u; k0 < shortcut_quads(); k0 += K_QUADS) {
    let tile_at = place;
    for (var i = local; i < K_QUADS * TILE_WIDTH * TILE_HEIGHT; i += INVOCATIONS) {
      let k = k0 + i % K_QUADS;
      let column = (i / K_QUADS) % TILE_WIDTH;
      let row = i / (K_QUADS * TILE_WIDTH);
      var a = vec4<f32>(0.0);
      let ox = tile_at.x + column;
      let oy = tile_at.y + row;
      if (k < shortcut_quads() && ox < params.grid_width && oy < params.grid_height) {
        a = load_shortcut((tile_at.z * params.grid_height + oy) * params.grid_width + ox, k);
      }
      ${STORE_PIXEL}
    }
    memory[WEIGHTS_AT + local] = ${stagedWgsl(storage, "params.taps * w_tap + staged_weight(local, tile_at.w, k0, shortcut_quads())", "params.taps")};
    workgroupBarrier();
    ${columnProductsWgsl(1, TILE_HEIGHT / 4, "my_x")}
    workgroupBarrier();
  }`;

/**
 * Finishes and stores the sums, and writes mean and M2 of the tile's columns to `stats`. `store` hands over a sum of an
 * invocation, `rows` rows at a time, and `exchanged_sum` finds one of them. An invocation finishes one column quad of every
 * so many pixels, so that neighbours store neighbouring channels. Their moments are merged in their order, so that every run
 * gives the same bits.
 */
export const patchFinishWgsl = (
  hasStatistics: boolean,
  rows: number,
  store: (row: number, q: number) => string,
): string => /* wgsl */ `
  let column = local % COLUMN_QUADS;
  let nq = place.w + column;
  let left = place.x;
  let top = place.y;
  let first_row = (place.z * params.grid_height + top) * params.grid_width + left;
  ${hasStatistics ? MOMENTS : ""}
  ${unroll(
    TILE_HEIGHT / rows,
    (turn) => `${unroll(rows, (r) => unroll(2, (q) => store(turn * rows + r, q)))}
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = ${turn}u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      ${hasStatistics ? ADD_TO_MOMENTS : ""}
    }
  }
  workgroupBarrier();`,
  )}
  ${hasStatistics ? MERGED_MOMENTS : ""}`;

/** Welford's moments of the values that an invocation finishes: in workgroup memory, since registers are full. */
const MOMENTS = /* wgsl */ `var finished = 0.0;
  mean_set(local, vec4<f32>(0.0));
  m2_set(local, vec4<f32>(0.0));`;
const ADD_TO_MOMENTS = /* wgsl */ `finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));`;
/** Chan's formula over the invocations of a column, and the entries of the column. */
const MERGED_MOMENTS = /* wgsl */ `exchange_set(local, vec4<f32>(finished));
  workgroupBarrier();
  if (local < COLUMN_QUADS && nq < params.column_quads) {
    let values = f32(min(TILE_WIDTH, params.grid_width - left) * min(TILE_HEIGHT, params.grid_height - top));
    var mean = vec4<f32>(0.0);
    for (var i = local; i < INVOCATIONS; i += COLUMN_QUADS) { mean += exchange_get(i) * mean_get(i); }
    mean /= values;
    var m2 = vec4<f32>(0.0);
    for (var i = local; i < INVOCATIONS; i += COLUMN_QUADS) {
      let delta = mean_get(i) - mean;
      m2 += m2_get(i) + exchange_get(i) * delta * delta;
    }
    let partial = phase * tiles + ((place.z * tiles_y + top / TILE_HEIGHT) * tiles_x + left / TILE_WIDTH);
    ${COLUMN_ENTRIES}
  }`;
