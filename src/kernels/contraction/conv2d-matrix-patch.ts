/**
 * Main of `matrix-patch-L`: the patch of `conv2d-patch.ts` summed by matrix units, in tiles of `gemm-matrix.ts`.
 *
 * A workgroup of 128 computes 16 × L pixels × 64 columns. A K step stages 32 input channels of the pixels that the tile and
 * its border touch, normalised once for all taps, as f16: a row for each pixel (18 × 10 pixels of 80 bytes at 3×3 and L = 8).
 * Then, for each tap, it stages the tap's 32 × 64 weights. The rows of a fragment are neighbouring pixels. So each tap reads
 * the same fragments at a shift of its own, which is a constant.
 *
 * Sums change hands by a line of pixels, and are finished and measured as in `patch`. A norm is rounded to f16, as in `matrix`.
 */
import type { MatrixArray, MatrixUnits } from "../../gpu/subgroup-matrix.ts";
import { MATRIX_WORKGROUP, subgroupSizeAttribute } from "../../gpu/subgroup-matrix.ts";
import { constantsWgsl } from "../../gpu/wgsl.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { PATCH_PLACE } from "./conv2d-patch.ts";
import { MATRIX_K_QUADS, leftArray, matrixTile, matrixTileByteLength } from "./gemm-matrix.ts";
import { TILE_COLUMNS } from "./gemm-tiled.ts";
import { FINISHED_BY, MERGED_MOMENTS } from "./tile-statistics-wgsl.ts";

type Size = readonly [height: number, width: number];

const patchArray = (kernelSize: Size, tile: Size): MatrixArray =>
  leftArray((tile[0] + kernelSize[0] - 1) * (tile[1] + kernelSize[1] - 1));

/** Workgroup memory of tiles of so many lines and columns of pixels. */
export const matrixPatchStorageBytes = (kernelSize: Size, tile: Size): number =>
  matrixTileByteLength(patchArray(kernelSize, tile));

/**
 * Main of `matrix-patch-L`. Needs `conv2dLoadsWgsl` and the epilogue; `isMerging`: also `MERGED_NORM`. `normalises`: loads apply
 * a norm, whose result may be outside the range of f16.
 */
export function matrixPatchWgsl(
  units: MatrixUnits,
  kernelSize: Size,
  tile: Size,
  has: { shortcut: boolean; statistics: boolean; isMerging: boolean; normalises: boolean },
  storage: WeightStorage,
): string {
  const [kernelHeight, kernelWidth] = kernelSize;
  const [height, width] = tile; // a line has as many pixels as sums change hands at a time, `SUM_ROWS`
  const { M } = units;
  const sums = matrixTile(units, height * width, patchArray(kernelSize, tile), storage);
  const patchWidth = width + kernelWidth - 1;
  /** Products of a tap. A subgroup has whole lines; row i · M of them is a pixel of the patch. */
  const products = (shift: string): string =>
    sums.products((i) => {
      const pixel = Math.floor((i * M) / width) * patchWidth + ((i * M) % width);
      return `left_at + (${shift} + ${pixel}u) * A_LENGTH`;
    });
  const constants = {
    INVOCATIONS: MATRIX_WORKGROUP,
    TILE_WIDTH: width,
    TILE_HEIGHT: height,
    COLUMN_QUADS: TILE_COLUMNS / 4,
    K_QUADS: MATRIX_K_QUADS,
    KERNEL_HEIGHT: kernelHeight,
    KERNEL_WIDTH: kernelWidth,
    PATCH_WIDTH: patchWidth,
    PATCH_HEIGHT: height + kernelHeight - 1,
    MOMENTS_AT: 0,
    ...sums.constants,
  };
  return /* wgsl */ `
${constantsWgsl(constants)}
${sums.declarations}
${has.statistics ? FINISHED_BY : ""}
@compute @workgroup_size(INVOCATIONS) ${subgroupSizeAttribute(units)}
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  ${PATCH_PLACE}
  ${has.isMerging ? "merge_statistics(local);" : ""}
  let tile = index % tiles;
  let left = (tile % tiles_x) * TILE_WIDTH;
  let top = ((tile / tiles_x) % tiles_y) * TILE_HEIGHT;
  let image = tile / (tiles_x * tiles_y);
  ${sums.begin}
  let left_at = fragment_row / TILE_WIDTH * PATCH_WIDTH * A_LENGTH;
  // Eight neighbours stage the channels of a pixel, or of a column of the weight: a row, which has a bank for each of them.
  let stage_quad = local % K_QUADS;
  let stage_pixel = local / K_QUADS;
  let stage_column = local / K_QUADS;
  let stage_nq = min(nq0 + stage_column, params.column_quads - 1u);
  let ix0 = i32(left) - pad_left(phase);
  let iy0 = i32(top) - pad_top(phase);
  let first_line = i32(image) * params.in_height;
  let quads_in = params.in_quads0 + params.in_quads1;
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    let quads = quads_in;
    let k = k0 + stage_quad;
    for (var pixel = stage_pixel; pixel < PATCH_WIDTH * PATCH_HEIGHT; pixel += INVOCATIONS / K_QUADS) {
      let ix = ix0 + i32(pixel % PATCH_WIDTH);
      let iy = iy0 + i32(pixel / PATCH_WIDTH);
      var a = vec4<f32>(0.0);
      if ((k < quads) & (ix >= 0) & (ix < params.in_width) & (iy >= 0) & (iy < params.in_height)) {
        a = load_x(u32((first_line + iy) * params.in_width + ix), k);
      }
      set_tile_a(pixel * (A_LENGTH / 4u) + stage_quad, ${has.normalises ? "pack(a)" : "vec4<f16>(a)"});
    }
    var first_row = phase * (KERNEL_HEIGHT * KERNEL_WIDTH) * quads_in;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        ${sums.stageWeights("ky * KERNEL_WIDTH + kx")}
        first_row += quads_in;
        workgroupBarrier();
        ${products("ky * PATCH_WIDTH + kx")}
        workgroupBarrier();
      }
    }
  }
  ${has.shortcut ? shortcutWgsl(sums.stageWeights("params.taps"), products("0u")) : ""}
  let column = local % COLUMN_QUADS;
  let nq = nq0 + column;
  let first_pixel = (image * params.grid_height + top) * params.grid_width + left;
  ${has.statistics ? MOMENTS : ""}
  for (var y = 0u; y < TILE_HEIGHT; y++) {
    let first = y * SUM_ROWS;
    ${sums.storeSums}
    workgroupBarrier();
    for (var x = local / COLUMN_QUADS; x < TILE_WIDTH; x += INVOCATIONS / COLUMN_QUADS) {
      if ((nq < params.column_quads) & (left + x < params.grid_width) & (top + y < params.grid_height)) {
        let row = output_row(first_pixel + y * params.grid_width + x, phase);
        let v = finish(get_sums(x * COLUMN_QUADS + column), row, nq);
        ${has.statistics ? ADD_TO_MOMENTS : ""}
      }
    }
    workgroupBarrier();
  }
  ${has.statistics ? STORED_MOMENTS + MERGED_MOMENTS : ""}
}
`;
}

/** The shortcut's K loop: one more tap, over pixels of its own, with its rows of the weight behind those of all taps. */
const shortcutWgsl = (stageWeights: string, products: string): string => /* wgsl */ `
  for (var k0 = 0u; k0 < shortcut_quads(); k0 += K_QUADS) {
    let quads = shortcut_quads();
    let k = k0 + stage_quad;
    for (var pixel = stage_pixel; pixel < TILE_WIDTH * TILE_HEIGHT; pixel += INVOCATIONS / K_QUADS) {
      let x = pixel % TILE_WIDTH;
      let y = pixel / TILE_WIDTH;
      var a = vec4<f32>(0.0);
      if ((k < quads) & (left + x < params.grid_width) & (top + y < params.grid_height)) {
        a = load_shortcut((image * params.grid_height + top + y) * params.grid_width + left + x, k);
      }
      set_tile_a((y * PATCH_WIDTH + x) * (A_LENGTH / 4u) + stage_quad, vec4<f16>(a));
    }
    let first_row = params.taps * quads_in;
    ${stageWeights}
    workgroupBarrier();
    ${products}
    workgroupBarrier();
  }`;

/** Welford's moments of the values that an invocation finishes, in registers, which are free of fragments one after another. */
const MOMENTS = /* wgsl */ `var finished = 0.0;
  var my_mean = vec4<f32>(0.0);
  var my_m2 = vec4<f32>(0.0);`;
const ADD_TO_MOMENTS = /* wgsl */ `finished += 1.0;
        let before = my_mean;
        my_mean = before + (v - before) / finished;
        my_m2 += (v - before) * (v - my_mean);`;
const STORED_MOMENTS = /* wgsl */ `exchange_set(MOMENTS_AT + local, my_mean);
  exchange_set(MOMENTS_AT + INVOCATIONS + local, my_m2);
  `;
