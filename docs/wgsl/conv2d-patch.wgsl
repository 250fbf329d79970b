// conv2d/patch 3x3 norm stats: a 3×3 convolution of 320 channels with bias, a GroupNorm with SiLU in its loads, statistics in its epilogue. Storage f16; 160 × 1 × 1 workgroups.
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
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<Quad>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;
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
@group(0) @binding(8) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn activate_input(x: vec4<f32>) -> vec4<f32> {
  return x / (vec4<f32>(1.0) + exp(min(-x, vec4<f32>(80.0))));
}

fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> {
  let a = norm[k];
  let b = norm[params.in_quads0 + params.in_quads1 + k];
  return activate_input(a * v + b);
}

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

const INVOCATIONS: u32 = 128u;
const TILE_WIDTH: u32 = 16u;
const TILE_HEIGHT: u32 = 8u;
const COLUMN_QUADS: u32 = 16u;
const K_QUADS: u32 = 4u;
const LANES_ACROSS: u32 = 8u;
const TAPS: u32 = 9u;
const KERNEL_WIDTH: u32 = 3u;
const PATCH_WIDTH: u32 = 18u;
const PATCH_PIXELS: u32 = 180u;
var<workgroup> patch_a: array<vec4<f32>, K_QUADS * PATCH_PIXELS>; // [quad][row][column]
var<workgroup> tile_w: array<vec4<f32>, K_QUADS * 4u * COLUMN_QUADS>; // [channel][column quad]
fn exchange_set(at: u32, v: vec4<f32>) { patch_a[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return patch_a[at]; }

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts);
  let phase = group.z;
  let tiles_x = (params.grid_width + (TILE_WIDTH - 1u)) / TILE_WIDTH;
  let tiles_y = (params.grid_height + (TILE_HEIGHT - 1u)) / TILE_HEIGHT;
  let tiles = tiles_x * tiles_y * params.batch;
  let nq0 = (index / tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group

  let tile = index % tiles;
  let ox0 = (tile % tiles_x) * TILE_WIDTH;
  let oy0 = ((tile / tiles_x) % tiles_y) * TILE_HEIGHT;
  let image = tile / (tiles_x * tiles_y);
  let first_row = (image * params.grid_height + oy0) * params.grid_width + ox0;
  let ix0 = i32(ox0) - pad_left(phase);
  let iy0 = i32(oy0) - pad_top(phase);
  let my_x = local / LANES_ACROSS;
  let my_quad = local % LANES_ACROSS;
  let first_tap = phase * TAPS;
  let quads_in = params.in_quads0 + params.in_quads1;
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
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    for (var i = local; i < K_QUADS * PATCH_PIXELS; i += INVOCATIONS) {
      let k = i % K_QUADS;
      let pixel = i / K_QUADS;
      let iy = iy0 + i32(pixel / PATCH_WIDTH);
      let ix = ix0 + i32(pixel % PATCH_WIDTH);
      var a = vec4<f32>(0.0);
      if (k0 + k < quads_in && iy >= 0 && ix >= 0 && iy < params.in_height && ix < params.in_width) {
        a = load_x(u32((i32(image) * params.in_height + iy) * params.in_width + ix), k0 + k);
      }
      patch_a[k * PATCH_PIXELS + pixel] = a;
    }
    for (var tap = 0u; tap < TAPS; tap++) {
      let shift = (tap / KERNEL_WIDTH) * PATCH_WIDTH + tap % KERNEL_WIDTH;
      for (var slot = local; slot < K_QUADS * 4u * COLUMN_QUADS; slot += INVOCATIONS) {
        let lane = slot / COLUMN_QUADS; // channel within the K step
        let k = k0 + lane / 4u;
        let nq = nq0 + slot % COLUMN_QUADS;
        var w = vec4<f32>(0.0);
        if (k < quads_in && nq < params.column_quads) {
          w = unpack(weight[(((first_tap + tap) * quads_in + k) * params.column_quads + nq) * 4u + lane % 4u]);
        }
        tile_w[slot] = w;
      }
      workgroupBarrier();
      for (var k = 0u; k < K_QUADS; k++) {
        let first = k * PATCH_PIXELS + shift + my_x;
        let a0 = patch_a[first + 0u];
        let a1 = patch_a[first + 18u];
        let a2 = patch_a[first + 36u];
        let a3 = patch_a[first + 54u];
        let a4 = patch_a[first + 72u];
        let a5 = patch_a[first + 90u];
        let a6 = patch_a[first + 108u];
        let a7 = patch_a[first + 126u];
        {
          let at = k * (4u * COLUMN_QUADS) + my_quad + 0u;
          let w0 = tile_w[at];
          let w1 = tile_w[at + COLUMN_QUADS];
          let w2 = tile_w[at + 2u * COLUMN_QUADS];
          let w3 = tile_w[at + 3u * COLUMN_QUADS];
          acc0_0 += a0.x * w0 + a0.y * w1 + a0.z * w2 + a0.w * w3;
          acc1_0 += a1.x * w0 + a1.y * w1 + a1.z * w2 + a1.w * w3;
          acc2_0 += a2.x * w0 + a2.y * w1 + a2.z * w2 + a2.w * w3;
          acc3_0 += a3.x * w0 + a3.y * w1 + a3.z * w2 + a3.w * w3;
          acc4_0 += a4.x * w0 + a4.y * w1 + a4.z * w2 + a4.w * w3;
          acc5_0 += a5.x * w0 + a5.y * w1 + a5.z * w2 + a5.w * w3;
          acc6_0 += a6.x * w0 + a6.y * w1 + a6.z * w2 + a6.w * w3;
          acc7_0 += a7.x * w0 + a7.y * w1 + a7.z * w2 + a7.w * w3;
        }
        {
          let at = k * (4u * COLUMN_QUADS) + my_quad + 8u;
          let w0 = tile_w[at];
          let w1 = tile_w[at + COLUMN_QUADS];
          let w2 = tile_w[at + 2u * COLUMN_QUADS];
          let w3 = tile_w[at + 3u * COLUMN_QUADS];
          acc0_1 += a0.x * w0 + a0.y * w1 + a0.z * w2 + a0.w * w3;
          acc1_1 += a1.x * w0 + a1.y * w1 + a1.z * w2 + a1.w * w3;
          acc2_1 += a2.x * w0 + a2.y * w1 + a2.z * w2 + a2.w * w3;
          acc3_1 += a3.x * w0 + a3.y * w1 + a3.z * w2 + a3.w * w3;
          acc4_1 += a4.x * w0 + a4.y * w1 + a4.z * w2 + a4.w * w3;
          acc5_1 += a5.x * w0 + a5.y * w1 + a5.z * w2 + a5.w * w3;
          acc6_1 += a6.x * w0 + a6.y * w1 + a6.z * w2 + a6.w * w3;
          acc7_1 += a7.x * w0 + a7.y * w1 + a7.z * w2 + a7.w * w3;
        }
      }
      workgroupBarrier();
    }
  }

  let my_rows = min(TILE_HEIGHT, params.grid_height - oy0);
  let my_bands = min(TILE_WIDTH, params.grid_width - ox0);
  var m2_0 = vec4<f32>(0.0);
  var m2_1 = vec4<f32>(0.0);
  if (nq0 + my_quad + 0u < params.column_quads && my_x < min(TILE_WIDTH, params.grid_width - ox0)) {
    var v0 = vec4<f32>(0.0); if (0u < my_rows) { v0 = finish(acc0_0, output_row(first_row + 0u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v1 = vec4<f32>(0.0); if (1u < my_rows) { v1 = finish(acc1_0, output_row(first_row + 1u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v2 = vec4<f32>(0.0); if (2u < my_rows) { v2 = finish(acc2_0, output_row(first_row + 2u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v3 = vec4<f32>(0.0); if (3u < my_rows) { v3 = finish(acc3_0, output_row(first_row + 3u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v4 = vec4<f32>(0.0); if (4u < my_rows) { v4 = finish(acc4_0, output_row(first_row + 4u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v5 = vec4<f32>(0.0); if (5u < my_rows) { v5 = finish(acc5_0, output_row(first_row + 5u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v6 = vec4<f32>(0.0); if (6u < my_rows) { v6 = finish(acc6_0, output_row(first_row + 6u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    var v7 = vec4<f32>(0.0); if (7u < my_rows) { v7 = finish(acc7_0, output_row(first_row + 7u * params.grid_width + my_x, phase), nq0 + my_quad + 0u); }
    let mean = (((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))) / f32(my_rows);
    let d0 = select(vec4<f32>(0.0), v0 - mean, 0u < my_rows);
    let d1 = select(vec4<f32>(0.0), v1 - mean, 1u < my_rows);
    let d2 = select(vec4<f32>(0.0), v2 - mean, 2u < my_rows);
    let d3 = select(vec4<f32>(0.0), v3 - mean, 3u < my_rows);
    let d4 = select(vec4<f32>(0.0), v4 - mean, 4u < my_rows);
    let d5 = select(vec4<f32>(0.0), v5 - mean, 5u < my_rows);
    let d6 = select(vec4<f32>(0.0), v6 - mean, 6u < my_rows);
    let d7 = select(vec4<f32>(0.0), v7 - mean, 7u < my_rows);
    exchange_set((my_x) * COLUMN_QUADS + my_quad + 0u, mean);
    m2_0 = (((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7)));
  }
  if (nq0 + my_quad + 8u < params.column_quads && my_x < min(TILE_WIDTH, params.grid_width - ox0)) {
    var v0 = vec4<f32>(0.0); if (0u < my_rows) { v0 = finish(acc0_1, output_row(first_row + 0u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v1 = vec4<f32>(0.0); if (1u < my_rows) { v1 = finish(acc1_1, output_row(first_row + 1u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v2 = vec4<f32>(0.0); if (2u < my_rows) { v2 = finish(acc2_1, output_row(first_row + 2u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v3 = vec4<f32>(0.0); if (3u < my_rows) { v3 = finish(acc3_1, output_row(first_row + 3u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v4 = vec4<f32>(0.0); if (4u < my_rows) { v4 = finish(acc4_1, output_row(first_row + 4u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v5 = vec4<f32>(0.0); if (5u < my_rows) { v5 = finish(acc5_1, output_row(first_row + 5u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v6 = vec4<f32>(0.0); if (6u < my_rows) { v6 = finish(acc6_1, output_row(first_row + 6u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    var v7 = vec4<f32>(0.0); if (7u < my_rows) { v7 = finish(acc7_1, output_row(first_row + 7u * params.grid_width + my_x, phase), nq0 + my_quad + 8u); }
    let mean = (((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))) / f32(my_rows);
    let d0 = select(vec4<f32>(0.0), v0 - mean, 0u < my_rows);
    let d1 = select(vec4<f32>(0.0), v1 - mean, 1u < my_rows);
    let d2 = select(vec4<f32>(0.0), v2 - mean, 2u < my_rows);
    let d3 = select(vec4<f32>(0.0), v3 - mean, 3u < my_rows);
    let d4 = select(vec4<f32>(0.0), v4 - mean, 4u < my_rows);
    let d5 = select(vec4<f32>(0.0), v5 - mean, 5u < my_rows);
    let d6 = select(vec4<f32>(0.0), v6 - mean, 6u < my_rows);
    let d7 = select(vec4<f32>(0.0), v7 - mean, 7u < my_rows);
    exchange_set((my_x) * COLUMN_QUADS + my_quad + 8u, mean);
    m2_1 = (((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7)));
  }
  workgroupBarrier();
  let column = nq0 + local;
  let merges = local < COLUMN_QUADS && column < params.column_quads;
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  if (merges) {
    for (var i = 0u; i < my_bands; i++) { mean += exchange_get(i * COLUMN_QUADS + local); }
    mean /= f32(my_bands);
    for (var i = 0u; i < my_bands; i++) {
      let delta = exchange_get(i * COLUMN_QUADS + local) - mean;
      m2 += f32(my_rows) * delta * delta;
    }
  }
  workgroupBarrier();
  exchange_set((my_x) * COLUMN_QUADS + my_quad + 0u, m2_0);
  exchange_set((my_x) * COLUMN_QUADS + my_quad + 8u, m2_1);
  workgroupBarrier();
  if (merges) {
    for (var i = 0u; i < my_bands; i++) { m2 += exchange_get(i * COLUMN_QUADS + local); }
    // Entries of 4, 2 or 1 channels: Chan's formula once more, for columns of one size.
    let values = f32(my_rows * my_bands);
    let quad = (phase * tiles + tile) * params.column_quads + column;
    if (params.channels_per_entry == 4u) {
      let d = mean - dot(mean, vec4<f32>(0.25));
      let at = params.stats_first + quad * 2u;
      stats[at] = dot(mean, vec4<f32>(0.25));
      stats[at + 1u] = dot(m2 + values * (d * d), vec4<f32>(1.0));
    } else if (params.channels_per_entry == 2u) {
      let pairs = 0.5 * (mean.xz + mean.yw);
      let d = mean.xz - pairs;
      let at = params.stats_first + quad * 4u;
      stats[at] = pairs.x;
      stats[at + 1u] = pairs.y;
      let m = m2.xz + m2.yw + 2.0 * values * (d * d);
      stats[at + 2u] = m.x;
      stats[at + 3u] = m.y;
    } else {
      let at = params.stats_first + quad * 8u;
      for (var c = 0u; c < 4u; c++) {
        stats[at + c] = mean[c];
        stats[at + 4u + c] = m2[c];
      }
    }
  }

}
