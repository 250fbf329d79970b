// conv2d/register-8x2 3x3: a 3×3 convolution of 320 channels with bias. Storage f16; 2560 × 1 × 1 workgroups.
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
  shortcut_quads0: u32,
  shortcut_quads1: u32,
  column_quads: u32,
  out_quads: u32,
  rows_per_image: u32,
  batch: u32,
  taps: u32,
  kernel_width: u32,
  in_height: i32,
  in_width: i32,
  grid_height: u32,
  grid_width: u32,
  step: u32,
  stride: i32,
  pad_top: i32,
  pad_left: i32,
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

fn pad_top(phase: u32) -> i32 { return params.pad_top - i32(phase >> 1u); }
fn pad_left(phase: u32) -> i32 { return params.pad_left - i32(phase & 1u); }
fn output_row(row: u32, phase: u32) -> u32 {
  let line = row / params.grid_width; // over all images
  let x = row - line * params.grid_width;
  return ((line * params.step + (phase >> 1u)) * params.grid_width + x) * params.step + (phase & 1u);
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

const KERNEL_HEIGHT: u32 = 3u;
const KERNEL_WIDTH: u32 = 3u;
const PIXELS: u32 = 8u;

fn load_at(line: i32, is_line: bool, ix: i32, k: u32) -> vec4<f32> {
  let v = load_x(u32(line + clamp(ix, 0, params.in_width - 1)), k);
  return select(vec4<f32>(0.0), v, is_line & (ix >= 0) & (ix < params.in_width));
}
const INVOCATIONS: u32 = 8u;
const QUADS: u32 = 2u;

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = ((params.grid_width + (PIXELS - 1u)) / PIXELS) * params.grid_height * params.batch;
  let groups = (blocks + (INVOCATIONS - 1u)) / INVOCATIONS;
  let index = flat_group(group, counts);
  let own_block = (index % groups) * INVOCATIONS + local;
  let block = min(own_block, blocks - 1u);
  let is_block = own_block < blocks;
  let nq0 = (index / groups) * QUADS;
  if (nq0 >= params.column_quads) { return; }
  let column0 = min(nq0 + 0u, params.column_quads - 1u);
  let column1 = min(nq0 + 1u, params.column_quads - 1u);
  let phase = group.z;
  let first_tap = phase * (KERNEL_HEIGHT * KERNEL_WIDTH);
  let x_blocks = ((params.grid_width + (PIXELS - 1u)) / PIXELS);
  let ox0 = (block % x_blocks) * PIXELS;
  let oy = (block / x_blocks) % params.grid_height;
  let image = block / (x_blocks * params.grid_height);
  let ix0 = i32(ox0) * params.stride - pad_left(phase);
  let iy0 = i32(oy) * params.stride - pad_top(phase);
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
  for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
    let iy = iy0 + i32(ky);
    let is_line = iy >= 0 && iy < params.in_height;
    let line = (i32(image) * params.in_height + clamp(iy, 0, params.in_height - 1)) * params.in_width;
    let count = k_quads;
    for (var k = 0u; k < count; k++) {
      let a0 = load_at(line, is_line, ix0 + 0, k);
      let a1 = load_at(line, is_line, ix0 + 1, k);
      let a2 = load_at(line, is_line, ix0 + 2, k);
      let a3 = load_at(line, is_line, ix0 + 3, k);
      let a4 = load_at(line, is_line, ix0 + 4, k);
      let a5 = load_at(line, is_line, ix0 + 5, k);
      let a6 = load_at(line, is_line, ix0 + 6, k);
      let a7 = load_at(line, is_line, ix0 + 7, k);
      let a8 = load_at(line, is_line, ix0 + 8, k);
      let a9 = load_at(line, is_line, ix0 + 9, k);
      {
        let at = (((first_tap + ky * KERNEL_WIDTH + 0u) * k_quads + k) * params.column_quads + column0) * 4u;
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
        let at = (((first_tap + ky * KERNEL_WIDTH + 0u) * k_quads + k) * params.column_quads + column1) * 4u;
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
        let at = (((first_tap + ky * KERNEL_WIDTH + 1u) * k_quads + k) * params.column_quads + column0) * 4u;
        let own = unpack(weight[at + (lane & 3u)]);
        let w = mat4x4<f32>(
          subgroupBroadcast(own, 0u),
          subgroupBroadcast(own, 1u),
          subgroupBroadcast(own, 2u),
          subgroupBroadcast(own, 3u),
        );
        acc0_0 += w * a1;
        acc1_0 += w * a2;
        acc2_0 += w * a3;
        acc3_0 += w * a4;
        acc4_0 += w * a5;
        acc5_0 += w * a6;
        acc6_0 += w * a7;
        acc7_0 += w * a8;
      }
      {
        let at = (((first_tap + ky * KERNEL_WIDTH + 1u) * k_quads + k) * params.column_quads + column1) * 4u;
        let own = unpack(weight[at + (lane & 3u)]);
        let w = mat4x4<f32>(
          subgroupBroadcast(own, 0u),
          subgroupBroadcast(own, 1u),
          subgroupBroadcast(own, 2u),
          subgroupBroadcast(own, 3u),
        );
        acc0_1 += w * a1;
        acc1_1 += w * a2;
        acc2_1 += w * a3;
        acc3_1 += w * a4;
        acc4_1 += w * a5;
        acc5_1 += w * a6;
        acc6_1 += w * a7;
        acc7_1 += w * a8;
      }
      {
        let at = (((first_tap + ky * KERNEL_WIDTH + 2u) * k_quads + k) * params.column_quads + column0) * 4u;
        let own = unpack(weight[at + (lane & 3u)]);
        let w = mat4x4<f32>(
          subgroupBroadcast(own, 0u),
          subgroupBroadcast(own, 1u),
          subgroupBroadcast(own, 2u),
          subgroupBroadcast(own, 3u),
        );
        acc0_0 += w * a2;
        acc1_0 += w * a3;
        acc2_0 += w * a4;
        acc3_0 += w * a5;
        acc4_0 += w * a6;
        acc5_0 += w * a7;
        acc6_0 += w * a8;
        acc7_0 += w * a9;
      }
      {
        let at = (((first_tap + ky * KERNEL_WIDTH + 2u) * k_quads + k) * params.column_quads + column1) * 4u;
        let own = unpack(weight[at + (lane & 3u)]);
        let w = mat4x4<f32>(
          subgroupBroadcast(own, 0u),
          subgroupBroadcast(own, 1u),
          subgroupBroadcast(own, 2u),
          subgroupBroadcast(own, 3u),
        );
        acc0_1 += w * a2;
        acc1_1 += w * a3;
        acc2_1 += w * a4;
        acc3_1 += w * a5;
        acc4_1 += w * a6;
        acc5_1 += w * a7;
        acc6_1 += w * a8;
        acc7_1 += w * a9;
      }
    }
  }
  let grid_row0 = (image * params.grid_height + oy) * params.grid_width + ox0;

  let row0 = output_row(grid_row0, phase);
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
  let end = select(0u, params.grid_width, is_block);
  for (var r = 0u; r < PIXELS && ox0 + r < end; r++) {
    for (var q = 0u; q < QUADS && nq0 + q < params.column_quads; q++) {
      finish(sums[r * QUADS + q], row0 + r * params.step, nq0 + q);
    }
  }
}
