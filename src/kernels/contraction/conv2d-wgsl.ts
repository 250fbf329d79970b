/** The bodies of conv2d's shaders. What they share they get from `conv2dLoadsWgsl` and the epilogue. */
import { unroll } from "../unroll.ts";
import { sourcesWgsl } from "./concatenated-sources.ts";
import { REGISTER_WORKGROUP, loadBlockWgsl, multiplyAddWgsl, sumsWgsl } from "./gemm-register.ts";
import type { GemmBody, TileExtras } from "./gemm-tiled.ts";
import { tiledGemmWgsl } from "./gemm-tiled.ts";
import type { InputNorm } from "./input-norm.ts";
import { inputNormWgsl } from "./input-norm.ts";
import { MERGED_NORM } from "./merged-norm.ts";

/**
 * Body of the variants that gather: every tap of every row is looked up by itself. Without a `GemmBody` the naive one.
 */
export function gatheringConv2dWgsl(
  body: GemmBody | null,
  shortcut: boolean,
  extras: TileExtras,
): string {
  const taps = shortcut ? "(params.taps + 1u)" : "params.taps";
  const main = body === null ? naiveWgsl(taps) : tiledGemmWgsl(body, taps, extras);
  return gatherWgsl(shortcut) + main;
}

/** What all variants load through, for these numbers of sources. The shortcut reads what is stored. */
export function conv2dLoadsWgsl(
  sources: number,
  shortcutSources: number,
  inputNorm: InputNorm,
  isMerging: boolean,
): string {
  const pixels = `${isMerging ? MERGED_NORM : ""}${inputNormWgsl(inputNorm, isMerging)}${sourcesWgsl("load_stored", "x", "in_quads", sources)}
fn load_pixel(pixel: u32, k: u32) -> vec4<f32> { return normalised(load_stored(pixel, k), k); }
`;
  if (shortcutSources === 0) return pixels + PHASE_WGSL;
  const shortcut = sourcesWgsl("load_shortcut", "shortcut", "shortcut_quads", shortcutSources);
  const quads = `fn shortcut_quads() -> u32 { return params.shortcut_quads0 + params.shortcut_quads1; }\n`;
  return pixels + PHASE_WGSL + quads + shortcut;
}

/**
 * A row is a pixel of the grid, which is the output map or, upsampled, one of its four phases: output pixel
 * (2·y + phase / 2, 2·x + phase % 2). Without upsampling the phase is 0 and the step 1.
 */
const PHASE_WGSL = /* wgsl */ `
fn pad_top(phase: u32) -> i32 { return params.pad_top - i32(phase >> 1u); }
fn pad_left(phase: u32) -> i32 { return params.pad_left - i32(phase & 1u); }
fn output_row(row: u32, phase: u32) -> u32 {
  let line = row / params.grid_width; // over all images
  let x = row - line * params.grid_width;
  return ((line * params.step + (phase >> 1u)) * params.grid_width + x) * params.step + (phase & 1u);
}
`;

/**
 * Where a row reads: image base pixel, top-left input coordinate, and pixel of the shortcut, which counts as one
 * tap more.
 */
function gatherWgsl(shortcut: boolean): string {
  return /* wgsl */ `
struct Row { base: i32, iy: i32, ix: i32, pixel: u32 }
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn locate(row: u32, phase: u32) -> Row {
  let line = row / params.grid_width;
  let ox = row - line * params.grid_width;
  let image = line / params.grid_height;
  let oy = line - image * params.grid_height;
  return Row(i32(image) * params.in_height, i32(oy) * params.stride - pad_top(phase), i32(ox) * params.stride - pad_left(phase), row);
}
fn tap_quads(tap: u32) -> u32 { return ${shortcut ? "select(k_quads(), shortcut_quads(), tap == params.taps)" : "k_quads()"}; }
fn load_tap(row: Row, tap: u32, k: u32) -> vec4<f32> {
  ${shortcut ? "if (tap == params.taps) { return load_shortcut(row.pixel, k); }" : ""}
  let iy = row.iy + i32(tap / params.kernel_width);
  let ix = row.ix + i32(tap % params.kernel_width);
  if (iy < 0 || ix < 0 || iy >= params.in_height || ix >= params.in_width) { return vec4<f32>(0.0); }
  return load_pixel(u32((row.base + iy) * params.in_width + ix), k);
}
`;
}

function naiveWgsl(taps: string): string {
  return /* wgsl */ `
@compute @workgroup_size(${REGISTER_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${REGISTER_WORKGROUP}u + local;
  if (index >= params.rows * params.column_quads) { return; }
  let row = index / params.column_quads;
  let nq = index % params.column_quads;
  let source_row = locate(row, group.z);
  let first_tap = group.z * ${taps};
  var sum = vec4<f32>(0.0);
  for (var tap = 0u; tap < ${taps}; tap++) {
    for (var k = 0u; k < tap_quads(tap); k++) {
      let a = load_tap(source_row, tap, k);
      let w = (((first_tap + tap) * k_quads() + k) * params.column_quads + nq) * 4u;
      sum += a.x * unpack(weight[w]) + a.y * unpack(weight[w + 1u]) + a.z * unpack(weight[w + 2u]) + a.w * unpack(weight[w + 3u]);
    }
  }
  finish(sum, output_row(row, group.z), nq);
}
`;
}

/** Body of `register-PxQ`. */
export function registerConv2dWgsl(
  [kernelHeight, kernelWidth]: readonly [number, number],
  stride: number,
  pixels: number,
  quads: number,
  shortcut: boolean,
): string {
  // A segment of the input row serves all kx when the windows of neighbouring pixels overlap.
  const overlaps = stride < kernelWidth;
  const span = (pixels - 1) * stride + kernelWidth;
  const inner = overlaps
    ? `${unroll(span, (j) => `let a${j} = load_at(line, ix0 + ${j}, k);`)}
      ${unroll(kernelWidth, (kx) => tapWgsl(`${kx}u`, (r) => r * stride + kx))}`
    : `for (var kx = 0u; kx < ${kernelWidth}u; kx++) {
        ${unroll(pixels, (r) => `let a${r} = load_at(line, ix0 + ${r * stride} + i32(kx), k);`)}
        ${tapWgsl("kx", (r) => r)}
      }`;
  function tapWgsl(kx: string, aIndex: (r: number) => number): string {
    return unroll(
      quads,
      (q) => `{
        ${loadBlockWgsl(`((first_tap + ky * ${kernelWidth}u + ${kx}) * k_quads + k) * params.column_quads + column${q}`)}
        ${multiplyAddWgsl(pixels, q, "a", aIndex)}
      }`,
    );
  }
  const shortcutWgsl = `let last = params.rows - 1u;
  for (var k = 0u; k < shortcut_quads(); k++) {
    ${unroll(pixels, (r) => `let a${r} = load_shortcut(min(grid_row0 + ${r}u, last), k);`)}
    ${unroll(
      quads,
      (q) => `{
      ${loadBlockWgsl(`(params.taps * k_quads + k) * params.column_quads + column${q}`)}
      ${multiplyAddWgsl(pixels, q)}
    }`,
    )}
  }`;
  return /* wgsl */ `
fn load_at(line: i32, ix: i32, k: u32) -> vec4<f32> {
  let v = load_pixel(u32(line + clamp(ix, 0, params.in_width - 1)), k);
  return select(vec4<f32>(0.0), v, ix >= 0 && ix < params.in_width);
}
@compute @workgroup_size(${REGISTER_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${REGISTER_WORKGROUP}u + local;
  let phase = group.z;
  let first_tap = phase * ${kernelHeight * kernelWidth}u;
  let x_blocks = (params.grid_width + ${pixels - 1}u) / ${pixels}u;
  let blocks = x_blocks * params.grid_height * params.batch;
  let nq0 = (index / blocks) * ${quads}u;
  if (nq0 >= params.column_quads) { return; }
  let block = index % blocks;
  let ox0 = (block % x_blocks) * ${pixels}u;
  let oy = (block / x_blocks) % params.grid_height;
  let image = block / (x_blocks * params.grid_height);
  let ix0 = i32(ox0) * params.stride - pad_left(phase);
  let iy0 = i32(oy) * params.stride - pad_top(phase);
  let k_quads = params.in_quads0 + params.in_quads1;
  ${unroll(quads, (q) => `let column${q} = min(nq0 + ${q}u, params.column_quads - 1u);`)}
  ${unroll(pixels, (r) => unroll(quads, (q) => `var acc${r}_${q} = vec4<f32>(0.0);`))}
  for (var ky = 0u; ky < ${kernelHeight}u; ky++) {
    let iy = iy0 + i32(ky);
    if (iy < 0 || iy >= params.in_height) { continue; }
    let line = (i32(image) * params.in_height + iy) * params.in_width;
    for (var k = 0u; k < k_quads; k++) {
      ${inner}
    }
  }
  let grid_row0 = (image * params.grid_height + oy) * params.grid_width + ox0;
  ${shortcut ? shortcutWgsl : ""}
  let row0 = output_row(grid_row0, phase);
  ${sumsWgsl(pixels, quads)}
  for (var r = 0u; r < ${pixels}u && ox0 + r < params.grid_width; r++) {
    for (var q = 0u; q < ${quads}u && nq0 + q < params.column_quads; q++) {
      finish(sums[r * ${quads}u + q], row0 + r * params.step, nq0 + q);
    }
  }
}
`;
}
