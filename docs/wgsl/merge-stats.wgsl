// mergeStats: statistics of a tile from 256 strips. Storage f16; 32 × 1 × 1 workgroups.
const LANES: u32 = 64u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec4<f32>>;
struct Params {
  quads: u32,
  partials: u32,
  pixels: u32,
  first_quad: u32,
  strip_pixels: u32,
  longer_strips: u32,
  tile_columns: u32,
  map_tiles: u32,
  map_height: u32,
  map_width: u32,
  tile_height: u32,
  tile_width: u32,
}
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn partial_pixels(partial: u32) -> f32 {
  if (params.tile_columns == 0u) {
    return f32(params.strip_pixels + select(0u, 1u, partial < params.longer_strips));
  }
  let tile = partial % params.map_tiles;
  let x = (tile % params.tile_columns) * params.tile_width;
  let y = (tile / params.tile_columns) * params.tile_height;
  return f32(min(params.tile_width, params.map_width - x)
    * min(params.tile_height, params.map_height - y));
}

var<workgroup> lane_sums: array<vec4<f32>, LANES>;

fn sum_of_lanes(value: vec4<f32>, lane: u32) -> vec4<f32> {
  lane_sums[lane] = value;
  workgroupBarrier();
  for (var reach = LANES / 2u; reach > 0u; reach >>= 1u) {
    if (lane < reach) { lane_sums[lane] += lane_sums[lane + reach]; }
    workgroupBarrier();
  }
  let sum = lane_sums[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) lane: u32) {
  let quad = flat_group(group, counts);
  if (quad >= params.quads) { return; } // the same for the whole workgroup
  let shift = partials[quad * 2u];
  var means = vec4<f32>(0.0);
  for (var s = lane; s < params.partials; s += LANES) {
    means += partial_pixels(s) * (partials[(s * params.quads + quad) * 2u] - shift);
  }
  let mean = sum_of_lanes(means, lane) / f32(params.pixels);
  var spread = vec4<f32>(0.0);
  for (var s = lane; s < params.partials; s += LANES) {
    let at = (s * params.quads + quad) * 2u;
    let delta = (partials[at] - shift) - mean;
    spread += partials[at + 1u] + partial_pixels(s) * (delta * delta);
  }
  let m2 = sum_of_lanes(spread, lane);
  if (lane == 0u) {
    stats[params.first_quad + quad * 2u] = shift + mean;
    stats[params.first_quad + quad * 2u + 1u] = m2;
  }
}
