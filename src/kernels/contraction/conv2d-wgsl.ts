/**
 * The shaders of conv2d. Each has up to four fragments, in this order:
 *
 * 1. `conv2dLoadsWgsl`: reads x and the shortcut, and knows the geometry of phases.
 * 2. The epilogue (`epilogue.ts`), or in a split its stand-in: finishes a sum and stores it.
 * 3. `gatherWgsl`, for `naive` and the variants on tiles: sees the convolution as a matrix product.
 * 4. Main: `naiveConv2dWgsl` and `registerConv2dWgsl` here, `tiledGemmWgsl`, `patchConv2dWgsl`.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { scaleOf, weightQuad } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import type { RegisterBlock, WeightRow } from "./gemm-register.ts";
import {
  REGISTER_WORKGROUP,
  accumulatorsWgsl,
  quadsLoopWgsl,
  registerMainWgsl,
  registerProductsWgsl,
  sumsWgsl,
} from "./gemm-register.ts";
import type { LoadedInput } from "./loads.ts";
import { loadsWgsl, sourcesWgsl } from "./loads.ts";

/**
 * Fragment 1: `load_x(pixel, k)`, normalised, and `load_shortcut(pixel, k)`, as it is stored; `shortcut_quads()`;
 * `pad_top(phase)`, `pad_left(phase)` and `output_row(row, phase)`.
 *
 * A row is a pixel of the grid, which is the output map or, upsampled, one of its four phases: output pixel
 * (2·y + phase / 2, 2·x + phase % 2). Without upsampling the phase is 0 and `params.step` 1.
 */
export function conv2dLoadsWgsl(x: LoadedInput, shortcutSources: number): string {
  const shortcut = /* wgsl */ `fn shortcut_quads() -> u32 { return params.shortcut_quads0 + params.shortcut_quads1; }
${sourcesWgsl("load_shortcut", "shortcut", "shortcut_quads", shortcutSources)}`;
  return /* wgsl */ `${loadsWgsl(x)}
fn pad_top(phase: u32) -> i32 { return params.pad_top - i32(phase >> 1u); }
fn pad_left(phase: u32) -> i32 { return params.pad_left - i32(phase & 1u); }
fn output_row(row: u32, phase: u32) -> u32 {
  let line = row / params.grid_width; // over all images
  let x = row - line * params.grid_width;
  return ((line * params.step + (phase >> 1u)) * params.grid_width + x) * params.step + (phase & 1u);
}
${shortcutSources === 0 ? "" : shortcut}`;
}

/** The taps of a row as `tiledGemmWgsl` and `naiveConv2dWgsl` count them: the shortcut is one more. */
export const tapCount = (shortcut: boolean): string =>
  shortcut ? "(params.taps + 1u)" : "params.taps";

/**
 * Fragment 3: `k_quads`, `tap_quads`, `Row`, `locate`, `Source`, `at_tap` and `load_tap` as `tiledGemmWgsl` needs them. Needs
 * fragment 1. A `Row` is where a row reads: the first line of its image, its top left pixel of x, and its pixel of the
 * shortcut. A `Source` is where it reads for one tap.
 */
export function gatherWgsl(shortcut: boolean): string {
  const tapQuads = shortcut
    ? "select(k_quads(), shortcut_quads(), tap == params.taps)"
    : "k_quads()";
  return /* wgsl */ `
struct Row { base: i32, iy: i32, ix: i32, pixel: u32 }
struct Source { pixel: u32, is_within: bool }
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn locate(row: u32, phase: u32) -> Row {
  let line = row / params.grid_width;
  let ox = row - line * params.grid_width;
  let image = line / params.grid_height;
  let oy = line - image * params.grid_height;
  return Row(i32(image) * params.in_height, i32(oy) * params.stride - pad_top(phase), i32(ox) * params.stride - pad_left(phase), row);
}
fn tap_quads(tap: u32) -> u32 { return ${tapQuads}; }
fn at_tap(row: Row, tap: u32) -> Source {
  ${shortcut ? "if (tap == params.taps) { return Source(row.pixel, true); }" : ""}
  let iy = row.iy + i32(tap / params.kernel_width);
  let ix = row.ix + i32(tap % params.kernel_width);
  let is_within = iy >= 0 && ix >= 0 && iy < params.in_height && ix < params.in_width;
  return Source(u32((row.base + iy) * params.in_width + ix), is_within);
}
fn load_tap(source: Source, tap: u32, k: u32) -> vec4<f32> {
  if (!source.is_within) { return vec4<f32>(0.0); }
  ${shortcut ? "if (tap == params.taps) { return load_shortcut(source.pixel, k); }" : ""}
  return load_x(source.pixel, k);
}
`;
}

/** Main of `naive`. Needs fragments 1 to 3. */
export function naiveConv2dWgsl(shortcut: boolean, storage: WeightStorage): string {
  const taps = tapCount(shortcut);
  const quad = (channel: string): string => weightQuad(storage, `w${channel}`);
  return /* wgsl */ `
${constantsWgsl({ INVOCATIONS: REGISTER_WORKGROUP })}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * INVOCATIONS + local;
  if (index >= params.rows * params.column_quads) { return; }
  let row = index / params.column_quads;
  let nq = index % params.column_quads;
  let source_row = locate(row, group.z);
  let first_tap = group.z * ${taps};
  var sum = vec4<f32>(0.0);
  for (var tap = 0u; tap < ${taps}; tap++) {
    let source = at_tap(source_row, tap);
    for (var k = 0u; k < tap_quads(tap); k++) {
      let a = load_tap(source, tap, k);
      ${scaleOf(storage, "first_tap + tap", "k", "nq")}let w = (((first_tap + tap) * k_quads() + k) * params.column_quads + nq) * 4u;
      sum += a.x * ${quad("")} + a.y * ${quad(" + 1u")} + a.z * ${quad(" + 2u")} + a.w * ${quad(" + 3u")};
    }
  }
  finish(sum, output_row(row, group.z), nq);
}
`;
}

/**
 * Main of `register-PxQ`: the rows of a block are neighbouring pixels of a row of the map. Needs fragments 1 and 2. Lines
 * outside the map are zeros and not skipped: lanes that share weights must stay together. Conditions of loads are joined by `&`:
 * `&&` is a branch, and SwiftShader's compiler takes time that doubles with each branch behind another.
 */
export function registerConv2dWgsl(
  [kernelHeight, kernelWidth]: readonly [number, number],
  stride: number,
  block: RegisterBlock,
  shortcut: boolean,
): string {
  const { rows: pixels, quads } = block;
  const constants = { KERNEL_HEIGHT: kernelHeight, KERNEL_WIDTH: kernelWidth, PIXELS: pixels };
  const xBlocks = "((params.grid_width + (PIXELS - 1u)) / PIXELS)";
  return /* wgsl */ `
${constantsWgsl(constants)}

fn load_at(line: i32, is_line: bool, ix: i32, k: u32) -> vec4<f32> {
  let v = load_x(u32(line + clamp(ix, 0, params.in_width - 1)), k);
  return select(vec4<f32>(0.0), v, is_line & (ix >= 0) & (ix < params.in_width));
}
${registerMainWgsl(block, `${xBlocks} * params.grid_height * params.batch`)}
  let phase = group.z;
  let first_tap = phase * (KERNEL_HEIGHT * KERNEL_WIDTH);
  let x_blocks = ${xBlocks};
  let ox0 = (block % x_blocks) * PIXELS;
  let oy = (block / x_blocks) % params.grid_height;
  let image = block / (x_blocks * params.grid_height);
  let ix0 = i32(ox0) * params.stride - pad_left(phase);
  let iy0 = i32(oy) * params.stride - pad_top(phase);
  let k_quads = params.in_quads0 + params.in_quads1;
  ${accumulatorsWgsl(pixels, quads)}
  for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
    let iy = iy0 + i32(ky);
    let is_line = iy >= 0 && iy < params.in_height;
    let line = (i32(image) * params.in_height + clamp(iy, 0, params.in_height - 1)) * params.in_width;
    ${stride < kernelWidth ? overlappingTapsWgsl(kernelWidth, stride, block) : apartTapsWgsl(stride, block)}
  }
  let grid_row0 = (image * params.grid_height + oy) * params.grid_width + ox0;
  ${shortcut ? shortcutWgsl(block) : ""}
  let row0 = output_row(grid_row0, phase);
  ${sumsWgsl(pixels, quads)}
  let end = select(0u, params.grid_width, is_block);
  for (var r = 0u; r < PIXELS && ox0 + r < end; r++) {
    for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q++) {
      finish(sums[r * QUADS + q], row0 + r * params.step, nq0 + q);
    }
  }
}
`;
}

/** The weight of tap (ky, `kx`). */
function tapRow(kx: string): WeightRow {
  const tap = `(first_tap + ky * KERNEL_WIDTH + ${kx})`;
  return { row: `(${tap} * k_quads + k)`, tap };
}

/** All kx of a row of the window, where windows of neighbouring pixels overlap: one segment of the input row serves all. */
function overlappingTapsWgsl(kernelWidth: number, stride: number, block: RegisterBlock): string {
  const span = (block.rows - 1) * stride + kernelWidth;
  const rows = Array.from({ length: kernelWidth }, (_, kx) => ({
    ...tapRow(`${kx}u`),
    scales: `tap${kx}_`,
  }));
  const loads = unroll(span, (j) => `let a${j} = load_at(line, is_line, ix0 + ${j}, k);`);
  const products = rows.map((row, kx) => registerProductsWgsl(block, row, (r) => r * stride + kx));
  return quadsLoopWgsl(block, "k_quads", rows, `${loads}\n      ${products.join("\n      ")}`);
}

/** The same where windows do not overlap. */
const apartTapsWgsl = (
  stride: number,
  block: RegisterBlock,
): string => /* wgsl */ `for (var k = 0u; k < k_quads; k++) {
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        ${unroll(block.rows, (r) => `let a${r} = load_at(line, is_line, ix0 + ${r * stride} + i32(kx), k);`)}
        ${registerProductsWgsl(block, tapRow("kx"))}
      }
    }`;

/** The products of the shortcut, with its rows of the weight behind those of all taps. */
function shortcutWgsl(block: RegisterBlock): string {
  const row = { row: "(params.taps * k_quads + k)", tap: "params.taps", scales: "added" };
  const loads = unroll(
    block.rows,
    (r) => `let a${r} = load_shortcut(min(grid_row0 + ${r}u, last), k);`,
  );
  const products = `${loads}\n    ${registerProductsWgsl(block, row)}`;
  return /* wgsl */ `let last = params.rows - 1u;
  ${quadsLoopWgsl(block, "shortcut_quads()", [row], products)}`;
}
