/**
 * The shaders of `winograd` but its products. A transform takes an invocation for each tile (or weight) and `Values`: one channel
 * in f32 storage, else a quad. All share the params of `conv2d-winograd.ts`, where "lanes" count `Values`.
 */
import { constantsWgsl } from "../../gpu/wgsl.ts";
import { integerLoadsWgsl, laneLoadsWgsl } from "../quantized/integer-loads.ts";
import type { IntegerStorage, WeightStorage } from "../quantized/storage.ts";
import { unroll } from "../unroll.ts";
import { sourcesWgsl } from "./loads.ts";

/** Outputs of a tile along each axis. */
export const TILE = 4;
export const TRANSFORM_WORKGROUP = 64;

/** The points, and the transforms to them along one axis, of values `Inputs` and `Weights`. */
export const POINTS_WGSL = /* wgsl */ `
const A: f32 = 0.75; // the points ±A and ±B
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/* Bᵀ d */
fn input_points(d0: Inputs, d1: Inputs, d2: Inputs, d3: Inputs, d4: Inputs, d5: Inputs) -> array<Inputs, 6> {
  let even_a = d4 - B2 * d2;
  let odd_a = A * (d3 - B2 * d1);
  let even_b = d4 - A2 * d2;
  let odd_b = B * (d3 - A2 * d1);
  let first = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
  let last = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
  return array<Inputs, 6>(first, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, last);
}
/* G g without its factors: g0 + g1·p + g2·p² at each point p */
fn weight_points(g0: Weights, g1: Weights, g2: Weights) -> array<Weights, 6> {
  let even_a = g0 + A2 * g2;
  let even_b = g0 + B2 * g2;
  return array<Weights, 6>(g0, even_a + A * g1, even_a - A * g1, even_b + B * g1, even_b - B * g1, g2);
}
const FACTOR_0: f32 = 1.0 / (A2 * B2);
const FACTOR_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const FACTOR_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));
`;

/** Declares `Values` and the transforms along one axis. */
const transformsWgsl = (
  values: string,
): string => /* wgsl */ `${constantsWgsl({ TILE, INVOCATIONS: TRANSFORM_WORKGROUP })}
alias Values = ${values};
alias Inputs = Values;
alias Weights = Values;
${POINTS_WGSL}
/* G g */
fn factored_points(g0: Weights, g1: Weights, g2: Weights) -> array<Weights, 6> {
  let at = weight_points(g0, g1, g2);
  return array<Weights, 6>(FACTOR_0 * at[0], FACTOR_A * at[1], FACTOR_A * at[2], FACTOR_B * at[3], FACTOR_B * at[4], at[5]);
}
/* Aᵀ m */
fn outputs_of(m0: Values, m1: Values, m2: Values, m3: Values, m4: Values, m5: Values) -> array<Values, TILE> {
  let even_a = m1 + m2;
  let odd_a = A * (m1 - m2);
  let even_b = m3 + m4;
  let odd_b = B * (m3 - m4);
  return array<Values, TILE>(m0 + even_a + even_b, odd_a + odd_b, A2 * even_a + B2 * even_b, A2 * odd_a + B2 * odd_b + m5);
}
`;

/** The head of main: `i`, one of `count` invocations. */
const mainWgsl = (count: string): string => /* wgsl */ `
@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * INVOCATIONS + local;
  let count = ${count};
  if (i >= count) { return; }`;

const list = (count: number, item: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => item(index)).join(", ");

/** `transform` of `size` columns, whose elements are `from(y, x)`, and then of the 6 rows, stored at all positions of `to`. */
const toPositionsWgsl = (
  transform: string,
  size: number,
  from: (y: number, x: number) => string,
  to: string,
): string => /* wgsl */ `${unroll(size, (x) => `let column${x} = ${transform}(${list(size, (y) => from(y, x))});`)}
  ${unroll(6, (y) => `let row${y} = ${transform}(${list(size, (x) => `column${x}[${y}]`)});`)}
  ${unroll(36, (at) => `${to}[${at}u * count + i] = row${Math.floor(at / 6)}[${at % 6}];`)}`;

/** `u` of all weights: the taps lie as far apart as the positions do. */
export const winogradWeightsWgsl = (
  values: string,
  storage: WeightStorage,
): string => /* wgsl */ `${integerLoadsWgsl(storage)}${transformsWgsl(values)}
${storage === "float" ? "" : integerTapWgsl(values, storage)}${mainWgsl("params.weight_lanes")}
  ${toPositionsWgsl("factored_points", 3, (y, x) => tapWgsl(storage, 3 * y + x), "u")}
}
`;

const tapWgsl = (storage: WeightStorage, tap: number): string =>
  storage === "float" ? `unpack(weight[${tap}u * count + i])` : `integer_tap(${tap}u, count, i)`;

/** `integer_tap(tap, count, i)`: `Values` number `i` of the `count` of a tap. */
const integerTapWgsl = (values: string, storage: IntegerStorage): string =>
  values === "f32" ? laneLoadsWgsl(storage) + INTEGER_LANE_TAP : INTEGER_QUAD_TAP;
const INTEGER_QUAD_TAP = /* wgsl */ `
fn integer_tap(tap: u32, count: u32, i: u32) -> Values {
  let block = i / 4u;
  let scale = weight_scale(tap, block / params.column_quads, block % params.column_quads);
  return weight_quad(tap * count + i, scale);
}
`;
/** One of four lanes: without the loads and conversions of the others. */
const INTEGER_LANE_TAP = /* wgsl */ `
fn integer_tap(tap: u32, count: u32, i: u32) -> Values {
  let block = i / 16u;
  let lane = i % 4u;
  let scale = lane_scale(tap, block / params.column_quads, block % params.column_quads, lane);
  return (stored_lane((tap * count + i) / 4u, lane) - OFFSET) * scale;
}
`;

/** `v` of the tiles of a stripe. */
export const winogradInputWgsl = (
  values: string,
  sources: number,
): string => /* wgsl */ `${transformsWgsl(values)}
${sourcesWgsl("load_x", "x", "in_lanes", sources, "Values")}
fn load_at(iy: i32, ix: i32, k: u32) -> Values {
  let line = (i32(params.image) * params.in_height + clamp(iy, 0, params.in_height - 1)) * params.in_width;
  let v = load_x(u32(line + clamp(ix, 0, params.in_width - 1)), k);
  return select(Values(0.0), v, (iy >= 0) & (ix >= 0) & (iy < params.in_height) & (ix < params.in_width));
}
${mainWgsl("params.rows * (params.in_lanes0 + params.in_lanes1)")}
  let lanes = params.in_lanes0 + params.in_lanes1;
  let k = i % lanes;
  let tile = i / lanes;
  let iy = i32((params.first_line + tile / params.columns) * TILE) - params.pad_top;
  let ix = i32((tile % params.columns) * TILE) - params.pad_left;
  ${toPositionsWgsl("input_points", 6, (y, x) => `load_at(iy + ${y}, ix + ${x}, k)`, "v")}
}
`;

/** Sums and outputs of the tiles of a stripe. Needs the epilogue, of `Values`. */
export function winogradOutputWgsl(values: string, epilogue: string, shortcut: boolean): string {
  const added =
    "added[((line - params.first_line * TILE) * params.width + x) * params.out_quads + nq]";
  return /* wgsl */ `${transformsWgsl(values)}${epilogue}
${mainWgsl("params.rows * params.out_quads")}
  let nq = i % params.out_quads;
  let tile = i / params.out_quads;
  let line0 = (params.first_line + tile / params.columns) * TILE;
  let x0 = (tile % params.columns) * TILE;
  ${unroll(6, (x) => `let column${x} = outputs_of(${list(6, (y) => `m[${6 * y + x}u * count + i]`)});`)}
  var outputs = array<array<Values, TILE>, TILE>(${list(4, (y) => `outputs_of(${list(6, (x) => `column${x}[${y}]`)})`)});
  for (var line = line0; line < min(line0 + TILE, params.height); line++) {
    for (var x = x0; x < min(x0 + TILE, params.width); x++) {
      finish(outputs[line - line0][x - x0]${shortcut ? ` + ${added}` : ""}, (params.image * params.height + line) * params.width + x, nq);
    }
  }
}
`;
}
