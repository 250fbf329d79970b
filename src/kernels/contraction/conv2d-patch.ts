/**
 * Main of the `patch` convolution: an implicit GEMM that reads each input pixel once for all taps.
 *
 * A workgroup of 128 computes 16 × 8 pixels × 64 columns. An invocation computes the 8 pixels of one of the 16 columns of
 * pixels, for 2 column quads. The two are 8 apart, so that neighbouring invocations read neighbouring weights. A K step
 * stages 16 input channels of the pixels that the tile and its border touch as f32 (18 × 10 pixels at 3×3: 11,520 bytes),
 * and then for each tap the 16 × 64 weights (4,096 bytes). At 3×3 a column tile reads an input element 1.4 times, where
 * gathering per tap reads it 9 times, and a weight serves 128 pixels, not 64. Staging the weights of all taps at once would
 * save barriers, but not fit in 16 KiB.
 *
 * Stride 1 only: at stride 2 the patch would take 36 KiB. A shortcut is one more tap over pixels of its own.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { unroll } from "../unroll.ts";
import { accumulatorsWgsl, productsWgsl, stagedWeightsWgsl } from "./gemm-register.ts";
import { columnStatisticsWgsl } from "./tile-statistics-wgsl.ts";

const TILE_WIDTH = 16;
const TILE_HEIGHT = 8;
/** Pixels of a workgroup. */
export const PATCH_TILE = [TILE_HEIGHT, TILE_WIDTH] as const;
/** Column quads of a tile. */
const COLUMN_QUADS = 16;
/** Quads of input channels in a K step. */
const K_QUADS = 4;
const INVOCATIONS = 128;
/** Invocations that share a column of pixels, with 2 column quads each. */
const LANES_ACROSS = 8;

type KernelSize = readonly [height: number, width: number];

const patchSize = ([height, width]: KernelSize): KernelSize => [
  TILE_HEIGHT + height - 1,
  TILE_WIDTH + width - 1,
];

/** Workgroup memory: patch and weights. */
export function patchStorageBytes(kernelSize: KernelSize): number {
  const [height, width] = patchSize(kernelSize);
  return K_QUADS * (height * width + 4 * COLUMN_QUADS) * 16;
}

/** Workgroups for one image and phase. */
export function patchGroups(height: number, width: number, columnQuads: number): number {
  return (
    Math.ceil(height / TILE_HEIGHT) *
    Math.ceil(width / TILE_WIDTH) *
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
): string {
  const [kernelHeight, kernelWidth] = kernelSize;
  const [patchHeight, patchWidth] = patchSize(kernelSize);
  const constants = {
    INVOCATIONS,
    TILE_WIDTH,
    TILE_HEIGHT,
    COLUMN_QUADS,
    K_QUADS,
    LANES_ACROSS,
    TAPS: kernelHeight * kernelWidth,
    KERNEL_WIDTH: kernelWidth,
    PATCH_WIDTH: patchWidth,
    PATCH_PIXELS: patchHeight * patchWidth,
  };
  return /* wgsl */ `
${constantsWgsl(constants)}
var<workgroup> patch_a: array<vec4<f32>, K_QUADS * PATCH_PIXELS>; // [quad][row][column]
var<workgroup> tile_w: array<vec4<f32>, K_QUADS * 4u * COLUMN_QUADS>; // [channel][column quad]
fn exchange_set(at: u32, v: vec4<f32>) { patch_a[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return patch_a[at]; }

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts);
  let phase = group.z;
  let tiles_x = (params.grid_width + (TILE_WIDTH - 1u)) / TILE_WIDTH;
  let tiles_y = (params.grid_height + (TILE_HEIGHT - 1u)) / TILE_HEIGHT;
  let tiles = tiles_x * tiles_y * params.batch;
  let nq0 = (index / tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group
  ${isMerging ? "merge_statistics(local);" : ""}
  let tile = index % tiles;
  let ox0 = (tile % tiles_x) * TILE_WIDTH;
  let oy0 = ((tile / tiles_x) % tiles_y) * TILE_HEIGHT;
  let image = tile / (tiles_x * tiles_y);
  let first_row = (image * params.grid_height + oy0) * params.grid_width + ox0;
  let ix0 = i32(ox0) - pad_left(phase);
  let iy0 = i32(oy0) - pad_top(phase);
  let my_x = local / LANES_ACROSS;
  let my_quad = local % LANES_ACROSS;
  let first_tap = phase * TAPS;
  let quads_in = params.in_quads0 + params.in_quads1;
  ${accumulatorsWgsl(TILE_HEIGHT, 2)}
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    for (var i = local; i < K_QUADS * PATCH_PIXELS; i += INVOCATIONS) {
      let k = i % K_QUADS;
      let pixel = i / K_QUADS;
      let iy = iy0 + i32(pixel / PATCH_WIDTH);
      let ix = ix0 + i32(pixel % PATCH_WIDTH);
      var a = vec4<f32>(0.0);
      if (k0 + k < quads_in && iy >= 0 && ix >= 0 && iy < params.in_height && ix < params.in_width) {
        a = load_x(u32((i32(image) * params.in_height + iy) * params.in_width + ix), k0 + k);
      }
      patch_a[k * PATCH_PIXELS + pixel] = a;
    }
    for (var tap = 0u; tap < TAPS; tap++) {
      let shift = (tap / KERNEL_WIDTH) * PATCH_WIDTH + tap % KERNEL_WIDTH;
      ${tapWgsl("(first_tap + tap) * quads_in", "quads_in", "shift", patchWidth)}
    }
  }
  ${shortcut ? shortcutWgsl(patchWidth) : ""}
  ${hasStatistics ? CHANNEL_STATISTICS : STORES}
}
`;
}

/**
 * One tap of a K step: stages the weights of rows `row + k0` … of the packed matrix, of `quads` rows in all, and adds the
 * products of the pixels at `offset` in the patch.
 */
function tapWgsl(row: string, quads: string, offset: string, patchWidth: number): string {
  return /* wgsl */ `for (var slot = local; slot < K_QUADS * 4u * COLUMN_QUADS; slot += INVOCATIONS) {
        let lane = slot / COLUMN_QUADS; // channel within the K step
        let k = k0 + lane / 4u;
        let nq = nq0 + slot % COLUMN_QUADS;
        var w = vec4<f32>(0.0);
        if (k < ${quads} && nq < params.column_quads) {
          w = unpack(weight[((${row} + k) * params.column_quads + nq) * 4u + lane % 4u]);
        }
        tile_w[slot] = w;
      }
      workgroupBarrier();
      for (var k = 0u; k < K_QUADS; k++) {
        let first = k * PATCH_PIXELS + ${offset} + my_x;
        ${unroll(TILE_HEIGHT, (r) => `let a${r} = patch_a[first + ${r * patchWidth}u];`)}
        ${productsWgsl(TILE_HEIGHT, 2, (q) => stagedWeightsWgsl(q * LANES_ACROSS))}
      }
      workgroupBarrier();`;
}

/** The shortcut's K loop, with its rows of the weight behind those of all taps. */
const shortcutWgsl = (
  patchWidth: number,
): string => /* wgsl */ `for (var k0 = 0u; k0 < shortcut_quads(); k0 += K_QUADS) {
    for (var i = local; i < K_QUADS * TILE_WIDTH * TILE_HEIGHT; i += INVOCATIONS) {
      let k = i % K_QUADS;
      let x = (i / K_QUADS) % TILE_WIDTH;
      let y_in_tile = i / (K_QUADS * TILE_WIDTH);
      var a = vec4<f32>(0.0);
      if (k0 + k < shortcut_quads() && ox0 + x < params.grid_width && oy0 + y_in_tile < params.grid_height) {
        a = load_shortcut(first_row + y_in_tile * params.grid_width + x, k0 + k);
      }
      patch_a[k * PATCH_PIXELS + y_in_tile * PATCH_WIDTH + x] = a;
    }
    {
      ${tapWgsl("params.taps * quads_in", "shortcut_quads()", "0u", patchWidth)}
    }
  }`;

/** Finishes and stores the pixels of an invocation. */
const STORES = /* wgsl */ `if (ox0 + my_x >= params.grid_width) { return; }
  let nq = nq0 + my_quad;
  ${unroll(
    TILE_HEIGHT,
    (r) => `if (oy0 + ${r}u < params.grid_height) {
    let row = output_row(first_row + ${r}u * params.grid_width + my_x, phase);
    if (nq < params.column_quads) { finish(acc${r}_0, row, nq); }
    if (nq + LANES_ACROSS < params.column_quads) { finish(acc${r}_1, row, nq + LANES_ACROSS); }
  }`,
  )}`;

/** The same, and the statistics of the tile's columns. */
const CHANNEL_STATISTICS = columnStatisticsWgsl({
  rows: TILE_HEIGHT,
  quadStep: LANES_ACROSS,
  band: "my_x",
  outputRow: (r) => `output_row(first_row + ${r}u * params.grid_width + my_x, phase)`,
  partial: "phase * tiles + tile",
  within: {
    bands: "min(TILE_WIDTH, params.grid_width - ox0)",
    rows: "min(TILE_HEIGHT, params.grid_height - oy0)",
  },
});
