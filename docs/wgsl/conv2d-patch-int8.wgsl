// conv2d/patch 3x3 int8: a 3×3 convolution of 320 channels with bias, whose weight is int8. Storage f16; 160 × 1 × 1 workgroups.
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

fn pad_top(phase: u32) -> i32 { return params.pad_top - i32(phase >> 1u); }
fn pad_left(phase: u32) -> i32 { return params.pad_left - i32(phase & 1u); }
fn output_row(row: u32, phase: u32) -> u32 {
  let line = row / params.grid_width; // over all images
  let x = row - line * params.grid_width;
  return ((line * params.step + (phase >> 1u)) * params.grid_width + x) * params.step + (phase & 1u);
}
const OFFSET = 128.0;
fn stored(at: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(weight[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
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

const TILE_WIDTH: u32 = 16u;
const TILE_HEIGHT: u32 = 8u;
const COLUMN_QUADS: u32 = 16u;
const LANES_ACROSS: u32 = 8u;
const INVOCATIONS: u32 = 128u;
const K_QUADS: u32 = 2u;
const KERNEL_HEIGHT: u32 = 3u;
const KERNEL_WIDTH: u32 = 3u;
const PATCH_WIDTH: u32 = 18u;
const PATCH_HEIGHT: u32 = 10u;
const ROW_QUADS: u32 = 3u;
const WEIGHTS_AT: u32 = 432u;
const MEMORY_QUADS: u32 = 816u;
const FINISHED_ROWS: u32 = 2u;
const FINISHED_QUADS: u32 = 512u;
// Patch: [channel][column][quad of rows]. Weights: [row of taps][channel][column quad].
var<workgroup> memory: array<vec4<f32>, MEMORY_QUADS>;
fn exchange_set(at: u32, v: vec4<f32>) { memory[at] = v; }
fn exchange_get(at: u32) -> vec4<f32> { return memory[at]; }
fn mean_set(at: u32, v: vec4<f32>) { memory[FINISHED_QUADS + at] = v; }
fn mean_get(at: u32) -> vec4<f32> { return memory[FINISHED_QUADS + at]; }
fn m2_set(at: u32, v: vec4<f32>) { memory[FINISHED_QUADS + INVOCATIONS + at] = v; }
fn m2_get(at: u32) -> vec4<f32> { return memory[FINISHED_QUADS + INVOCATIONS + at]; }
fn exchanged_sum(pixel: u32, column: u32) -> vec4<f32> { return memory[pixel * COLUMN_QUADS + column]; }

// The weight that an invocation stages in a K step of a tap that has so many quads. Behind the last quad of channels or columns it
// stages a stand-in: such channels meet zeros of the patch, such columns are not stored.
fn staged_weight(local: u32, nq0: u32, k0: u32, quads: u32) -> u32 {
  let k = min(k0 + local / (4u * COLUMN_QUADS), quads - 1u);
  let nq = min(nq0 + local % COLUMN_QUADS, params.column_quads - 1u);
  return (k * params.column_quads + nq) * 4u + (local / COLUMN_QUADS) % 4u;
}

fn staged_column(local: u32, nq0: u32) -> u32 {
  return min(nq0 + local % COLUMN_QUADS, params.column_quads - 1u);
}

var<workgroup> place: vec4<u32>; // of the tile: kept here and not in registers, which are full until the sums are done

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
  if (local == 0u) { place = vec4<u32>(ox0, oy0, image, nq0); }
  workgroupBarrier();
  let my_quad = local % LANES_ACROSS;
  let quads_in = params.in_quads0 + params.in_quads1;
  let w_tap = quads_in * params.column_quads * 4u;
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
  let my_x = local / LANES_ACROSS;
  for (var k0 = 0u; k0 < quads_in; k0 += K_QUADS) {
    let tile_at = place;
    let lines = i32(tile_at.z) * params.in_height;
    for (var i = local; i < K_QUADS * PATCH_WIDTH * PATCH_HEIGHT; i += INVOCATIONS) {
      let k = k0 + i % K_QUADS;
      let column = (i / K_QUADS) % PATCH_WIDTH;
      let row = i / (K_QUADS * PATCH_WIDTH);
      let ix = i32(tile_at.x + column) - pad_left(phase);
      let iy = i32(tile_at.y + row) - pad_top(phase);
      var a = vec4<f32>(0.0);
      if (k < quads_in && ix >= 0 && ix < params.in_width && iy >= 0 && iy < params.in_height) {
        a = load_x(u32((lines + iy) * params.in_width + ix), k);
      }
      let at = (4u * (i % K_QUADS) * PATCH_WIDTH + column) * ROW_QUADS + row / 4u;
      memory[at + 0u * (PATCH_WIDTH * ROW_QUADS)][row % 4u] = a.x;
      memory[at + 1u * (PATCH_WIDTH * ROW_QUADS)][row % 4u] = a.y;
      memory[at + 2u * (PATCH_WIDTH * ROW_QUADS)][row % 4u] = a.z;
      memory[at + 3u * (PATCH_WIDTH * ROW_QUADS)][row % 4u] = a.w;
    }
    var w_at = phase * (KERNEL_HEIGHT * KERNEL_WIDTH) * w_tap + staged_weight(local, tile_at.w, k0, quads_in);
    for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
      memory[WEIGHTS_AT + 0u * INVOCATIONS + local] = weight_quad(w_at + 0u * (KERNEL_WIDTH * w_tap), weight_scale(0u * KERNEL_WIDTH + kx, k0, staged_column(local, tile_at.w)));
      memory[WEIGHTS_AT + 1u * INVOCATIONS + local] = weight_quad(w_at + 1u * (KERNEL_WIDTH * w_tap), weight_scale(1u * KERNEL_WIDTH + kx, k0, staged_column(local, tile_at.w)));
      memory[WEIGHTS_AT + 2u * INVOCATIONS + local] = weight_quad(w_at + 2u * (KERNEL_WIDTH * w_tap), weight_scale(2u * KERNEL_WIDTH + kx, k0, staged_column(local, tile_at.w)));
      w_at += w_tap;
      workgroupBarrier();
      for (var c = 0u; c < 4u * K_QUADS; c++) {
        let first = (c * PATCH_WIDTH + my_x + kx) * ROW_QUADS;
        let w_first = WEIGHTS_AT + c * COLUMN_QUADS + my_quad;
        let a0 = memory[first + 0u];
        let a1 = memory[first + 1u];
        let a2 = memory[first + 2u];
        {
          let w = memory[w_first + 0u * INVOCATIONS + 0u * LANES_ACROSS];
          acc0_0 += a0.x * w;
          acc1_0 += a0.y * w;
          acc2_0 += a0.z * w;
          acc3_0 += a0.w * w;
          acc4_0 += a1.x * w;
          acc5_0 += a1.y * w;
          acc6_0 += a1.z * w;
          acc7_0 += a1.w * w;
        }
        {
          let w = memory[w_first + 0u * INVOCATIONS + 1u * LANES_ACROSS];
          acc0_1 += a0.x * w;
          acc1_1 += a0.y * w;
          acc2_1 += a0.z * w;
          acc3_1 += a0.w * w;
          acc4_1 += a1.x * w;
          acc5_1 += a1.y * w;
          acc6_1 += a1.z * w;
          acc7_1 += a1.w * w;
        }
        {
          let w = memory[w_first + 1u * INVOCATIONS + 0u * LANES_ACROSS];
          acc0_0 += a0.y * w;
          acc1_0 += a0.z * w;
          acc2_0 += a0.w * w;
          acc3_0 += a1.x * w;
          acc4_0 += a1.y * w;
          acc5_0 += a1.z * w;
          acc6_0 += a1.w * w;
          acc7_0 += a2.x * w;
        }
        {
          let w = memory[w_first + 1u * INVOCATIONS + 1u * LANES_ACROSS];
          acc0_1 += a0.y * w;
          acc1_1 += a0.z * w;
          acc2_1 += a0.w * w;
          acc3_1 += a1.x * w;
          acc4_1 += a1.y * w;
          acc5_1 += a1.z * w;
          acc6_1 += a1.w * w;
          acc7_1 += a2.x * w;
        }
        {
          let w = memory[w_first + 2u * INVOCATIONS + 0u * LANES_ACROSS];
          acc0_0 += a0.z * w;
          acc1_0 += a0.w * w;
          acc2_0 += a1.x * w;
          acc3_0 += a1.y * w;
          acc4_0 += a1.z * w;
          acc5_0 += a1.w * w;
          acc6_0 += a2.x * w;
          acc7_0 += a2.y * w;
        }
        {
          let w = memory[w_first + 2u * INVOCATIONS + 1u * LANES_ACROSS];
          acc0_1 += a0.z * w;
          acc1_1 += a0.w * w;
          acc2_1 += a1.x * w;
          acc3_1 += a1.y * w;
          acc4_1 += a1.z * w;
          acc5_1 += a1.w * w;
          acc6_1 += a2.x * w;
          acc7_1 += a2.y * w;
        }
      }
      workgroupBarrier();
    }
  }

  let column = local % COLUMN_QUADS;
  let nq = place.w + column;
  let left = place.x;
  let top = place.y;
  let first_row = (place.z * params.grid_height + top) * params.grid_width + left;

  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc0_0;
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc0_1;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc1_0;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc1_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 0u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);

    }
  }
  workgroupBarrier();
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc2_0;
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc2_1;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc3_0;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc3_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 1u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);

    }
  }
  workgroupBarrier();
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc4_0;
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc4_1;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc5_0;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc5_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 2u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);

    }
  }
  workgroupBarrier();
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc6_0;
  memory[(0u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc6_1;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 0u * LANES_ACROSS] = acc7_0;
  memory[(1u * TILE_WIDTH + my_x) * COLUMN_QUADS + my_quad + 1u * LANES_ACROSS] = acc7_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 3u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);

    }
  }
  workgroupBarrier();

}
