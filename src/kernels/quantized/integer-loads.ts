/**
 * How conv2d and linear load a weight of integers (`storage.ts`). Where a shader for floats says `unpack(weight[at])`, one for
 * integers says `stored(at) * scale - zero`, with the same `at`, a quad of outputs. What is stored has an offset; `zero` is the
 * offset times the scale, which makes it one multiply-add a value. It is exact: none of the three has more than 19 bits. The
 * scale is that of a block of input channels and so is loaded once for several quads of them.
 */
import { quadCount } from "../../gpu/shape.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import { reads, u32 } from "../kernel.ts";
import type { IntegerStorage, WeightStorage } from "./storage.ts";
import {
  blockChannels,
  blockCount,
  blockWords,
  integerBits,
  packedIntegerByteLength,
} from "./storage.ts";

/** The operand `weight`. */
export const weightOperand = (storage: WeightStorage): Operand =>
  storage === "float" ? reads("weight") : reads("weight", "u32");

/** What the params of integers follow from. */
export interface WeightShape {
  readonly weightStorage: WeightStorage;
  /** One entry a source. */
  readonly inChannels: readonly number[];
  readonly taps: number;
  /** Of one more tap behind them; empty without one. */
  readonly shortcutChannels: readonly number[];
  readonly columnQuads: number;
}

const total = (channels: readonly number[]): number => channels.reduce((sum, c) => sum + c, 0);

/** Uniforms that `integerLoadsWgsl` reads, beside `column_quads`. */
export function integerParams(shape: WeightShape): Param[] {
  const { weightStorage, inChannels, taps, shortcutChannels, columnQuads } = shape;
  if (weightStorage === "float") return [];
  const rows = taps * quadCount(total(inChannels)) + quadCount(total(shortcutChannels));
  return [
    u32("scales_at", rows * columnQuads * blockWords(weightStorage)),
    u32("scale_rows", blockCount(total(inChannels), weightStorage)),
  ];
}

/** Bytes of a packed weight of integers. */
export function integerByteLength(storage: IntegerStorage, shape: WeightShape): number {
  const { inChannels, taps, shortcutChannels, columnQuads } = shape;
  const bytes = (channels: readonly number[], count: number): number =>
    packedIntegerByteLength(storage, columnQuads, total(channels), count);
  return bytes(inChannels, taps) + (shortcutChannels.length > 0 ? bytes(shortcutChannels, 1) : 0);
}

/** The value of quad `at`, an expression; of integers it needs what `scaleOf` declares. */
export const weightQuad = (storage: WeightStorage, at: string): string =>
  storage === "float" ? `unpack(weight[${at}])` : `(stored(${at}) * scale - zero)`;

/** Lines that declare `scale` and `zero` of tap, quad of input channels and column quad, expressions; none for floats. */
export const scaleOf = (storage: WeightStorage, tap: string, k: string, nq: string): string =>
  storage === "float"
    ? ""
    : `let scale = weight_scale(${tap}, ${k}, ${nq});
      let zero = scale * OFFSET;
      `;

/** Lines that declare `<name>_scale` and `<name>_zero` for `placed(at) * scale - zero`. Lanes that share a scale load half of it each. */
export function placedScaleOf(
  name: string,
  shares: boolean,
  ...[tap, k, nq]: readonly [tap: string, k: string, nq: string]
): string {
  const own = shares
    ? `shared_scale(${tap}, ${k}, ${nq}, lane)`
    : `weight_scale(${tap}, ${k}, ${nq})`;
  return `let ${name}_own = ${own};
      let ${name}_scale = ${name}_own * PLACES;
      let ${name}_zero = ${name}_own * OFFSETS;
      `;
}

/** The value of quad `at` where its scale serves no other; expressions. */
export const weightQuadOf = (
  storage: WeightStorage,
  at: string,
  ...[tap, k, nq]: readonly [tap: string, k: string, nq: string]
): string =>
  storage === "float"
    ? `unpack(weight[${at}])`
    : `weight_quad(${at}, weight_scale(${tap}, ${k}, ${nq}))`;

/** `stored(at)`: bytes become floats by conversions that GPUs have for each byte of a word. */
const INTEGERS = {
  8: /* wgsl */ `const OFFSET = 128.0;
fn stored(at: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(weight[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}`,
  4: /* wgsl */ `const OFFSET = 8.0;
fn stored(at: u32) -> vec4<f32> {
  let quad = weight[at >> 1u] >> (16u * (at & 1u));
  return vec4<f32>((vec4<u32>(quad) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}`,
} as const;

/**
 * `placed(at)`: without shifts, which SwiftShader takes lane by lane. An integer is converted where it lies in the word, and its
 * scale is divided by that place; the highest byte becomes a signed number, which takes its offset away.
 */
const PLACED = {
  8: /* wgsl */ `const OFFSETS = vec4<f32>(128.0, 128.0, 128.0, 0.0);
const PLACES = vec4<f32>(1.0, 0.00390625, 1.52587890625e-5, 5.9604644775390625e-8);
fn placed(at: u32) -> vec4<f32> {
  let quad = vec4<u32>(weight[at] ^ 0x80000000u) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u);
  return vec4<f32>(bitcast<vec4<i32>>(quad));
}`,
  4: /* wgsl */ `const OFFSETS = vec4<f32>(8.0);
const PLACES = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
fn placed(at: u32) -> vec4<f32> {
  let quad = weight[at >> 1u] >> (16u * (at & 1u));
  return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(quad) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)));
}`,
} as const;
const SHARED_SCALE = /* wgsl */ `fn shared_scale(tap: u32, k: u32, nq: u32, lane: u32) -> vec4<f32> {
  let own = unpack2x16float(weight[scale_at(tap, k, nq) + (lane & 1u)]);
  return vec4<f32>(
    subgroupBroadcast(own.x, 0u),
    subgroupBroadcast(own.y, 0u),
    subgroupBroadcast(own.x, 1u),
    subgroupBroadcast(own.y, 1u),
  );
}
`;

/** `stored_lane(at, lane)` and `lane_scale`: one of a quad. */
const STORED_LANE = {
  8: /* wgsl */ `fn stored_lane(at: u32, lane: u32) -> f32 {
  return f32((weight[at] >> (8u * lane)) & 255u);
}`,
  4: /* wgsl */ `fn stored_lane(at: u32, lane: u32) -> f32 {
  return f32((weight[at >> 1u] >> (16u * (at & 1u) + 4u * lane)) & 15u);
}`,
} as const;
const LANE_SCALE = /* wgsl */ `fn lane_scale(tap: u32, k: u32, nq: u32, lane: u32) -> f32 {
  return unpack2x16float(weight[scale_at(tap, k, nq) + lane / 2u] >> (16u * (lane & 1u))).x;
}`;

const scaleWgsl = (blockQuads: number): string => /* wgsl */ `const SCALE_QUADS = ${blockQuads}u;
fn scale_at(tap: u32, k: u32, nq: u32) -> u32 {
  let row = tap * params.scale_rows + k / SCALE_QUADS;
  return params.scales_at + (row * params.column_quads + nq) * 2u;
}
fn weight_scale(tap: u32, k: u32, nq: u32) -> vec4<f32> {
  let at = scale_at(tap, k, nq);
  return vec4<f32>(unpack2x16float(weight[at]), unpack2x16float(weight[at + 1u]));
}
fn weight_quad(at: u32, scale: vec4<f32>) -> vec4<f32> {
  return stored(at) * scale - scale * OFFSET;
}`;

/** What labels and classes of problems say of integers. */
export const storageLabel = ({ weightStorage }: Pick<WeightShape, "weightStorage">): string =>
  weightStorage === "float" ? "" : ` ${weightStorage}`;

/** Fragment of a shader: what the expressions above call; nothing for floats. */
export const integerLoadsWgsl = (storage: WeightStorage): string =>
  storage === "float"
    ? ""
    : `${INTEGERS[integerBits(storage)]}\n${scaleWgsl(blockChannels(storage) / 4)}\n`;

/** Behind it, for what `placedScaleOf` and `placed(at)` say. */
export const placedLoadsWgsl = (storage: WeightStorage, shares: boolean): string =>
  storage === "float" ? "" : `${PLACED[integerBits(storage)]}\n${shares ? SHARED_SCALE : ""}`;

/** Behind it, for `stored_lane` and `lane_scale`. */
export const laneLoadsWgsl = (storage: IntegerStorage): string =>
  `${STORED_LANE[integerBits(storage)]}\n${LANE_SCALE}\n`;
