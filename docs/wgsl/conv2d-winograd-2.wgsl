// conv2d/winograd 3x3 input: a 3×3 convolution of 320 channels with bias. Storage f16; 320 × 1 × 1 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x0: array<Quad>;
@group(0) @binding(1) var<storage, read_write> v: array<vec4<f32>>;
struct Params {
  rows: u32,
  in_quads0: u32,
  in_quads1: u32,
  column_quads: u32,
  in_lanes0: u32,
  in_lanes1: u32,
  out_quads: u32,
  weight_lanes: u32,
  image: u32,
  first_line: u32,
  columns: u32,
  in_height: i32,
  in_width: i32,
  pad_top: i32,
  pad_left: i32,
  height: u32,
  width: u32,
  rows_per_image: u32,
  has_channel_add: u32,
  channel_add_first: u32,
  channel_add_quads: u32,
  has_residual: u32,
  has_relu: u32,
  has_sigmoid: u32,
  sigmoid_scale: f32,
  channels_per_entry: u32,
  stats_first: u32,
}
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
const TILE: u32 = 4u;
const INVOCATIONS: u32 = 64u;
alias Values = vec4<f32>;
alias Inputs = Values;
alias Weights = Values;

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

fn load_x(row: u32, k: u32) -> Values {
  return unpack(x0[row * params.in_lanes0 + k]);
}

fn load_at(iy: i32, ix: i32, k: u32) -> Values {
  let line = (i32(params.image) * params.in_height + clamp(iy, 0, params.in_height - 1)) * params.in_width;
  let v = load_x(u32(line + clamp(ix, 0, params.in_width - 1)), k);
  return select(Values(0.0), v, (iy >= 0) & (ix >= 0) & (iy < params.in_height) & (ix < params.in_width));
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * INVOCATIONS + local;
  let count = params.rows * (params.in_lanes0 + params.in_lanes1);
  if (i >= count) { return; }
  let lanes = params.in_lanes0 + params.in_lanes1;
  let k = i % lanes;
  let tile = i / lanes;
  let iy = i32((params.first_line + tile / params.columns) * TILE) - params.pad_top;
  let ix = i32((tile % params.columns) * TILE) - params.pad_left;
  let column0 = input_points(load_at(iy + 0, ix + 0, k), load_at(iy + 1, ix + 0, k), load_at(iy + 2, ix + 0, k), load_at(iy + 3, ix + 0, k), load_at(iy + 4, ix + 0, k), load_at(iy + 5, ix + 0, k));
  let column1 = input_points(load_at(iy + 0, ix + 1, k), load_at(iy + 1, ix + 1, k), load_at(iy + 2, ix + 1, k), load_at(iy + 3, ix + 1, k), load_at(iy + 4, ix + 1, k), load_at(iy + 5, ix + 1, k));
  let column2 = input_points(load_at(iy + 0, ix + 2, k), load_at(iy + 1, ix + 2, k), load_at(iy + 2, ix + 2, k), load_at(iy + 3, ix + 2, k), load_at(iy + 4, ix + 2, k), load_at(iy + 5, ix + 2, k));
  let column3 = input_points(load_at(iy + 0, ix + 3, k), load_at(iy + 1, ix + 3, k), load_at(iy + 2, ix + 3, k), load_at(iy + 3, ix + 3, k), load_at(iy + 4, ix + 3, k), load_at(iy + 5, ix + 3, k));
  let column4 = input_points(load_at(iy + 0, ix + 4, k), load_at(iy + 1, ix + 4, k), load_at(iy + 2, ix + 4, k), load_at(iy + 3, ix + 4, k), load_at(iy + 4, ix + 4, k), load_at(iy + 5, ix + 4, k));
  let column5 = input_points(load_at(iy + 0, ix + 5, k), load_at(iy + 1, ix + 5, k), load_at(iy + 2, ix + 5, k), load_at(iy + 3, ix + 5, k), load_at(iy + 4, ix + 5, k), load_at(iy + 5, ix + 5, k));
  let row0 = input_points(column0[0], column1[0], column2[0], column3[0], column4[0], column5[0]);
  let row1 = input_points(column0[1], column1[1], column2[1], column3[1], column4[1], column5[1]);
  let row2 = input_points(column0[2], column1[2], column2[2], column3[2], column4[2], column5[2]);
  let row3 = input_points(column0[3], column1[3], column2[3], column3[3], column4[3], column5[3]);
  let row4 = input_points(column0[4], column1[4], column2[4], column3[4], column4[4], column5[4]);
  let row5 = input_points(column0[5], column1[5], column2[5], column3[5], column4[5], column5[5]);
  v[0u * count + i] = row0[0];
  v[1u * count + i] = row0[1];
  v[2u * count + i] = row0[2];
  v[3u * count + i] = row0[3];
  v[4u * count + i] = row0[4];
  v[5u * count + i] = row0[5];
  v[6u * count + i] = row1[0];
  v[7u * count + i] = row1[1];
  v[8u * count + i] = row1[2];
  v[9u * count + i] = row1[3];
  v[10u * count + i] = row1[4];
  v[11u * count + i] = row1[5];
  v[12u * count + i] = row2[0];
  v[13u * count + i] = row2[1];
  v[14u * count + i] = row2[2];
  v[15u * count + i] = row2[3];
  v[16u * count + i] = row2[4];
  v[17u * count + i] = row2[5];
  v[18u * count + i] = row3[0];
  v[19u * count + i] = row3[1];
  v[20u * count + i] = row3[2];
  v[21u * count + i] = row3[3];
  v[22u * count + i] = row3[4];
  v[23u * count + i] = row3[5];
  v[24u * count + i] = row4[0];
  v[25u * count + i] = row4[1];
  v[26u * count + i] = row4[2];
  v[27u * count + i] = row4[3];
  v[28u * count + i] = row4[4];
  v[29u * count + i] = row4[5];
  v[30u * count + i] = row5[0];
  v[31u * count + i] = row5[1];
  v[32u * count + i] = row5[2];
  v[33u * count + i] = row5[3];
  v[34u * count + i] = row5[4];
  v[35u * count + i] = row5[5];
}
