// channelMean: mean of each channel from statistics. Storage f16; 2 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;
struct Params {
  invocations: u32,
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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let image = i / params.quads;
  let quad = i % params.quads;
  let first = params.first_quad + image * params.partials * params.quads + quad;
  let shift = stats[first * 2u];
  var sum = vec4<f32>(0.0);
  for (var s = 0u; s < params.partials; s++) {
    sum += partial_pixels(s) * (stats[(first + s * params.quads) * 2u] - shift);
  }
  y[i] = pack(shift + sum / f32(params.pixels));
}
