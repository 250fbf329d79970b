// conv2d/naive 3x3: a 3×3 convolution of 320 channels with bias. Storage f16; 5120 × 1 × 1 workgroups.
enable f16;
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

struct Row { base: i32, iy: i32, ix: i32, pixel: u32 }
struct Source { pixel: u32, is_within: bool }
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn locate(row: u32, phase: u32) -> Row {
  let line = row / params.grid_width;
  let ox = row - line * params.grid_width;
  let image = line / params.grid_height;
  let oy = line - image * params.grid_height;
  return Row(i32(image) * params.in_height, i32(oy) * params.stride - pad_top(phase), i32(ox) * params.stride - pad_left(phase), row);
}
fn tap_quads(tap: u32) -> u32 { return k_quads(); }
fn at_tap(row: Row, tap: u32) -> Source {

  let iy = row.iy + i32(tap / params.kernel_width);
  let ix = row.ix + i32(tap % params.kernel_width);
  let is_within = iy >= 0 && ix >= 0 && iy < params.in_height && ix < params.in_width;
  return Source(u32((row.base + iy) * params.in_width + ix), is_within);
}
fn load_tap(source: Source, tap: u32, k: u32) -> vec4<f32> {
  if (!source.is_within) { return vec4<f32>(0.0); }

  return load_x(source.pixel, k);
}

const INVOCATIONS: u32 = 64u;

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * INVOCATIONS + local;
  if (index >= params.rows * params.column_quads) { return; }
  let row = index / params.column_quads;
  let nq = index % params.column_quads;
  let source_row = locate(row, group.z);
  let first_tap = group.z * params.taps;
  var sum = vec4<f32>(0.0);
  for (var tap = 0u; tap < params.taps; tap++) {
    let source = at_tap(source_row, tap);
    for (var k = 0u; k < tap_quads(tap); k++) {
      let a = load_tap(source, tap, k);
      let w = (((first_tap + tap) * k_quads() + k) * params.column_quads + nq) * 4u;
      sum += a.x * unpack(weight[w]) + a.y * unpack(weight[w + 1u]) + a.z * unpack(weight[w + 2u]) + a.w * unpack(weight[w + 3u]);
    }
  }
  finish(sum, output_row(row, group.z), nq);
}
