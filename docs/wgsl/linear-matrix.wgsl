// linear/matrix: a layer of 320 channels with bias, for 4096 tokens. Storage f16; 320 × 1 × 1 workgroups.
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
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn tap_quads(tap: u32) -> u32 { return k_quads(); }
fn output_row(row: u32, phase: u32) -> u32 { return row; }

struct Row { index: u32 }
fn locate(row: u32, phase: u32) -> Row { return Row(row); }
alias Source = Row;
fn at_tap(row: Row, tap: u32) -> Source { return row; }
fn load_tap(source: Source, tap: u32, k: u32) -> vec4<f32> { return load_x(source.index, k); }

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
  let first_tap = phase * 1u;
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
  for (var tap = 0u; tap < 1u; tap++) {
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
  if (nq >= params.column_quads) { return; }
  {
    let grid_row = row0 + my_row + 0u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      finish(acc0_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc0_1, row, nq + 1u); }
    }
  }
  {
    let grid_row = row0 + my_row + 1u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      finish(acc1_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc1_1, row, nq + 1u); }
    }
  }
  {
    let grid_row = row0 + my_row + 2u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      finish(acc2_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc2_1, row, nq + 1u); }
    }
  }
  {
    let grid_row = row0 + my_row + 3u;
    if (grid_row < params.rows) {
      let row = output_row(grid_row, phase);
      finish(acc3_0, row, nq);
      if (nq + 1u < params.column_quads) { finish(acc3_1, row, nq + 1u); }
    }
  }
}
