// conv2d/patch-winograd 3x3 norm stats: a 3×3 convolution of 320 channels with bias, a GroupNorm with SiLU in its loads, statistics in its epilogue. Storage f16; 160 × 1 × 1 workgroups.
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

const TILE_WIDTH: u32 = 16u;
const TILE_HEIGHT: u32 = 8u;
const COLUMN_QUADS: u32 = 16u;
const LANES_ACROSS: u32 = 8u;
const FINISHED_ROWS: u32 = 1u;
const INVOCATIONS: u32 = 192u;
const WINDOW: u32 = 3u;
const TILE: u32 = 4u;
const TILES: u32 = 4u;
const POSITIONS: u32 = 6u;
const CHANNELS: u32 = 2u;
const PATCH_WIDTH: u32 = 18u;
const PATCH_HEIGHT: u32 = 10u;
const LINES: u32 = 11u;
const ROW_QUADS: u32 = 3u;
const TAP_LANES: u32 = 32u;
const POINT_LANES: u32 = 80u;
alias Inputs = f32;
alias Weights = vec4<f32>;

const A: f32 = 0.75; // the points ±A and ±B
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/* Bᵀ d */
fn input_points(d0: Inputs, d1: Inputs, d2: Inputs, d3: Inputs, d4: Inputs, d5: Inputs) -> array<Inputs, 6> {
  let even_a = d4 - B2 * d2;
  let odd_a = A * (d3 - B2 * d1);
  let even_b = d4 - A2 * d2;
  let odd_b = B * (d3 - A2 * d1);
  let first = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
  let last = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
  return array<Inputs, 6>(first, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, last);
}
/* G g without its factors: g0 + g1·p + g2·p² at each point p */
fn weight_points(g0: Weights, g1: Weights, g2: Weights) -> array<Weights, 6> {
  let even_a = g0 + A2 * g2;
  let even_b = g0 + B2 * g2;
  return array<Weights, 6>(g0, even_a + A * g1, even_a - A * g1, even_b + B * g1, even_b - B * g1, g2);
}
const FACTOR_0: f32 = 1.0 / (A2 * B2);
const FACTOR_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const FACTOR_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

// Of four channels: [line][column]. Then M2.
var<workgroup> pixels: array<array<vec4<f32>, PATCH_WIDTH>, LINES>;
// Bᵀ d: [channel][position][tile][quad of rows].
var<workgroup> points: array<array<array<array<vec4<f32>, ROW_QUADS>, TILES>, POSITIONS>, CHANNELS>;
// G g: [channel][row of taps][position][column quad]. Then sums, of tile t in [t / 2][t % 2], and means in [][2].
var<workgroup> taps: array<array<array<array<vec4<f32>, COLUMN_QUADS>, POSITIONS>, WINDOW>, CHANNELS>;

// Of an invocation in a row of taps: channel, position, column quad.
fn cell(at: u32) -> vec3<u32> {
  return vec3<u32>(at / (POSITIONS * COLUMN_QUADS), (at / COLUMN_QUADS) % POSITIONS, at % COLUMN_QUADS);
}
fn exchange_set(at: u32, v: vec4<f32>) { let i = cell(at); taps[i.x][0][i.y][i.z] = v; }
fn exchange_get(at: u32) -> vec4<f32> { let i = cell(at); return taps[i.x][0][i.y][i.z]; }
fn mean_set(at: u32, v: vec4<f32>) { let i = cell(at); taps[i.x][2][i.y][i.z] = v; }
fn mean_get(at: u32) -> vec4<f32> { let i = cell(at); return taps[i.x][2][i.y][i.z]; }
fn m2_set(at: u32, v: vec4<f32>) { pixels[at / PATCH_WIDTH][at % PATCH_WIDTH] = v; }
fn m2_get(at: u32) -> vec4<f32> { return pixels[at / PATCH_WIDTH][at % PATCH_WIDTH]; }

// Aᵀ m, of one pixel, with the factors of G.
fn exchanged_sum(x: u32, column: u32) -> vec4<f32> {
  let m = &taps[x / (2u * TILE)][(x / TILE) % 2u];
  let i = x % TILE;
  let sign = vec4<f32>(1.0, -1.0, 1.0, -1.0)[i];
  let a = FACTOR_A * vec4<f32>(1.0, A, A2, A2 * A)[i];
  let b = FACTOR_B * vec4<f32>(1.0, B, B2, B2 * B)[i];
  let end = vec4<f32>(FACTOR_0, 0.0, 0.0, 1.0)[i];
  return a * ((*m)[1][column] + sign * (*m)[2][column]) + b * ((*m)[3][column] + sign * (*m)[4][column])
  + end * (*m)[select(0u, 5u, i == 3u)][column];
}

fn stage_x_pixels(i: u32, k: u32) {
  let column = i % PATCH_WIDTH;
  let row = i / PATCH_WIDTH;
  if (row >= PATCH_HEIGHT) { return; }
  let ix = i32(place.x + column) - params.pad_left;
  let iy = i32(place.y + row) - params.pad_top;
  var a = vec4<f32>(0.0);
  if ((ix >= 0) & (ix < params.in_width) & (iy >= 0) & (iy < params.in_height)) {
    a = load_x(u32((i32(place.z) * params.in_height + iy) * params.in_width + ix), k);
  }
  pixels[row][column] = a;
}

fn stage_points(i: u32, first: u32) {
  let c = i % CHANNELS;
  let tile = (i / CHANNELS) % TILES;
  let row = i / (CHANNELS * TILES);
  let x = tile * TILE;
  let d0 = pixels[row][x + 0u][first + c];
  let d1 = pixels[row][x + 1u][first + c];
  let d2 = pixels[row][x + 2u][first + c];
  let d3 = pixels[row][x + 3u][first + c];
  let d4 = pixels[row][x + 4u][first + c];
  let d5 = pixels[row][x + 5u][first + c];
  let values = input_points(d0, d1, d2, d3, d4, d5);
  points[c][0][tile][row / 4u][row % 4u] = values[0];
  points[c][1][tile][row / 4u][row % 4u] = values[1];
  points[c][2][tile][row / 4u][row % 4u] = values[2];
  points[c][3][tile][row / 4u][row % 4u] = values[3];
  points[c][4][tile][row / 4u][row % 4u] = values[4];
  points[c][5][tile][row / 4u][row % 4u] = values[5];
}

fn set_taps(c: u32, ky: u32, q: u32, g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>) {
  let values = weight_points(g0, g1, g2);
  taps[c][ky][0][q] = values[0];
  taps[c][ky][1][q] = values[1];
  taps[c][ky][2][q] = values[2];
  taps[c][ky][3][q] = values[3];
  taps[c][ky][4][q] = values[4];
  taps[c][ky][5][q] = values[5];
}

// Of channel c of a tap. Columns behind the last are stand-ins, and not stored.
fn weight_at(c: u32, q: u32, k: u32) -> u32 {
  return (k * params.column_quads + min(place.w + q, params.column_quads - 1u)) * 4u + c;
}

fn stage_x_taps(i: u32, k: u32, first: u32, w_tap: u32) {
  let q = i % COLUMN_QUADS;
  let c = (i / COLUMN_QUADS) % CHANNELS;
  let ky = i / (COLUMN_QUADS * CHANNELS);
  let at = ky * WINDOW * w_tap + weight_at(first + c, q, k);
  set_taps(c, ky, q, unpack(weight[at]), unpack(weight[at + w_tap]), unpack(weight[at + 2u * w_tap]));
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
  let my_tile = (local / LANES_ACROSS) % TILES;
  let my_position = local / (LANES_ACROSS * TILES);

  stage_x_pixels(local, 0u);
  workgroupBarrier();
  for (var k = 0u; k < quads_in; k++) {
    if (local < 3u * TAP_LANES) {
      stage_x_taps(local, k, 0u, w_tap);
    } else if (local < 3u * TAP_LANES + POINT_LANES) {
      stage_points(local - 3u * TAP_LANES, 0u);
    }
    workgroupBarrier();
    for (var c = 0u; c < CHANNELS; c++) {
      let a0 = points[c][my_position][my_tile][0];
      let a1 = points[c][my_position][my_tile][1];
      let a2 = points[c][my_position][my_tile][2];
      {
        let w = taps[c][0][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][0][my_position][my_quad + 1u * LANES_ACROSS];
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
        let w = taps[c][1][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][1][my_position][my_quad + 1u * LANES_ACROSS];
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
        let w = taps[c][2][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][2][my_position][my_quad + 1u * LANES_ACROSS];
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
    if (local < 3u * TAP_LANES) {
      stage_x_taps(local, k, 2u, w_tap);
    } else if (local < 3u * TAP_LANES + POINT_LANES) {
      stage_points(local - 3u * TAP_LANES, 2u);
    }
    workgroupBarrier();
    if (k + 1u < quads_in) { stage_x_pixels(local, k + 1u); }
    for (var c = 0u; c < CHANNELS; c++) {
      let a0 = points[c][my_position][my_tile][0];
      let a1 = points[c][my_position][my_tile][1];
      let a2 = points[c][my_position][my_tile][2];
      {
        let w = taps[c][0][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][0][my_position][my_quad + 1u * LANES_ACROSS];
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
        let w = taps[c][1][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][1][my_position][my_quad + 1u * LANES_ACROSS];
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
        let w = taps[c][2][my_position][my_quad + 0u * LANES_ACROSS];
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
        let w = taps[c][2][my_position][my_quad + 1u * LANES_ACROSS];
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

  let column = local % COLUMN_QUADS;
  let nq = place.w + column;
  let left = place.x;
  let top = place.y;
  let first_row = (place.z * params.grid_height + top) * params.grid_width + left;
  var finished = 0.0;
  mean_set(local, vec4<f32>(0.0));
  m2_set(local, vec4<f32>(0.0));
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc0_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc0_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 0u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc1_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc1_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 1u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc2_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc2_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 2u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc3_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc3_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 3u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc4_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc4_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 4u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc5_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc5_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 5u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc6_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc6_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 6u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 0u * LANES_ACROSS] = acc7_0;
  taps[my_tile / 2u][my_tile % 2u][my_position][my_quad + 1u * LANES_ACROSS] = acc7_1;
  workgroupBarrier();
  for (var pixel = local / COLUMN_QUADS; pixel < FINISHED_ROWS * TILE_WIDTH; pixel += INVOCATIONS / COLUMN_QUADS) {
    let x = pixel % TILE_WIDTH;
    let y = 7u * FINISHED_ROWS + pixel / TILE_WIDTH;
    if (nq < params.column_quads && left + x < params.grid_width && top + y < params.grid_height) {
      let row = output_row(first_row + y * params.grid_width + x, phase);
      let v = finish(exchanged_sum(pixel, column), row, nq);
      finished += 1.0;
      let before = mean_get(local);
      let mean = before + (v - before) / finished;
      mean_set(local, mean);
      m2_set(local, m2_get(local) + (v - before) * (v - mean));
    }
  }
  workgroupBarrier();
  exchange_set(local, vec4<f32>(finished));
  workgroupBarrier();
  if (local < COLUMN_QUADS && nq < params.column_quads) {
    let values = f32(min(TILE_WIDTH, params.grid_width - left) * min(TILE_HEIGHT, params.grid_height - top));
    var mean = vec4<f32>(0.0);
    for (var i = local; i < INVOCATIONS; i += COLUMN_QUADS) { mean += exchange_get(i) * mean_get(i); }
    mean /= values;
    var m2 = vec4<f32>(0.0);
    for (var i = local; i < INVOCATIONS; i += COLUMN_QUADS) {
      let delta = mean_get(i) - mean;
      m2 += m2_get(i) + exchange_get(i) * delta * delta;
    }
    let partial = phase * tiles + ((place.z * tiles_y + top / TILE_HEIGHT) * tiles_x + left / TILE_WIDTH);
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
