/**
 * 2-D convolution (cross-correlation, zero padding) with a packed weight:
 *
 *   y[n, oy, ox, o] = epilogue(Σ_{ky,kx,i} x[n, oy·s + ky − top, ox·s + kx − left, i] · W[o, i, ky, kx])
 *
 * x: NHWC, or two sources with concatenated channels. W: `packWeight` layout, taps = (ky, kx) row-major.
 * y: NHWC. f32 accumulators over all taps and channels.
 *
 * Variants as in `linear.ts`: `naive`; `register-PxQ` with P neighbouring pixels of a row and Q column
 * quads per invocation, reusing a loaded row segment for all kx; `tiled` implicit GEMM in workgroup memory.
 * A 1×1 convolution with stride 1 and no padding is a `linear` over pixels; the graph lowers it so.
 *
 * `upsample`: a 3×3 convolution of the map doubled by nearest neighbour, without the doubled map. Output row
 * 2i sees input rows i − 1, i, i and row 2i + 1 sees i, i, i + 1, columns alike; so the outputs of each of the
 * four phases (row parity, column parity) are a 2×2 convolution of the small map, with taps that are sums of
 * the 3×3 ones (`packWeight`). Phases are the grid's z axis; borders agree, as a pixel outside is zero in both.
 */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { dtypeByteLength } from "../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../gpu/shape.ts";
import type { Operand, Param } from "../gpu/wgsl.ts";
import { foldWorkgroups } from "../gpu/wgsl.ts";
import type { Epilogue } from "./epilogue.ts";
import { epilogueOperands, epilogueWgsl } from "./epilogue.ts";
import { REGISTER_WORKGROUP, lines, loadBlockWgsl, multiplyAddWgsl } from "./gemm-register.ts";
import { TILE_COLUMNS, TILE_ROWS, tiledGemmWgsl } from "./gemm-tiled.ts";
import type { Cost, Dispatch, Kernel, KernelPlan } from "./kernel.ts";
import { dispatch, i32, reads, u32, writes } from "./kernel.ts";
import { packedWeightByteLength } from "./pack-weight.ts";

export interface Conv2dProblem {
  readonly dtype: DType;
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  /** One entry a source; with two, the first must be a multiple of 4. */
  readonly inChannels: readonly number[];
  readonly outChannels: number;
  readonly kernelSize: readonly [height: number, width: number];
  readonly stride: number;
  /** Zero rows and columns added: `[top, bottom, left, right]`. */
  readonly padding: readonly [number, number, number, number];
  /** Doubles the map by nearest neighbour first. Takes 3×3, stride 1, padding 1 and a weight packed for it. */
  readonly upsample: boolean;
  readonly epilogue: Epilogue;
}

export type Conv2dVariant = "naive" | "register-8x1" | "register-8x2" | "tiled";

/** `[height, width]` of the output. */
export function conv2dOutputSize(
  p: Pick<Conv2dProblem, "inHeight" | "inWidth" | "kernelSize" | "stride" | "padding" | "upsample">,
): readonly [number, number] {
  const [top, bottom, left, right] = p.padding;
  const scale = p.upsample ? 2 : 1;
  return [
    Math.floor((scale * p.inHeight + top + bottom - p.kernelSize[0]) / p.stride) + 1,
    Math.floor((scale * p.inWidth + left + right - p.kernelSize[1]) / p.stride) + 1,
  ];
}

/** The window that is slid over the stored map. */
function effectiveKernel(p: Conv2dProblem): Conv2dProblem["kernelSize"] {
  return p.upsample ? [2, 2] : p.kernelSize;
}

function check(p: Conv2dProblem): void {
  const sizes = [
    p.batch,
    p.inHeight,
    p.inWidth,
    p.outChannels,
    p.stride,
    ...p.inChannels,
    ...p.kernelSize,
  ];
  if (!isShape(sizes)) {
    throw new ShapeError(
      `conv2d: sizes must be integers ≥ 1, got input [${p.batch}, ${p.inHeight}, ${p.inWidth}, ` +
        `${p.inChannels.join(" + ")}], weight [${p.outChannels}, …, ${p.kernelSize.join(", ")}], stride ${p.stride}`,
    );
  }
  if (!p.padding.every((pad) => Number.isInteger(pad) && pad >= 0)) {
    throw new ShapeError(`conv2d: padding must be integers ≥ 0, got [${p.padding.join(", ")}]`);
  }
  if (p.inChannels.length < 1 || p.inChannels.length > 2) {
    throw new ShapeError(`conv2d: takes one or two sources, got ${p.inChannels.length}`);
  }
  if (p.inChannels.length === 2 && (p.inChannels[0] as number) % 4 !== 0) {
    throw new ShapeError(
      `conv2d: the first of two sources must have a multiple of 4 channels, got ${p.inChannels[0]}. Concatenate by copy`,
    );
  }
  if (
    p.upsample &&
    (p.stride !== 1 || p.kernelSize.some((k) => k !== 3) || p.padding.some((k) => k !== 1))
  ) {
    throw new ShapeError(
      `conv2d: after upsampling the kernel must be 3×3 with stride 1 and padding 1, got ` +
        `[${p.kernelSize.join(", ")}], stride ${p.stride}, padding [${p.padding.join(", ")}]`,
    );
  }
  if (p.epilogue.geglu) throw new ShapeError("conv2d: GEGLU belongs to linear");
  const [height, width] = conv2dOutputSize(p);
  if (height < 1 || width < 1) {
    throw new ShapeError(
      `conv2d: the kernel [${p.kernelSize.join(", ")}] must fit the padded input, got ` +
        `[${p.inHeight}, ${p.inWidth}] with padding [${p.padding.join(", ")}]`,
    );
  }
}

function select(p: Conv2dProblem, caps: Caps): Conv2dVariant {
  if (!caps.isSoftware) return "tiled";
  return quadCount(p.outChannels) === 1 ? "register-8x1" : "register-8x2";
}

const PIXEL_WGSL_ONE = /* wgsl */ `fn load_pixel(pixel: u32, k: u32) -> vec4<f32> {
  return unpack(x0[pixel * params.in_quads0 + k]);
}
`;
const PIXEL_WGSL_TWO = /* wgsl */ `fn load_pixel(pixel: u32, k: u32) -> vec4<f32> {
  if (k < params.in_quads0) { return unpack(x0[pixel * params.in_quads0 + k]); }
  return unpack(x1[pixel * params.in_quads1 + (k - params.in_quads0)]);
}
`;

function plan(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant = select(p, caps)): KernelPlan {
  check(p);
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const [first = 1, second = 0] = p.inChannels;
  const step = p.upsample ? 2 : 1;
  const [gridHeight, gridWidth] = [outHeight / step, outWidth / step];
  const kernelSize = effectiveKernel(p);
  const rows = p.batch * gridHeight * gridWidth;
  const columns = quadCount(p.outChannels);
  const operands: Operand[] = [
    ...p.inChannels.map((_, source) => reads(`x${source}`)),
    reads("weight"),
    reads("bias", "vec4<f32>"),
    ...epilogueOperands(p.epilogue),
    writes("y"),
  ];
  const params: Param[] = [
    u32("rows", rows),
    u32("in_quads0", quadCount(first)),
    u32("in_quads1", quadCount(second)),
    u32("column_quads", columns),
    u32("out_quads", columns),
    u32("rows_per_image", outHeight * outWidth),
    u32("batch", p.batch),
    u32("taps", kernelSize[0] * kernelSize[1]),
    u32("kernel_width", kernelSize[1]),
    i32("in_height", p.inHeight),
    i32("in_width", p.inWidth),
    u32("grid_height", gridHeight),
    u32("grid_width", gridWidth),
    u32("step", step),
    i32("stride", p.stride),
    i32("pad_top", p.padding[0]),
    i32("pad_left", p.padding[2]),
  ];
  const header = { caps, dtype: p.dtype, operands, params };
  const shared =
    (p.inChannels.length === 1 ? PIXEL_WGSL_ONE : PIXEL_WGSL_TWO) +
    PHASE_WGSL +
    epilogueWgsl(p.epilogue);
  const label = `conv2d/${variant} ${p.kernelSize.join("x")}${p.stride > 1 ? ` s${p.stride}` : ""}${p.upsample ? " up" : ""}`;
  const one = (body: string, [x, y]: Dispatch["workgroups"]): KernelPlan => ({
    variant,
    scratch: [],
    dispatches: [dispatch(label, header, shared + body, [x, y, step * step])],
  });
  switch (variant) {
    case "naive":
      return one(
        GATHER_WGSL + NAIVE_WGSL,
        foldWorkgroups(Math.ceil((rows * columns) / REGISTER_WORKGROUP)),
      );
    case "register-8x1":
    case "register-8x2": {
      const [pixels, quads] = ({ "register-8x1": [8, 1], "register-8x2": [8, 2] } as const)[
        variant
      ];
      const blocks = Math.ceil(gridWidth / pixels) * gridHeight * p.batch;
      return one(
        registerWgsl(kernelSize, p.stride, pixels, quads),
        foldWorkgroups(Math.ceil((blocks * Math.ceil(columns / quads)) / REGISTER_WORKGROUP)),
      );
    }
    case "tiled": {
      const groups = Math.ceil(rows / TILE_ROWS) * Math.ceil((columns * 4) / TILE_COLUMNS);
      return one(GATHER_WGSL + tiledGemmWgsl("params.taps", false), foldWorkgroups(groups));
    }
    default:
      return variant satisfies never;
  }
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

/** Where a row reads: image base pixel and the top-left input coordinate. */
const GATHER_WGSL = /* wgsl */ `
struct Row { base: i32, iy: i32, ix: i32 }
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn locate(row: u32, phase: u32) -> Row {
  let line = row / params.grid_width;
  let ox = row - line * params.grid_width;
  let image = line / params.grid_height;
  let oy = line - image * params.grid_height;
  return Row(i32(image) * params.in_height, i32(oy) * params.stride - pad_top(phase), i32(ox) * params.stride - pad_left(phase));
}
fn load_tap(row: Row, tap: u32, k: u32) -> vec4<f32> {
  let iy = row.iy + i32(tap / params.kernel_width);
  let ix = row.ix + i32(tap % params.kernel_width);
  if (iy < 0 || ix < 0 || iy >= params.in_height || ix >= params.in_width) { return vec4<f32>(0.0); }
  return load_pixel(u32((row.base + iy) * params.in_width + ix), k);
}
`;

const NAIVE_WGSL = /* wgsl */ `
@compute @workgroup_size(${REGISTER_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${REGISTER_WORKGROUP}u + local;
  if (index >= params.rows * params.column_quads) { return; }
  let row = index / params.column_quads;
  let nq = index % params.column_quads;
  let source_row = locate(row, group.z);
  let first_tap = group.z * params.taps;
  var sum = vec4<f32>(0.0);
  for (var tap = 0u; tap < params.taps; tap++) {
    for (var k = 0u; k < k_quads(); k++) {
      let a = load_tap(source_row, tap, k);
      let w = (((first_tap + tap) * k_quads() + k) * params.column_quads + nq) * 4u;
      sum += a.x * unpack(weight[w]) + a.y * unpack(weight[w + 1u]) + a.z * unpack(weight[w + 2u]) + a.w * unpack(weight[w + 3u]);
    }
  }
  finish(sum, output_row(row, group.z), nq);
}
`;

function registerWgsl(
  [kernelHeight, kernelWidth]: Conv2dProblem["kernelSize"],
  stride: number,
  pixels: number,
  quads: number,
): string {
  // A segment of the input row serves all kx when the windows of neighbouring pixels overlap.
  const overlaps = stride < kernelWidth;
  const span = (pixels - 1) * stride + kernelWidth;
  const inner = overlaps
    ? `${lines(span, (j) => `let a${j} = load_at(line, ix0 + ${j}, k);`)}
      ${lines(kernelWidth, (kx) => tapWgsl(`${kx}u`, (r) => r * stride + kx))}`
    : `for (var kx = 0u; kx < ${kernelWidth}u; kx++) {
        ${lines(pixels, (r) => `let a${r} = load_at(line, ix0 + ${r * stride} + i32(kx), k);`)}
        ${tapWgsl("kx", (r) => r)}
      }`;
  function tapWgsl(kx: string, aIndex: (r: number) => number): string {
    return lines(
      quads,
      (q) => `{
        ${loadBlockWgsl(`((first_tap + ky * ${kernelWidth}u + ${kx}) * k_quads + k) * params.column_quads + column${q}`)}
        ${multiplyAddWgsl(pixels, q, "a", aIndex)}
      }`,
    );
  }
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
  ${lines(quads, (q) => `let column${q} = min(nq0 + ${q}u, params.column_quads - 1u);`)}
  ${lines(pixels, (r) => lines(quads, (q) => `var acc${r}_${q} = vec4<f32>(0.0);`))}
  for (var ky = 0u; ky < ${kernelHeight}u; ky++) {
    let iy = iy0 + i32(ky);
    if (iy < 0 || iy >= params.in_height) { continue; }
    let line = (i32(image) * params.in_height + iy) * params.in_width;
    for (var k = 0u; k < k_quads; k++) {
      ${inner}
    }
  }
  let row0 = output_row((image * params.grid_height + oy) * params.grid_width + ox0, phase);
  ${lines(
    pixels,
    (r) => `if (ox0 + ${r}u < params.grid_width) {
    let row = row0 + ${r}u * params.step;
    ${lines(quads, (q) => (q === 0 ? `finish(acc${r}_0, row, nq0);` : `if (nq0 + ${q}u < params.column_quads) { finish(acc${r}_${q}, row, nq0 + ${q}u); }`))}
  }`,
  )}
}
`;
}

function cost(p: Conv2dProblem): Cost {
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const inChannels = p.inChannels.reduce((sum, channels) => sum + channels, 0);
  const [kernelHeight, kernelWidth] = effectiveKernel(p);
  const taps = kernelHeight * kernelWidth;
  const element = dtypeByteLength(p.dtype);
  const outBytes = p.batch * outHeight * outWidth * p.outChannels * element;
  return {
    flops: 2 * p.batch * outHeight * outWidth * p.outChannels * inChannels * taps,
    bytesRead:
      p.batch * p.inHeight * p.inWidth * inChannels * element +
      packedWeightByteLength({
        dtype: p.dtype,
        inChannels,
        outChannels: p.outChannels,
        taps: p.kernelSize[0] * p.kernelSize[1],
        geglu: false,
        upsample: p.upsample,
      }) +
      (p.epilogue.residual ? outBytes : 0),
    bytesWritten: outBytes,
  };
}

export const conv2d: Kernel<Conv2dProblem, Conv2dVariant> = {
  name: "conv2d",
  variants: ["naive", "register-8x1", "register-8x2", "tiled"],
  check,
  select,
  plan,
  cost,
};
