// linear/tiled-split: a layer of 1280 channels with bias, for 64 tokens. Storage f16; 20 × 1 × 10 workgroups.
enable f16;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x0: array<Quad>;
@group(0) @binding(1) var<storage, read> weight: array<Quad>;
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;
struct Params { rows: u32, in_quads0: u32, in_quads1: u32, column_quads: u32, out_quads: u32, rows_per_image: u32, has_channel_add: u32, channel_add_first: u32, channel_add_quads: u32, has_residual: u32, has_relu: u32, has_sigmoid: u32, sigmoid_scale: f32, stats_run: u32, stats_first: u32, slices: u32, slice_steps: u32, total_rows: u32 }
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

fn load_a(row: u32, k: u32) -> vec4<f32> { return normalised(load_stored(row, k), k); }
fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn tap_quads(tap: u32) -> u32 { return k_quads(); }
fn output_row(row: u32, phase: u32) -> u32 { return row; }

struct Row { index: u32 }
fn locate(row: u32, phase: u32) -> Row { return Row(row); }
fn load_tap(row: Row, tap: u32, k: u32) -> vec4<f32> { return load_a(row.index, k); }

var<workgroup> tile_a: array<vec4<f32>, 256>;
var<workgroup> tile_w: array<vec4<f32>, 256>;
fn exchange_set(at: u32, v: vec4<f32>) { tile_a[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return tile_a[at]; }

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts);
  let row_tiles = (params.rows + 63u) / 64u;
  let row0 = (index % row_tiles) * 64u;
  let nq0 = (index / row_tiles) * 16u;
  if (nq0 >= params.column_quads) { return; } // surplus groups of a folded grid; uniform in the group

  let phase = group.z / params.slices;
  let my_slice = group.z % params.slices; // uniform, which a variable of the module is not to the compiler
  slice = my_slice;
  let slice_begin = my_slice * params.slice_steps;
  let slice_end = slice_begin + params.slice_steps;
  var tap_begin = 0u; // in steps
  // Staging: lanes 0..63 take rows, twice half the quads each; finishing: 16 × 8 invocations.
  let stage_row = local & 63u;
  let stage_k = (local >> 6u) * 2u;
  let source_row = locate(min(row0 + stage_row, params.rows - 1u), phase);
  let first_tap = phase * 1u;
  let my_row = (local >> 3u) * 4u;
  let my_quad = (local & 7u) * 2u;
  let quads_in = k_quads();
  var acc0_0 = vec4<f32>(0.0); var acc0_1 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0); var acc1_1 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0); var acc2_1 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0); var acc3_1 = vec4<f32>(0.0);
  for (var tap = 0u; tap < 1u; tap++) {
    let quads = tap_quads(tap);
    let steps = (quads + 3u) / 4u;
    let k_begin = (max(slice_begin, tap_begin) - tap_begin) * 4u;
    let k_end = min(min(max(slice_end, tap_begin) - tap_begin, steps) * 4u, quads);
    tap_begin += steps;
    for (var k0 = k_begin; k0 < k_end; k0 += 4u) {
      for (var s = 0u; s < 2u; s++) {
        let k = k0 + stage_k + s;
        var a = vec4<f32>(0.0);
        if (k < quads) { a = load_tap(source_row, tap, k); }
        tile_a[(stage_k + s) * 64u + stage_row] = a;
      }
      // 16 weight rows × 16 column quads = 256 quads; two per invocation.
      for (var s = 0u; s < 2u; s++) {
        let slot = local + s * 128u;
        let kk = slot >> 4u; // channel within the step
        let nq = nq0 + (slot & 15u);
        let k = k0 + (kk >> 2u);
        var w = vec4<f32>(0.0);
        if (k < quads && nq < params.column_quads) {
          w = unpack(weight[(((first_tap + tap) * quads_in + k) * params.column_quads + nq) * 4u + (kk & 3u)]);
        }
        tile_w[slot] = w;
      }
      workgroupBarrier();
      for (var k = 0u; k < 4u; k++) {
        let a0 = tile_a[k * 64u + my_row + 0u];
        let a1 = tile_a[k * 64u + my_row + 1u];
        let a2 = tile_a[k * 64u + my_row + 2u];
        let a3 = tile_a[k * 64u + my_row + 3u];
        {
          let at = k * 64u + my_quad + 0u;
          let w0 = tile_w[at]; let w1 = tile_w[at + 16u]; let w2 = tile_w[at + 32u]; let w3 = tile_w[at + 48u];
          acc0_0 += a0.x * w0 + a0.y * w1 + a0.z * w2 + a0.w * w3;
          acc1_0 += a1.x * w0 + a1.y * w1 + a1.z * w2 + a1.w * w3;
          acc2_0 += a2.x * w0 + a2.y * w1 + a2.z * w2 + a2.w * w3;
          acc3_0 += a3.x * w0 + a3.y * w1 + a3.z * w2 + a3.w * w3;
        }
        {
          let at = k * 64u + my_quad + 1u;
          let w0 = tile_w[at]; let w1 = tile_w[at + 16u]; let w2 = tile_w[at + 32u]; let w3 = tile_w[at + 48u];
          acc0_1 += a0.x * w0 + a0.y * w1 + a0.z * w2 + a0.w * w3;
          acc1_1 += a1.x * w0 + a1.y * w1 + a1.z * w2 + a1.w * w3;
          acc2_1 += a2.x * w0 + a2.y * w1 + a2.z * w2 + a2.w * w3;
          acc3_1 += a3.x * w0 + a3.y * w1 + a3.z * w2 + a3.w * w3;
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
