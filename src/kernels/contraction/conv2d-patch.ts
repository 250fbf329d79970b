import { unroll } from "../unroll.ts";
/**
 * `patch` convolution: an implicit GEMM that reads each input pixel once for all taps.
 *
 * A workgroup of 128 computes 16 × 8 pixels × 64 columns; an invocation the 8 pixels of one of the 16 columns of
 * pixels × 2 column quads, which are 8 apart so that neighbours read neighbouring weights. Per step 16 input
 * channels of the pixels that the tile and its border touch are staged as f32 (18 × 10 pixels at 3×3: 11,520
 * bytes), then for each tap the 16 × 64 weights (4,096 bytes). Against gathering per tap, 3×3: 1.4 reads of an
 * input element for each column tile in place of 9, and a weight serves 128 pixels, not 64. A weight tile of all
 * taps would save barriers but not fit in 16 KiB.
 *
 * Stride 1 only: at stride 2 the patch would take 36 KiB. A shortcut is one more tap over its own pixels.
 */
import { columnStatisticsWgsl } from "./column-statistics.ts";
import { multiplyAddWgsl } from "./gemm-register.ts";

const TILE_WIDTH = 16;
const TILE_HEIGHT = 8;
/** Pixels of a workgroup. */
export const PATCH_TILE = [TILE_HEIGHT, TILE_WIDTH] as const;
const COLUMN_QUADS = 16;
const K_QUADS = 4;
const INVOCATIONS = 128;

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

/** Body of `patch`; needs `conv2dLoadsWgsl` and the epilogue. Statistics reuse the staging memory. */
export function patchConv2dWgsl(
  kernelSize: KernelSize,
  shortcut: boolean,
  hasStatistics: boolean,
  isMerging: boolean,
): string {
  const [kernelHeight, kernelWidth] = kernelSize;
  const [patchHeight, patchWidth] = patchSize(kernelSize);
  const plane = patchHeight * patchWidth;
  /** Stages the weights of row `row` + k0 … of the packed matrix, adds the products of `offset` in the patch. */
  const tap = (row: string, quads: string, offset: string): string => `
      for (var slot = local; slot < ${K_QUADS * 4 * COLUMN_QUADS}u; slot += ${INVOCATIONS}u) {
        let lane = slot / ${COLUMN_QUADS}u; // channel within the step
        let k = k0 + lane / 4u;
        let nq = nq0 + slot % ${COLUMN_QUADS}u;
        var w = vec4<f32>(0.0);
        if (k < ${quads} && nq < params.column_quads) {
          w = unpack(weight[((${row} + k) * params.column_quads + nq) * 4u + lane % 4u]);
        }
        tile_w[slot] = w;
      }
      workgroupBarrier();
      for (var k = 0u; k < ${K_QUADS}u; k++) {
        let first = k * ${plane}u + ${offset} + my_x;
        ${unroll(TILE_HEIGHT, (r) => `let a${r} = patch_a[first + ${r * patchWidth}u];`)}
        ${unroll(
          2,
          (q) => `{
          let at = k * ${4 * COLUMN_QUADS}u + my_quad + ${8 * q}u;
          let w0 = tile_w[at]; let w1 = tile_w[at + ${COLUMN_QUADS}u];
          let w2 = tile_w[at + ${2 * COLUMN_QUADS}u]; let w3 = tile_w[at + ${3 * COLUMN_QUADS}u];
          ${multiplyAddWgsl(TILE_HEIGHT, q)}
        }`,
        )}
      }
      workgroupBarrier();`;
  const shortcutWgsl = `
  for (var k0 = 0u; k0 < shortcut_quads(); k0 += ${K_QUADS}u) {
    for (var i = local; i < ${K_QUADS * TILE_WIDTH * TILE_HEIGHT}u; i += ${INVOCATIONS}u) {
      let k = i % ${K_QUADS}u;
      let x = (i / ${K_QUADS}u) % ${TILE_WIDTH}u;
      let y_in_tile = i / ${K_QUADS * TILE_WIDTH}u;
      var a = vec4<f32>(0.0);
      if (k0 + k < shortcut_quads() && ox0 + x < params.grid_width && oy0 + y_in_tile < params.grid_height) {
        a = load_shortcut(first_row + y_in_tile * params.grid_width + x, k0 + k);
      }
      patch_a[k * ${plane}u + y_in_tile * ${patchWidth}u + x] = a;
    }
    {${tap("params.taps * quads_in", "shortcut_quads()", "0u")}
    }
  }`;
  return /* wgsl */ `
var<workgroup> patch_a: array<vec4<f32>, ${K_QUADS * plane}>; // [quad][row][column]
var<workgroup> tile_w: array<vec4<f32>, ${K_QUADS * 4 * COLUMN_QUADS}>; // [channel][column quad]
fn exchange_set(at: u32, v: vec4<f32>) { patch_a[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return patch_a[at]; }

@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts);
  let phase = group.z;
  let tiles_x = (params.grid_width + ${TILE_WIDTH - 1}u) / ${TILE_WIDTH}u;
  let tiles_y = (params.grid_height + ${TILE_HEIGHT - 1}u) / ${TILE_HEIGHT}u;
  let tiles = tiles_x * tiles_y * params.batch;
  let nq0 = (index / tiles) * ${COLUMN_QUADS}u;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group
  ${isMerging ? "merge_statistics(local);" : ""}
  let tile = index % tiles;
  let ox0 = (tile % tiles_x) * ${TILE_WIDTH}u;
  let oy0 = ((tile / tiles_x) % tiles_y) * ${TILE_HEIGHT}u;
  let image = tile / (tiles_x * tiles_y);
  let first_row = (image * params.grid_height + oy0) * params.grid_width + ox0;
  let ix0 = i32(ox0) - pad_left(phase);
  let iy0 = i32(oy0) - pad_top(phase);
  let my_x = local / 8u;
  let my_quad = local % 8u;
  let first_tap = phase * ${kernelHeight * kernelWidth}u;
  let quads_in = params.in_quads0 + params.in_quads1;
  ${unroll(TILE_HEIGHT, (r) => `var acc${r}_0 = vec4<f32>(0.0); var acc${r}_1 = vec4<f32>(0.0);`)}
  for (var k0 = 0u; k0 < quads_in; k0 += ${K_QUADS}u) {
    for (var i = local; i < ${K_QUADS * plane}u; i += ${INVOCATIONS}u) {
      let k = i % ${K_QUADS}u;
      let pixel = i / ${K_QUADS}u;
      let iy = iy0 + i32(pixel / ${patchWidth}u);
      let ix = ix0 + i32(pixel % ${patchWidth}u);
      var a = vec4<f32>(0.0);
      if (k0 + k < quads_in && iy >= 0 && ix >= 0 && iy < params.in_height && ix < params.in_width) {
        a = load_pixel(u32((i32(image) * params.in_height + iy) * params.in_width + ix), k0 + k);
      }
      patch_a[k * ${plane}u + pixel] = a;
    }
    for (var tap = 0u; tap < ${kernelHeight * kernelWidth}u; tap++) {
      let shift = (tap / ${kernelWidth}u) * ${patchWidth}u + tap % ${kernelWidth}u;${tap("(first_tap + tap) * quads_in", "quads_in", "shift")}
    }
  }${shortcut ? shortcutWgsl : ""}
  ${hasStatistics ? CHANNEL_STATISTICS : STORES}
}
`;
}

/** Finishes and stores the pixels of an invocation. */
const STORES = `if (ox0 + my_x >= params.grid_width) { return; }
  let nq = nq0 + my_quad;
  ${unroll(
    TILE_HEIGHT,
    (r) => `if (oy0 + ${r}u < params.grid_height) {
    let row = output_row(first_row + ${r}u * params.grid_width + my_x, phase);
    if (nq < params.column_quads) { finish(acc${r}_0, row, nq); }
    if (nq + 8u < params.column_quads) { finish(acc${r}_1, row, nq + 8u); }
  }`,
  )}`;

/** The same, and the statistics of the tile's columns. */
const CHANNEL_STATISTICS = columnStatisticsWgsl({
  rows: TILE_HEIGHT,
  quadStep: 8,
  part: "my_x",
  outputRow: (r) => `output_row(first_row + ${r}u * params.grid_width + my_x, phase)`,
  split: "phase * tiles + tile",
  within: {
    parts: `min(${TILE_WIDTH}u, params.grid_width - ox0)`,
    rows: `min(${TILE_HEIGHT}u, params.grid_height - oy0)`,
  },
});
