// linear/tiled int4: a layer of 320 channels with bias, for 4096 tokens, whose weight is int4. Storage f16; 320 × 1 × 1 workgroups.
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
const K_QUADS: u32 = 4u;

// Arrays of arrays: an index of a dimension is checked once, outside of the loop.
var<workgroup> tile_a: array<array<vec4<f32>, TILE_ROWS>, K_QUADS>; // [quad][row]
var<workgroup> tile_w: array<array<vec4<f32>, COLUMN_QUADS>, K_QUADS * 4u>; // [channel][column quad]
fn exchange_set(at: u32, v: vec4<f32>) { tile_a[at / TILE_ROWS][at % TILE_ROWS] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return tile_a[at / TILE_ROWS][at % TILE_ROWS]; }

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
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
  var acc0_0 = vec4<f32>(0.0);
  var acc0_1 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc1_1 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc2_1 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  var acc3_1 = vec4<f32>(0.0);
  for (var tap = 0u; tap < 1u; tap++) {
    let quads = tap_quads(tap);
    let source = at_tap(source_row, tap);
    for (var k0 = 0u; k0 < quads; k0 += K_QUADS) {
      for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        tile_a[stage_k + s][stage_row] = a;
      }
      // Behind the last quad of channels or columns: a stand-in. Such channels meet zeros of x, such columns are not stored.
      let scale = weight_scale(first_tap + tap, k0, stage_nq);
      let zero = scale * OFFSET;
      for (var s = 0u; s < K_QUADS * 4u * COLUMN_QUADS / INVOCATIONS; s++) {
        let channel = (local >> COLUMN_QUAD_BITS) + s * (INVOCATIONS / COLUMN_QUADS);
        let k = min(k0 + (channel >> 2u), quads - 1u);
        let row = (first_tap + tap) * quads_in + k;
        tile_w[channel][stage_column] = (stored((row * params.column_quads + stage_nq) * 4u + (channel & 3u)) * scale - zero);
      }
      workgroupBarrier();
      for (var k = 0u; k < K_QUADS; k++) {
        let a0 = tile_a[k][my_row + 0u];
        let a1 = tile_a[k][my_row + 1u];
        let a2 = tile_a[k][my_row + 2u];
        let a3 = tile_a[k][my_row + 3u];
        {
          let w = tile_w[4u * k + 0u][my_quad + 0u];
          acc0_0 += a0.x * w;
          acc1_0 += a1.x * w;
          acc2_0 += a2.x * w;
          acc3_0 += a3.x * w;
        }
        {
          let w = tile_w[4u * k + 0u][my_quad + 1u];
          acc0_1 += a0.x * w;
          acc1_1 += a1.x * w;
          acc2_1 += a2.x * w;
          acc3_1 += a3.x * w;
        }
        {
          let w = tile_w[4u * k + 1u][my_quad + 0u];
          acc0_0 += a0.y * w;
          acc1_0 += a1.y * w;
          acc2_0 += a2.y * w;
          acc3_0 += a3.y * w;
        }
        {
          let w = tile_w[4u * k + 1u][my_quad + 1u];
          acc0_1 += a0.y * w;
          acc1_1 += a1.y * w;
          acc2_1 += a2.y * w;
          acc3_1 += a3.y * w;
        }
        {
          let w = tile_w[4u * k + 2u][my_quad + 0u];
          acc0_0 += a0.z * w;
          acc1_0 += a1.z * w;
          acc2_0 += a2.z * w;
          acc3_0 += a3.z * w;
        }
        {
          let w = tile_w[4u * k + 2u][my_quad + 1u];
          acc0_1 += a0.z * w;
          acc1_1 += a1.z * w;
          acc2_1 += a2.z * w;
          acc3_1 += a3.z * w;
        }
        {
          let w = tile_w[4u * k + 3u][my_quad + 0u];
          acc0_0 += a0.w * w;
          acc1_0 += a1.w * w;
          acc2_0 += a2.w * w;
          acc3_0 += a3.w * w;
        }
        {
          let w = tile_w[4u * k + 3u][my_quad + 1u];
          acc0_1 += a0.w * w;
          acc1_1 += a1.w * w;
          acc2_1 += a2.w * w;
          acc3_1 += a3.w * w;
        }
      }
      workgroupBarrier();
    }
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
