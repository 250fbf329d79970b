/**
 * `winograd` of conv2d, 3×3 at stride 1, by Winograd's F(4×4, 3×3): 36 products a channel for 16 outputs, not 144.
 *
 *   Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
 *
 * d are 6×6 pixels of the input, 4 apart, g the 3×3 taps, ⊙ the product at each of 36 positions, a matrix product over
 * channels. Dispatches (`winograd-wgsl.ts`):
 *
 * 1. `u` = G g Gᵀ, [position][weight block]. It costs as much as five tiles, and so weights need no second layout.
 * 2. For each stripe of tiles, so that scratch stays small: `v` = Bᵀ d B, [position][tile][channel]; `m` = v · u in registers
 *    (`gemm-register.ts`); the sums of the shortcut, if there is one; Aᵀ m A and the epilogue.
 *
 * The transforms interpolate at 0, ±3/4, ±3/2 and ∞. Their constants are exact in f32 but for 1/243, and sums over 64 channels of
 * normal values err by 7.6e-7 of their rms, a direct sum in f32 by 4.7e-7; at the usual points 0, ±1, ±2 by 1.9e-6. All scratch
 * is f32, whatever the storage.
 *
 * In f32 transforms take channels one by one: for SwiftShader that costs as much for each as a quad, and compiles in a quarter of
 * the time. (S. Winograd, "Arithmetic complexity of computations", 1980; A. Lavin, S. Gray, "Fast algorithms for convolutional
 * neural networks", 2016.)
 */
import type { Caps } from "../../gpu/caps.ts";
import { quadCount } from "../../gpu/shape.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Dispatch, KernelPlan } from "../kernel.ts";
import { dispatch, i32, reads, u32, writes } from "../kernel.ts";
import { integerLoadsWgsl, integerParams, weightOperand } from "../quantized/integer-loads.ts";
import type { Conv2dProblem } from "./conv2d-problem.ts";
import { conv2dInterface, conv2dOutputSize, conv2dWeight } from "./conv2d-problem.ts";
import { epilogueParams, epilogueWgsl } from "./epilogue.ts";
import { canShare, registerDirectives, registerGemmWgsl, registerGroups } from "./gemm-register.ts";
import { sourcesWgsl } from "./loads.ts";
import {
  TILE,
  TRANSFORM_WORKGROUP,
  winogradInputWgsl,
  winogradOutputWgsl,
  winogradWeightsWgsl,
} from "./winograd-wgsl.ts";

/** Inputs of a tile. */
const POSITIONS = 36;
/** Of `v`, and of `m`: small enough for the caches of a CPU. */
const STRIPE_BYTES = 16 * 2 ** 20;
/** With fewer tiles the transform of the weights is not worth it. */
const LEAST_TILES = 64;
/** Rows of an invocation of the products. */
const BLOCK_ROWS = 8;

/** How a map is cut into tiles, and these into stripes. */
function tiling(p: Conv2dProblem) {
  const [height, width] = conv2dOutputSize(p);
  const columns = Math.ceil(width / TILE);
  const lines = Math.ceil(height / TILE);
  const inQuads = p.inChannels.reduce((sum, channels) => sum + quadCount(channels), 0);
  const outQuads = quadCount(p.outChannels);
  const lineBytes = columns * Math.max(inQuads, outQuads) * POSITIONS * 16;
  const stripes = Math.ceil(lines / Math.max(1, Math.floor(STRIPE_BYTES / lineBytes)));
  return {
    height,
    width,
    columns,
    lines,
    inQuads,
    outQuads,
    stripeLines: Math.ceil(lines / stripes),
  };
}

/** Why a problem cannot run so; null where it can. Statistics are refused with those of other variants. */
export function winogradRefusal(p: Conv2dProblem, { limits }: Caps): string | null {
  if (p.stride !== 1 || p.upsample || p.kernelSize.some((size) => size !== 3)) {
    return `winograd is for 3×3 at stride 1, got ${p.kernelSize.join("×")} at stride ${p.stride}${p.upsample ? ", upsampled" : ""}`;
  }
  if (p.inputNorm !== "none") return "winograd does not normalise its input. Apply the norm";
  if (p.epilogue.activation === "gelu") return "winograd takes no GELU";
  const { columns, stripeLines, inQuads, outQuads } = tiling(p);
  const rows = Math.max(4 * Math.min(inQuads, outQuads), columns * stripeLines);
  const bytes = POSITIONS * rows * Math.max(inQuads, outQuads) * 16;
  const most = limits.maxStorageBufferBindingSize;
  return bytes <= most
    ? null
    : `winograd needs a binding of ${bytes} bytes for scratch, got ${most}`;
}

/**
 * Whether a software adapter is expected to be faster with `winograd`. The time of the transforms grows with the sum of the
 * channels, what they save with the product; both are equal at 24 → 24 channels (bench/NOTES.md).
 */
export function suitsWinograd(p: Conv2dProblem, caps: Caps): boolean {
  if (p.epilogue.statistics !== "none" || winogradRefusal(p, caps) !== null) return false;
  const { columns, lines, inQuads, outQuads } = tiling(p);
  const isWide = inQuads * outQuads >= 4 * (inQuads + outQuads);
  return isWide && columns * lines >= LEAST_TILES;
}

/** The dispatches and scratch of `winograd`. */
export function winogradPlan(p: Conv2dProblem, caps: Caps, label: string): KernelPlan {
  const { columns, lines, stripeLines, inQuads, outQuads } = tiling(p);
  const hasShortcut = p.shortcutChannels.length > 0;
  const dispatches = [weightsDispatch(p, caps, label)];
  for (let image = 0; image < p.batch; image++) {
    for (let line = 0; line < lines; line += stripeLines) {
      const stripe = { image, line, lines: Math.min(stripeLines, lines - line) };
      dispatches.push(inputDispatch(p, caps, label, stripe));
      dispatches.push(productsDispatch(p, caps, label, stripe));
      if (hasShortcut) dispatches.push(shortcutDispatch(p, caps, label, stripe));
      dispatches.push(outputDispatch(p, caps, label, stripe));
    }
  }
  const tiles = stripeLines * columns;
  const scratch = [
    { name: "u", byteLength: POSITIONS * inQuads * outQuads * 64 },
    { name: "v", byteLength: POSITIONS * tiles * inQuads * 16 },
    { name: "m", byteLength: POSITIONS * tiles * outQuads * 16 },
    ...(hasShortcut ? [{ name: "added", byteLength: tiles * TILE * TILE * outQuads * 16 }] : []),
  ];
  return { variant: "winograd", scratch, dispatches };
}

/** Lines of tiles of one image that are in scratch at a time, and the first of them. */
interface Stripe {
  readonly image: number;
  readonly line: number;
  readonly lines: number;
}
const WEIGHTS: Stripe = { image: 0, line: 0, lines: 1 };

/** Channels of an invocation of a transform: one in f32, else a quad, because two halves share a word. */
const transformChannels = ({ dtype }: Conv2dProblem): 1 | 4 => (dtype === "f32" ? 1 : 4);
const valuesOf = (p: Conv2dProblem): string => (transformChannels(p) === 1 ? "f32" : "vec4<f32>");

/** Params of all dispatches of a stripe. `rows` are its tiles. */
function paramsOf(p: Conv2dProblem, { image, line, lines }: Stripe): Param[] {
  const { height, width, columns, inQuads, outQuads } = tiling(p);
  const lanes = 4 / transformChannels(p); // of a quad
  const [first = 1, second = 0] = p.inChannels;
  return [
    u32("rows", lines * columns),
    u32("in_quads0", inQuads),
    u32("in_quads1", 0),
    u32("column_quads", outQuads),
    u32("in_lanes0", quadCount(first) * lanes),
    u32("in_lanes1", quadCount(second) * lanes),
    u32("out_quads", outQuads * lanes),
    u32("weight_lanes", inQuads * outQuads * 4 * lanes),
    ...integerParams(conv2dWeight(p)),
    u32("image", image),
    u32("first_line", line),
    u32("columns", columns),
    i32("in_height", p.inHeight),
    i32("in_width", p.inWidth),
    i32("pad_top", p.padding[0]),
    i32("pad_left", p.padding[2]),
    u32("height", height),
    u32("width", width),
    u32("rows_per_image", height * width),
    ...epilogueParams(p.epilogue, p.outChannels, transformChannels(p)),
  ];
}

/** A transform of `quads` quads of each position. */
function transformDispatch(
  p: Conv2dProblem,
  caps: Caps,
  label: string,
  stripe: Stripe,
  operands: readonly Operand[],
  body: string,
  quads: number,
): Dispatch {
  const channels = transformChannels(p);
  const header = {
    caps,
    dtype: p.dtype,
    channels,
    operands: operands.map((operand) => ({
      ...operand,
      element: channels === 1 ? operand.element.replace("vec4<f32>", "f32") : operand.element,
    })),
    params: paramsOf(p, stripe),
  };
  const groups = Math.ceil((quads * 4) / channels / TRANSFORM_WORKGROUP);
  return dispatch(label, header, body, foldWorkgroups(groups));
}

function weightsDispatch(p: Conv2dProblem, caps: Caps, label: string): Dispatch {
  const { inQuads, outQuads } = tiling(p);
  const operands = [weightOperand(p.weightStorage), writes("u", "vec4<f32>")];
  const body = winogradWeightsWgsl(valuesOf(p), p.weightStorage);
  const quads = inQuads * outQuads * 4;
  return transformDispatch(p, caps, `${label} weights`, WEIGHTS, operands, body, quads);
}

function inputDispatch(p: Conv2dProblem, caps: Caps, label: string, stripe: Stripe): Dispatch {
  const { columns, inQuads } = tiling(p);
  const sources = p.inChannels.map((_, source) => reads(`x${source}`));
  const operands = [...sources, writes("v", "vec4<f32>")];
  const body = winogradInputWgsl(valuesOf(p), sources.length);
  const quads = stripe.lines * columns * inQuads;
  return transformDispatch(p, caps, `${label} input`, stripe, operands, body, quads);
}

function outputDispatch(p: Conv2dProblem, caps: Caps, label: string, stripe: Stripe): Dispatch {
  const { columns, outQuads } = tiling(p);
  const { operands, shape } = conv2dInterface(p);
  const hasShortcut = p.shortcutChannels.length > 0;
  const sums = [reads("m", "vec4<f32>"), ...(hasShortcut ? [reads("added", "vec4<f32>")] : [])];
  const finishing = operands.filter(({ name }) => !/^(x\d|weight|shortcut\d)$/.test(name));
  const epilogue = epilogueWgsl(p.epilogue, shape, "Values");
  const body = winogradOutputWgsl(valuesOf(p), epilogue, hasShortcut);
  const quads = stripe.lines * columns * outQuads;
  return transformDispatch(
    p,
    caps,
    `${label} output`,
    stripe,
    [...sums, ...finishing],
    body,
    quads,
  );
}

/** The column quads of an invocation of the products: those that leave least of the last block empty. */
function blockQuads(outQuads: number): number {
  const padded = (quads: number): number => Math.ceil(outQuads / quads) * quads;
  return [4, 3, 2, 1].reduce((best, next) => (padded(next) < padded(best) ? next : best));
}

const PRODUCTS = /* wgsl */ `
fn load_x(row: u32, k: u32) -> vec4<f32> { return v[row * params.in_quads0 + k]; }
fn finish(sum: vec4<f32>, row: u32, nq: u32) { m[row * params.column_quads + nq] = sum; }
`;

function productsDispatch(p: Conv2dProblem, caps: Caps, label: string, stripe: Stripe): Dispatch {
  const { columns, outQuads } = tiling(p);
  const block = {
    rows: BLOCK_ROWS,
    quads: blockQuads(outQuads),
    shares: canShare(caps),
    weightStorage: "float" as const,
  };
  const header = {
    caps,
    dtype: "f32" as const,
    directives: registerDirectives(block),
    operands: [reads("v"), { ...reads("weight"), boundTo: "u" }, writes("m")],
    params: paramsOf(p, stripe),
  };
  const main = registerGemmWgsl(block, false, "group.z * params.rows", {
    row: "(group.z * k_quads + k)",
    tap: "0u",
  });
  const [x, y] = foldWorkgroups(
    registerGroups(block, Math.ceil((stripe.lines * columns) / BLOCK_ROWS), outQuads),
  );
  return dispatch(`${label} products`, header, PRODUCTS + main, [x, y, POSITIONS]);
}

const SHORTCUT = /* wgsl */ `
fn load_x(row: u32, k: u32) -> vec4<f32> { return load_shortcut(params.first_row + row, k); }
fn finish(sum: vec4<f32>, row: u32, nq: u32) { added[row * params.column_quads + nq] = sum; }
`;

/** The rows of its weight follow those of the 9 taps. */
function shortcutDispatch(p: Conv2dProblem, caps: Caps, label: string, stripe: Stripe): Dispatch {
  const { height, width, inQuads, outQuads } = tiling(p);
  const { weightStorage } = p;
  const [first = 0, second = 0] = p.shortcutChannels;
  const rows = Math.min(stripe.lines * TILE, height - stripe.line * TILE) * width;
  const block = {
    rows: BLOCK_ROWS,
    quads: blockQuads(outQuads),
    shares: canShare(caps),
    weightStorage,
  };
  const sources = p.shortcutChannels.map((_, source) => reads(`shortcut${source}`));
  const header = {
    caps,
    dtype: p.dtype,
    directives: registerDirectives(block),
    operands: [...sources, weightOperand(weightStorage), writes("added", "vec4<f32>")],
    params: [
      u32("rows", rows),
      u32("first_row", (stripe.image * height + stripe.line * TILE) * width),
      u32("first_weight_row", 9 * inQuads),
      u32("in_quads0", quadCount(first)),
      u32("in_quads1", quadCount(second)),
      u32("column_quads", outQuads),
      ...integerParams(conv2dWeight(p)),
    ],
  };
  const loads =
    integerLoadsWgsl(weightStorage) +
    sourcesWgsl("load_shortcut", "shortcut", "in_quads", sources.length) +
    SHORTCUT;
  const main = registerGemmWgsl(block, false, "0u", {
    row: "(params.first_weight_row + k)",
    tap: "9u",
    scales: "tap",
  });
  const grid = foldWorkgroups(registerGroups(block, Math.ceil(rows / BLOCK_ROWS), outQuads));
  return dispatch(`${label} shortcut`, header, loads + main, grid);
}
