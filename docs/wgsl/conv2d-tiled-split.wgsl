// conv2d/tiled-split 3x3: a 3×3 convolution of 1280 channels with bias on an 8 × 8 map. Storage f16; 20 × 1 × 13 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x0: array<Quad>;
@group(0) @binding(1) var<storage, read> weight: array<Quad>;
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;
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
  slices: u32,
  slice_steps: u32,
  total_rows: u32,
}
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

var<private> slice: u32;
fn finish(sum: vec4<f32>, row: u32, nq: u32) {
  partial[(slice * params.total_rows + row) * params.column_quads + nq] = sum;
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

  let phase = group.z / params.slices;
  let my_slice = group.z % params.slices; // uniform, which a variable of the module is not to the compiler
  slice = my_slice;
  let slice_begin = my_slice * params.slice_steps;
  let slice_end = slice_begin + params.slice_steps;
  var tap_begin = 0u;
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
  var acc0_0 = vec4<f32>(0.0);
  var acc0_1 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc1_1 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc2_1 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  var acc3_1 = vec4<f32>(0.0);
  for (var tap = 0u; tap < params.taps; tap++) {
    let quads = tap_quads(tap);
    let source = at_tap(source_row, tap);
    let steps = (quads + (K_QUADS - 1u)) / K_QUADS;
    let k_begin = (max(slice_begin, tap_begin) - tap_begin) * K_QUADS;
    let k_end = min(min(max(slice_end, tap_begin) - tap_begin, steps) * K_QUADS, quads);
    tap_begin += steps;
    for (var k0 = k_begin; k0 < k_end; k0 += K_QUADS) {
      for (var s = 0u; s < K_QUADS / 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source, tap, k); }
        tile_a[stage_k + s][stage_row] = a;
      }
      // Behind the last quad of channels or columns: a stand-in. Such channels meet zeros of x, such columns are not stored.
      for (var s = 0u; s < K_QUADS * 4u * COLUMN_QUADS / INVOCATIONS; s++) {
        let channel = (local >> COLUMN_QUAD_BITS) + s * (INVOCATIONS / COLUMN_QUADS);
        let k = min(k0 + (channel >> 2u), quads - 1u);
        let row = (first_tap + tap) * quads_in + k;
        tile_w[channel][stage_column] = unpack(weight[(row * params.column_quads + stage_nq) * 4u + (channel & 3u)]);
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
