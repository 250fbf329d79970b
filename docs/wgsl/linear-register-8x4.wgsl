// linear/register-8x4: a layer of 320 channels with bias, for 4096 tokens. Storage f16; 1280 × 1 × 1 workgroups.
enable f16;
enable subgroups;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x0: array<Quad>;
@group(0) @binding(1) var<storage, read> weight: array<Quad>;
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
const INVOCATIONS: u32 = 8u;
const QUADS: u32 = 4u;

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (params.rows + (ROWS - 1u)) / ROWS;
  let groups = (blocks + (INVOCATIONS - 1u)) / INVOCATIONS;
  let index = flat_group(group, counts);
  let own_block = (index % groups) * INVOCATIONS + local;
  let block = min(own_block, blocks - 1u);
  let is_block = own_block < blocks;
  let nq0 = (index / groups) * QUADS;
  if (nq0 >= params.column_quads) { return; }
  let column0 = min(nq0 + 0u, params.column_quads - 1u);
  let column1 = min(nq0 + 1u, params.column_quads - 1u);
  let column2 = min(nq0 + 2u, params.column_quads - 1u);
  let column3 = min(nq0 + 3u, params.column_quads - 1u);
  let begin = 0u;
  let first_row = begin + block * ROWS;
  let last_row = begin + params.rows - 1u;
  let k_quads = params.in_quads0 + params.in_quads1;
  var acc0_0 = vec4<f32>(0.0);
  var acc0_1 = vec4<f32>(0.0);
  var acc0_2 = vec4<f32>(0.0);
  var acc0_3 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc1_1 = vec4<f32>(0.0);
  var acc1_2 = vec4<f32>(0.0);
  var acc1_3 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc2_1 = vec4<f32>(0.0);
  var acc2_2 = vec4<f32>(0.0);
  var acc2_3 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  var acc3_1 = vec4<f32>(0.0);
  var acc3_2 = vec4<f32>(0.0);
  var acc3_3 = vec4<f32>(0.0);
  var acc4_0 = vec4<f32>(0.0);
  var acc4_1 = vec4<f32>(0.0);
  var acc4_2 = vec4<f32>(0.0);
  var acc4_3 = vec4<f32>(0.0);
  var acc5_0 = vec4<f32>(0.0);
  var acc5_1 = vec4<f32>(0.0);
  var acc5_2 = vec4<f32>(0.0);
  var acc5_3 = vec4<f32>(0.0);
  var acc6_0 = vec4<f32>(0.0);
  var acc6_1 = vec4<f32>(0.0);
  var acc6_2 = vec4<f32>(0.0);
  var acc6_3 = vec4<f32>(0.0);
  var acc7_0 = vec4<f32>(0.0);
  var acc7_1 = vec4<f32>(0.0);
  var acc7_2 = vec4<f32>(0.0);
  var acc7_3 = vec4<f32>(0.0);
  let count = k_quads;
  for (var k = 0u; k < count; k++) {
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
      let own = unpack(weight[at + (lane & 3u)]);
      let w = mat4x4<f32>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
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
      let own = unpack(weight[at + (lane & 3u)]);
      let w = mat4x4<f32>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
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
    {
      let at = ((k) * params.column_quads + column2) * 4u;
      let own = unpack(weight[at + (lane & 3u)]);
      let w = mat4x4<f32>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
      );
      acc0_2 += w * a0;
      acc1_2 += w * a1;
      acc2_2 += w * a2;
      acc3_2 += w * a3;
      acc4_2 += w * a4;
      acc5_2 += w * a5;
      acc6_2 += w * a6;
      acc7_2 += w * a7;
    }
    {
      let at = ((k) * params.column_quads + column3) * 4u;
      let own = unpack(weight[at + (lane & 3u)]);
      let w = mat4x4<f32>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
      );
      acc0_3 += w * a0;
      acc1_3 += w * a1;
      acc2_3 += w * a2;
      acc3_3 += w * a3;
      acc4_3 += w * a4;
      acc5_3 += w * a5;
      acc6_3 += w * a6;
      acc7_3 += w * a7;
    }
  }
  var sums = array<vec4<f32>, 32>(acc0_0,
    acc0_1,
    acc0_2,
    acc0_3,
    acc1_0,
    acc1_1,
    acc1_2,
    acc1_3,
    acc2_0,
    acc2_1,
    acc2_2,
    acc2_3,
    acc3_0,
    acc3_1,
    acc3_2,
    acc3_3,
    acc4_0,
    acc4_1,
    acc4_2,
    acc4_3,
    acc5_0,
    acc5_1,
    acc5_2,
    acc5_3,
    acc6_0,
    acc6_1,
    acc6_2,
    acc6_3,
    acc7_0,
    acc7_1,
    acc7_2,
    acc7_3,);
  let rows = select(0u, ROWS, is_block);
  for (var r = 0u; r < rows && first_row + r <= last_row; r++) {
    let row = first_row + r;
    for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q++) {
      finish(sums[r * QUADS + q], row, nq0 + q);
    }
  }
}
