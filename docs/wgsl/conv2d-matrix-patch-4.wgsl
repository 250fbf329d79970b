// conv2d/matrix-patch-4 3x3 norm stats: a 3×3 convolution of 320 channels with bias, a GroupNorm with SiLU in its loads, statistics in its epilogue. Storage f16; 320 × 1 × 1 workgroups.
enable f16;
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable subgroups;
enable chromium_experimental_subgroup_matrix;
enable subgroup_size_control;
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
const TILE_HEIGHT: u32 = 4u;
const COLUMN_QUADS: u32 = 16u;
const K_QUADS: u32 = 8u;
const KERNEL_HEIGHT: u32 = 3u;
const KERNEL_WIDTH: u32 = 3u;
const PATCH_WIDTH: u32 = 18u;
const PATCH_HEIGHT: u32 = 6u;
const MOMENTS_AT: u32 = 0u;
const M: u32 = 16u;
const N: u32 = 16u;
const K: u32 = 16u;
const A_LENGTH: u32 = 40u;
const W_LENGTH: u32 = 40u;
const SUM_ROWS: u32 = 16u;
const SUBGROUPS_DOWN: u32 = 2u;
const SUBGROUPS_ACROSS: u32 = 2u;
const SUBGROUP_ROWS: u32 = 32u;
const SUBGROUP_COLUMNS: u32 = 32u;
var<workgroup> tile_a: array<vec4<f16>, 1080>;
fn set_tile_a(quad: u32, v: vec4<f16>) { tile_a[quad] = v; }
fn get_tile_a(quad: u32) -> vec4<f16> { return tile_a[quad]; }
var<workgroup> tile_w: array<vec4<f16>, 640>;
fn set_tile_w(quad: u32, v: vec4<f16>) { tile_w[quad] = v; }
fn get_tile_w(quad: u32) -> vec4<f16> { return tile_w[quad]; }
var<workgroup> sums: array<vec4<f32>, 256>;
fn set_sums(quad: u32, v: vec4<f32>) { sums[quad] = v; }
fn get_sums(quad: u32) -> vec4<f32> { return sums[quad]; }

fn exchange_set(at: u32, v: vec4<f32>) { set_sums(at, v); }
fn exchange_get(at: u32) -> vec4<f32> { return get_sums(at); }

fn finished_by(x: u32, width: u32, height: u32) -> f32 { return f32((u32(x < width) + u32(x + 8u < width)) * height); }

@compute @workgroup_size(INVOCATIONS) @subgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  let index = flat_group(group, counts);
  let phase = group.z;
  let tiles_x = (params.grid_width + (TILE_WIDTH - 1u)) / TILE_WIDTH;
  let tiles_y = (params.grid_height + (TILE_HEIGHT - 1u)) / TILE_HEIGHT;
  let tiles = tiles_x * tiles_y * params.batch;
  let nq0 = (index / tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group

  let tile = index % tiles;
  let left = (tile % tiles_x) * TILE_WIDTH;
  let top = ((tile / tiles_x) % tiles_y) * TILE_HEIGHT;
  let image = tile / (tiles_x * tiles_y);
  // The masks change nothing. They show compilers that all loads of matrices are within their arrays.
  let fragment_row = ((subgroup / SUBGROUPS_ACROSS) & (SUBGROUPS_DOWN - 1u)) * SUBGROUP_ROWS;
  let fragment_column = (subgroup & (SUBGROUPS_ACROSS - 1u)) * SUBGROUP_COLUMNS;
  let right_at = fragment_column * W_LENGTH;
  var sum0_0: subgroup_matrix_result<f32, 16, 16>;
  var sum0_1: subgroup_matrix_result<f32, 16, 16>;
  var sum1_0: subgroup_matrix_result<f32, 16, 16>;
  var sum1_1: subgroup_matrix_result<f32, 16, 16>;
  let left_at = fragment_row / TILE_WIDTH * PATCH_WIDTH * A_LENGTH;
  // Eight neighbours stage the channels of a pixel, or of a column of the weight: a row, which has a bank for each of them.
  let stage_quad = local % K_QUADS;
  let stage_pixel = local / K_QUADS;
  let stage_column = local / K_QUADS;
  let stage_nq = min(nq0 + stage_column, params.column_quads - 1u);
  let ix0 = i32(left) - pad_left(phase);
  let iy0 = i32(top) - pad_top(phase);
  let first_line = i32(image) * params.in_height;
  let quads_in = params.in_quads0 + params.in_quads1;
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    let quads = quads_in;
    let k = k0 + stage_quad;
    for (var pixel = stage_pixel; pixel < PATCH_WIDTH * PATCH_HEIGHT; pixel += INVOCATIONS / K_QUADS) {
      let ix = ix0 + i32(pixel % PATCH_WIDTH);
      let iy = iy0 + i32(pixel / PATCH_WIDTH);
      var a = vec4<f32>(0.0);
      if ((k < quads) & (ix >= 0) & (ix < params.in_width) & (iy >= 0) & (iy < params.in_height)) {
        a = load_x(u32((first_line + iy) * params.in_width + ix), k);
      }
      set_tile_a(pixel * (A_LENGTH / 4u) + stage_quad, pack(a));
    }
    var first_row = phase * (KERNEL_HEIGHT * KERNEL_WIDTH) * quads_in;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        // An invocation takes a block of 4 channels × 4 columns and transposes it. Behind the last quad of channels or columns it
        // takes a stand-in: such channels meet zeros of x, such columns are not stored.
        {
          let block = ((first_row + min(k0 + stage_quad, quads - 1u)) * params.column_quads + stage_nq) * 4u;
          let w0 = weight[block];
          let w1 = weight[block + 1u];
          let w2 = weight[block + 2u];
          let w3 = weight[block + 3u];
          set_tile_w(stage_column * W_LENGTH + stage_quad + 0u, vec4<f16>(w0.x, w1.x, w2.x, w3.x));
          set_tile_w(stage_column * W_LENGTH + stage_quad + 10u, vec4<f16>(w0.y, w1.y, w2.y, w3.y));
          set_tile_w(stage_column * W_LENGTH + stage_quad + 20u, vec4<f16>(w0.z, w1.z, w2.z, w3.z));
          set_tile_w(stage_column * W_LENGTH + stage_quad + 30u, vec4<f16>(w0.w, w1.w, w2.w, w3.w));
        }
        first_row += quads_in;
        workgroupBarrier();
        for (var k = 0u; k < 4u * K_QUADS; k += K) {
          let left0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_a, (left_at + (ky * PATCH_WIDTH + kx + 0u) * A_LENGTH + k) / 4u, 10u);
          let left1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_a, (left_at + (ky * PATCH_WIDTH + kx + 18u) * A_LENGTH + k) / 4u, 10u);
          let right0 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile_w, (right_at + 0u * (N * W_LENGTH) + k) / 4u, 10u);
          let right1 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile_w, (right_at + 1u * (N * W_LENGTH) + k) / 4u, 10u);
          sum0_0 = subgroupMatrixMultiplyAccumulate(left0, right0, sum0_0);
          sum0_1 = subgroupMatrixMultiplyAccumulate(left0, right1, sum0_1);
          sum1_0 = subgroupMatrixMultiplyAccumulate(left1, right0, sum1_0);
          sum1_1 = subgroupMatrixMultiplyAccumulate(left1, right1, sum1_1);
        }
        workgroupBarrier();
      }
    }
  }

  let column = local % COLUMN_QUADS;
  let nq = nq0 + column;
  let first_pixel = (image * params.grid_height + top) * params.grid_width + left;
  var finished = 0.0;
  var my_mean = vec4<f32>(0.0);
  var my_m2 = vec4<f32>(0.0);
  for (var y = 0u; y < TILE_HEIGHT; y++) {
    let first = y * SUM_ROWS;
    if ((fragment_row + 0u * M) / SUM_ROWS * SUM_ROWS == first) {
      let at = (fragment_row + 0u * M - first) * (4u * COLUMN_QUADS) + fragment_column;
      subgroupMatrixStore<row_major>(&sums, (at + 0u * N) / 4u, sum0_0, 16u);
      subgroupMatrixStore<row_major>(&sums, (at + 1u * N) / 4u, sum0_1, 16u);
    }
    if ((fragment_row + 1u * M) / SUM_ROWS * SUM_ROWS == first) {
      let at = (fragment_row + 1u * M - first) * (4u * COLUMN_QUADS) + fragment_column;
      subgroupMatrixStore<row_major>(&sums, (at + 0u * N) / 4u, sum1_0, 16u);
      subgroupMatrixStore<row_major>(&sums, (at + 1u * N) / 4u, sum1_1, 16u);
    }
    workgroupBarrier();
    for (var x = local / COLUMN_QUADS; x < TILE_WIDTH; x += INVOCATIONS / COLUMN_QUADS) {
      if ((nq < params.column_quads) & (left + x < params.grid_width) & (top + y < params.grid_height)) {
        let row = output_row(first_pixel + y * params.grid_width + x, phase);
        let v = finish(get_sums(x * COLUMN_QUADS + column), row, nq);
        finished += 1.0;
        let before = my_mean;
        my_mean = before + (v - before) / finished;
        my_m2 += (v - before) * (v - my_mean);
      }
    }
    workgroupBarrier();
  }
  exchange_set(MOMENTS_AT + local, my_mean);
  exchange_set(MOMENTS_AT + INVOCATIONS + local, my_m2);
  workgroupBarrier();
  if (local < COLUMN_QUADS && nq < params.column_quads) {
    let width = min(TILE_WIDTH, params.grid_width - left);
    let height = min(TILE_HEIGHT, params.grid_height - top);
    let values = f32(width * height);
    var mean = vec4<f32>(0.0);
    for (var i = 0u; i < INVOCATIONS / COLUMN_QUADS; i++) {
      mean += finished_by(i, width, height) * exchange_get(MOMENTS_AT + i * COLUMN_QUADS + local);
    }
    mean /= values;
    var m2 = vec4<f32>(0.0);
    for (var i = 0u; i < INVOCATIONS / COLUMN_QUADS; i++) {
      let delta = exchange_get(MOMENTS_AT + i * COLUMN_QUADS + local) - mean;
      m2 += exchange_get(MOMENTS_AT + INVOCATIONS + i * COLUMN_QUADS + local);
      m2 += finished_by(i, width, height) * delta * delta;
    }
    let partial = phase * tiles + ((image * tiles_y + top / TILE_HEIGHT) * tiles_x + left / TILE_WIDTH);
    let quad = partial * params.column_quads + nq;
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
