// linear/register-8x2 int4: a layer of 320 channels with bias, for 4096 tokens, whose weight is int4. Storage f16; 320 × 1 × 1 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x0: array<Quad>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> channel_add: array<Quad>;
@group(0) @binding(4) var<storage, read> residual: array<Quad>;
@group(0) @binding(5) var<storage, read_write> y: array<Quad>;
struct Params {
  rows: u32,
  in_quads0: u32,
  in_quads1: u32,
  column_quads: u32,
  out_quads: u32,
  rows_per_image: u32,
  scales_at: u32,
  scale_rows: u32,
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
@group(0) @binding(6) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> { return v; }

fn load_stored(row: u32, k: u32) -> vec4<f32> {
  return unpack(x0[row * params.in_quads0 + k]);
}

fn load_x(row: u32, k: u32) -> vec4<f32> {
  return normalised(load_stored(row, k), k);
}
const OFFSET = 8.0;
fn stored(at: u32) -> vec4<f32> {
  let quad = weight[at >> 1u] >> (16u * (at & 1u));
  return vec4<f32>((vec4<u32>(quad) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}
const SCALE_QUADS = 8u;
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
}

fn finish(sum: vec4<f32>, row: u32, nq: u32) -> vec4<f32> {
  var v = sum + bias[nq];
  for (var turn = 0u; turn < params.has_channel_add; turn++) {
    let image = row / params.rows_per_image;
    v = v + unpack(channel_add[image * params.channel_add_quads + params.channel_add_first + nq]);
  }
  if (params.has_relu != 0u) { v = max(v, vec4<f32>(0.0)); }
  for (var turn = 0u; turn < params.has_sigmoid; turn++) {
    v = v / (vec4<f32>(1.0) + exp(min(-params.sigmoid_scale * v, vec4<f32>(80.0))));
  }
  for (var turn = 0u; turn < params.has_residual; turn++) {
    v = v + unpack(residual[row * params.out_quads + nq]);
  }
  let stored = pack(v);
  y[row * params.out_quads + nq] = stored;
  return unpack(stored);
}

const ROWS: u32 = 8u;
const INVOCATIONS: u32 = 64u;
const QUADS: u32 = 2u;
const OFFSETS = vec4<f32>(8.0);
const PLACES = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
fn placed(at: u32) -> vec4<f32> {
  let quad = weight[at >> 1u] >> (16u * (at & 1u));
  return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(quad) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)));
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let blocks = (params.rows + (ROWS - 1u)) / ROWS;
  let index = flat_group(group, counts) * INVOCATIONS + local;
  let block = index % blocks;
  let is_block = true;
  let nq0 = (index / blocks) * QUADS;
  if (nq0 >= params.column_quads) { return; }
  let column0 = min(nq0 + 0u, params.column_quads - 1u);
  let column1 = min(nq0 + 1u, params.column_quads - 1u);
  let begin = 0u;
  let first_row = begin + block * ROWS;
  let last_row = begin + params.rows - 1u;
  let k_quads = params.in_quads0 + params.in_quads1;
  var acc0_0 = vec4<f32>(0.0);
  var acc0_1 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc1_1 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc2_1 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  var acc3_1 = vec4<f32>(0.0);
  var acc4_0 = vec4<f32>(0.0);
  var acc4_1 = vec4<f32>(0.0);
  var acc5_0 = vec4<f32>(0.0);
  var acc5_1 = vec4<f32>(0.0);
  var acc6_0 = vec4<f32>(0.0);
  var acc6_1 = vec4<f32>(0.0);
  var acc7_0 = vec4<f32>(0.0);
  var acc7_1 = vec4<f32>(0.0);
  let count = k_quads;
  for (var k0 = 0u; k0 < count; k0 += SCALE_QUADS) {
    let tap0_own = weight_scale(0u, k0, column0);
    let tap0_scale = tap0_own * PLACES;
    let tap0_zero = tap0_own * OFFSETS;

    let tap1_own = weight_scale(0u, k0, column1);
    let tap1_scale = tap1_own * PLACES;
    let tap1_zero = tap1_own * OFFSETS;

    let end_k = min(k0 + SCALE_QUADS, count);
    for (var k = k0; k < end_k; k++) {
      let a0 = load_x(min(first_row + 0u, last_row), k);
      let a1 = load_x(min(first_row + 1u, last_row), k);
      let a2 = load_x(min(first_row + 2u, last_row), k);
      let a3 = load_x(min(first_row + 3u, last_row), k);
      let a4 = load_x(min(first_row + 4u, last_row), k);
      let a5 = load_x(min(first_row + 5u, last_row), k);
      let a6 = load_x(min(first_row + 6u, last_row), k);
      let a7 = load_x(min(first_row + 7u, last_row), k);
      {
        let at = ((k) * params.column_quads + column0) * 4u;
        let scale = tap0_scale;
        let zero = tap0_zero;
        let w = mat4x4<f32>(
          placed(at) * scale - zero,
          placed(at + 1u) * scale - zero,
          placed(at + 2u) * scale - zero,
          placed(at + 3u) * scale - zero,
        );
        acc0_0 += w * a0;
        acc1_0 += w * a1;
        acc2_0 += w * a2;
        acc3_0 += w * a3;
        acc4_0 += w * a4;
        acc5_0 += w * a5;
        acc6_0 += w * a6;
        acc7_0 += w * a7;
      }
      {
        let at = ((k) * params.column_quads + column1) * 4u;
        let scale = tap1_scale;
        let zero = tap1_zero;
        let w = mat4x4<f32>(
          placed(at) * scale - zero,
          placed(at + 1u) * scale - zero,
          placed(at + 2u) * scale - zero,
          placed(at + 3u) * scale - zero,
        );
        acc0_1 += w * a0;
        acc1_1 += w * a1;
        acc2_1 += w * a2;
        acc3_1 += w * a3;
        acc4_1 += w * a4;
        acc5_1 += w * a5;
        acc6_1 += w * a6;
        acc7_1 += w * a7;
      }
    }
  }
  var sums = array<vec4<f32>, 16>(acc0_0,
    acc0_1,
    acc1_0,
    acc1_1,
    acc2_0,
    acc2_1,
    acc3_0,
    acc3_1,
    acc4_0,
    acc4_1,
    acc5_0,
    acc5_1,
    acc6_0,
    acc6_1,
    acc7_0,
    acc7_1,);
  let rows = select(0u, ROWS, is_block);
  for (var r = 0u; r < rows && first_row + r <= last_row; r++) {
    let row = first_row + r;
    for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q++) {
      finish(sums[r * QUADS + q], row, nq0 + q);
    }
  }
}
