// conv2d/matrix 3x3 stats: a 3×3 convolution of 320 channels with bias, which also writes the statistics of its result. Storage f16; 320 × 1 × 1 workgroups.
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
@group(0) @binding(5) var<storage, read_write> y: array<Quad>;
@group(0) @binding(6) var<storage, read_write> stats: array<f32>;
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
@group(0) @binding(7) var<uniform> params: Params;
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

const INVOCATIONS: u32 = 128u;
const TILE_ROWS: u32 = 64u;
const TILE_ROW_BITS: u32 = 6u;
const TILE_COLUMNS: u32 = 64u;
const COLUMN_QUADS: u32 = 16u;
const COLUMN_QUAD_BITS: u32 = 4u;
const LANES_ACROSS: u32 = 8u;
const LANES_ACROSS_BITS: u32 = 3u;
const MERGED_ROWS: u32 = 32u;
const K_QUADS: u32 = 8u;
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
var<workgroup> tile_a: array<vec4<f16>, 640>;
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

@compute @workgroup_size(INVOCATIONS) @subgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  let index = flat_group(group, counts);
  let row_tiles = (params.rows + (TILE_ROWS - 1u)) / TILE_ROWS;
  let row0 = (index % row_tiles) * TILE_ROWS;
  let nq0 = (index / row_tiles) * COLUMN_QUADS;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group

  let phase = group.z;
  // Staging: 64 lanes take a row each and half of its quads, the other 64 the other half.
  let stage_row = local & (TILE_ROWS - 1u);
  let stage_k = (local >> TILE_ROW_BITS) * (K_QUADS / 2u);
  let source_row = locate(min(row0 + stage_row, params.rows - 1u), phase);
  let stage_column = local & (COLUMN_QUADS - 1u);
  let stage_nq = min(nq0 + stage_column, params.column_quads - 1u);
  let first_tap = phase * params.taps;
  // Finishing: 16 × 8 lanes.
  let my_row = (local >> LANES_ACROSS_BITS) * 4u;
  let my_quad = (local & (LANES_ACROSS - 1u)) * 2u;
  let quads_in = k_quads();
  // The masks change nothing. They show compilers that all loads of matrices are within their arrays.
  let fragment_row = ((subgroup / SUBGROUPS_ACROSS) & (SUBGROUPS_DOWN - 1u)) * SUBGROUP_ROWS;
  let fragment_column = (subgroup & (SUBGROUPS_ACROSS - 1u)) * SUBGROUP_COLUMNS;
  let right_at = fragment_column * W_LENGTH;
  var sum0_0: subgroup_matrix_result<f32, 16, 16>;
  var sum0_1: subgroup_matrix_result<f32, 16, 16>;
  var sum1_0: subgroup_matrix_result<f32, 16, 16>;
  var sum1_1: subgroup_matrix_result<f32, 16, 16>;
  let left_at = fragment_row * A_LENGTH;
  let stage_quad = local >> COLUMN_QUAD_BITS;
  for (var tap = 0u; tap < params.taps; tap++) {
    let quads = tap_quads(tap);
    let source = at_tap(source_row, tap);
    for (var k0 = 0u; k0 < quads; k0 += K_QUADS) {
      for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        set_tile_a(stage_row * (A_LENGTH / 4u) + stage_k + s, vec4<f16>(a));
      }
      let first_row = (first_tap + tap) * quads_in;
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
      workgroupBarrier();
      for (var k = 0u; k < 4u * K_QUADS; k += K) {
        let left0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_a, (left_at + 0u * (M * A_LENGTH) + k) / 4u, 10u);
        let left1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_a, (left_at + 1u * (M * A_LENGTH) + k) / 4u, 10u);
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
  var acc0_0 = vec4<f32>(0.0);
  var acc0_1 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc1_1 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc2_1 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  var acc3_1 = vec4<f32>(0.0);
  for (var first = 0u; first < TILE_ROWS; first += SUM_ROWS) {
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
    if (my_row / SUM_ROWS * SUM_ROWS == first) {
      let at = (my_row - first) * COLUMN_QUADS + my_quad;
      acc0_0 = get_sums(at + (0u * COLUMN_QUADS + 0u));
      acc0_1 = get_sums(at + (0u * COLUMN_QUADS + 1u));
      acc1_0 = get_sums(at + (1u * COLUMN_QUADS + 0u));
      acc1_1 = get_sums(at + (1u * COLUMN_QUADS + 1u));
      acc2_0 = get_sums(at + (2u * COLUMN_QUADS + 0u));
      acc2_1 = get_sums(at + (2u * COLUMN_QUADS + 1u));
      acc3_0 = get_sums(at + (3u * COLUMN_QUADS + 0u));
      acc3_1 = get_sums(at + (3u * COLUMN_QUADS + 1u));
    }
    workgroupBarrier();
  }
  let nq = nq0 + my_quad;

  let bands = INVOCATIONS / LANES_ACROSS;
  var m2_0 = vec4<f32>(0.0);
  var m2_1 = vec4<f32>(0.0);
  if (nq0 + my_quad + 0u < params.column_quads) {
    let v0 = finish(acc0_0, output_row(row0 + my_row + 0u, phase), nq0 + my_quad + 0u);
    let v1 = finish(acc1_0, output_row(row0 + my_row + 1u, phase), nq0 + my_quad + 0u);
    let v2 = finish(acc2_0, output_row(row0 + my_row + 2u, phase), nq0 + my_quad + 0u);
    let v3 = finish(acc3_0, output_row(row0 + my_row + 3u, phase), nq0 + my_quad + 0u);
    let mean = ((v0 + v1) + (v2 + v3)) * 0.25;
    let d0 = v0 - mean;
    let d1 = v1 - mean;
    let d2 = v2 - mean;
    let d3 = v3 - mean;
    exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + 0u, mean);
    m2_0 = ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3));
  }
  if (nq0 + my_quad + 1u < params.column_quads) {
    let v0 = finish(acc0_1, output_row(row0 + my_row + 0u, phase), nq0 + my_quad + 1u);
    let v1 = finish(acc1_1, output_row(row0 + my_row + 1u, phase), nq0 + my_quad + 1u);
    let v2 = finish(acc2_1, output_row(row0 + my_row + 2u, phase), nq0 + my_quad + 1u);
    let v3 = finish(acc3_1, output_row(row0 + my_row + 3u, phase), nq0 + my_quad + 1u);
    let mean = ((v0 + v1) + (v2 + v3)) * 0.25;
    let d0 = v0 - mean;
    let d1 = v1 - mean;
    let d2 = v2 - mean;
    let d3 = v3 - mean;
    exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + 1u, mean);
    m2_1 = ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3));
  }
  workgroupBarrier();
  let nq_merged = nq0 + local;
  let merges = local < COLUMN_QUADS && nq_merged < params.column_quads;
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  if (merges) {
    for (var i = 0u; i < bands; i++) { mean += exchange_get(i * COLUMN_QUADS + local); }
    mean /= f32(bands);
    for (var i = 0u; i < bands; i++) {
      let delta = exchange_get(i * COLUMN_QUADS + local) - mean;
      m2 += 4.0 * delta * delta;
    }
  }
  workgroupBarrier();
  exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + 0u, m2_0);
  exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + 1u, m2_1);
  workgroupBarrier();
  if (merges) {
    for (var i = 0u; i < bands; i++) { m2 += exchange_get(i * COLUMN_QUADS + local); }
    let values = f32(bands * 4u);
    let nq = nq_merged;
    let partial = phase * row_tiles + index % row_tiles;
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
