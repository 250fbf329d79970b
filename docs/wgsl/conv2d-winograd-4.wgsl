// conv2d/winograd 3x3 output: a 3×3 convolution of 320 channels with bias. Storage f16; 320 × 1 × 1 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> m: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> channel_add: array<Quad>;
@group(0) @binding(3) var<storage, read> residual: array<Quad>;
@group(0) @binding(4) var<storage, read_write> y: array<Quad>;
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
@group(0) @binding(5) var<uniform> params: Params;
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

fn finish(sum: Values, row: u32, nq: u32) -> Values {
  var v = sum + bias[nq];
  for (var turn = 0u; turn < params.has_channel_add; turn++) {
    let image = row / params.rows_per_image;
    v = v + unpack(channel_add[image * params.channel_add_quads + params.channel_add_first + nq]);
  }
  if (params.has_relu != 0u) { v = max(v, Values(0.0)); }
  for (var turn = 0u; turn < params.has_sigmoid; turn++) {
    v = v / (Values(1.0) + exp(min(-params.sigmoid_scale * v, Values(80.0))));
  }
  for (var turn = 0u; turn < params.has_residual; turn++) {
    v = v + unpack(residual[row * params.out_quads + nq]);
  }
  let stored = pack(v);
  y[row * params.out_quads + nq] = stored;
  return unpack(stored);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * INVOCATIONS + local;
  let count = params.rows * params.out_quads;
  if (i >= count) { return; }
  let nq = i % params.out_quads;
  let tile = i / params.out_quads;
  let line0 = (params.first_line + tile / params.columns) * TILE;
  let x0 = (tile % params.columns) * TILE;
  let column0 = outputs_of(m[0u * count + i], m[6u * count + i], m[12u * count + i], m[18u * count + i], m[24u * count + i], m[30u * count + i]);
  let column1 = outputs_of(m[1u * count + i], m[7u * count + i], m[13u * count + i], m[19u * count + i], m[25u * count + i], m[31u * count + i]);
  let column2 = outputs_of(m[2u * count + i], m[8u * count + i], m[14u * count + i], m[20u * count + i], m[26u * count + i], m[32u * count + i]);
  let column3 = outputs_of(m[3u * count + i], m[9u * count + i], m[15u * count + i], m[21u * count + i], m[27u * count + i], m[33u * count + i]);
  let column4 = outputs_of(m[4u * count + i], m[10u * count + i], m[16u * count + i], m[22u * count + i], m[28u * count + i], m[34u * count + i]);
  let column5 = outputs_of(m[5u * count + i], m[11u * count + i], m[17u * count + i], m[23u * count + i], m[29u * count + i], m[35u * count + i]);
  var outputs = array<array<Values, TILE>, TILE>(outputs_of(column0[0], column1[0], column2[0], column3[0], column4[0], column5[0]), outputs_of(column0[1], column1[1], column2[1], column3[1], column4[1], column5[1]), outputs_of(column0[2], column1[2], column2[2], column3[2], column4[2], column5[2]), outputs_of(column0[3], column1[3], column2[3], column3[3], column4[3], column5[3]));
  for (var line = line0; line < min(line0 + TILE, params.height); line++) {
    for (var x = x0; x < min(x0 + TILE, params.width); x++) {
      finish(outputs[line - line0][x - x0], (params.image * params.height + line) * params.width + x, nq);
    }
  }
}
