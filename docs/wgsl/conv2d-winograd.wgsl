// conv2d/winograd 3x3 weights: a 3×3 convolution of 320 channels with bias. Storage f16; 400 × 1 × 1 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> weight: array<Quad>;
@group(0) @binding(1) var<storage, read_write> u: array<vec4<f32>>;
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

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * INVOCATIONS + local;
  let count = params.weight_lanes;
  if (i >= count) { return; }
  let column0 = factored_points(unpack(weight[0u * count + i]), unpack(weight[3u * count + i]), unpack(weight[6u * count + i]));
  let column1 = factored_points(unpack(weight[1u * count + i]), unpack(weight[4u * count + i]), unpack(weight[7u * count + i]));
  let column2 = factored_points(unpack(weight[2u * count + i]), unpack(weight[5u * count + i]), unpack(weight[8u * count + i]));
  let row0 = factored_points(column0[0], column1[0], column2[0]);
  let row1 = factored_points(column0[1], column1[1], column2[1]);
  let row2 = factored_points(column0[2], column1[2], column2[2]);
  let row3 = factored_points(column0[3], column1[3], column2[3]);
  let row4 = factored_points(column0[4], column1[4], column2[4]);
  let row5 = factored_points(column0[5], column1[5], column2[5]);
  u[0u * count + i] = row0[0];
  u[1u * count + i] = row0[1];
  u[2u * count + i] = row0[2];
  u[3u * count + i] = row0[3];
  u[4u * count + i] = row0[4];
  u[5u * count + i] = row0[5];
  u[6u * count + i] = row1[0];
  u[7u * count + i] = row1[1];
  u[8u * count + i] = row1[2];
  u[9u * count + i] = row1[3];
  u[10u * count + i] = row1[4];
  u[11u * count + i] = row1[5];
  u[12u * count + i] = row2[0];
  u[13u * count + i] = row2[1];
  u[14u * count + i] = row2[2];
  u[15u * count + i] = row2[3];
  u[16u * count + i] = row2[4];
  u[17u * count + i] = row2[5];
  u[18u * count + i] = row3[0];
  u[19u * count + i] = row3[1];
  u[20u * count + i] = row3[2];
  u[21u * count + i] = row3[3];
  u[22u * count + i] = row3[4];
  u[23u * count + i] = row3[5];
  u[24u * count + i] = row4[0];
  u[25u * count + i] = row4[1];
  u[26u * count + i] = row4[2];
  u[27u * count + i] = row4[3];
  u[28u * count + i] = row4[4];
  u[29u * count + i] = row4[5];
  u[30u * count + i] = row5[0];
  u[31u * count + i] = row5[1];
  u[32u * count + i] = row5[2];
  u[33u * count + i] = row5[3];
  u[34u * count + i] = row5[4];
  u[35u * count + i] = row5[5];
}
