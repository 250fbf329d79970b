// channelStats: statistics of 320 channels. Storage f16; 80 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec4<f32>>;
struct Params {
  invocations: u32,
  quads: u32,
  partials: u32,
  strip_pixels: u32,
  longer_strips: u32,
  image_pixels: u32,
  width: u32,
  region_start: u32,
  region_width: u32,
  row_gap: u32,
}
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

struct Cursor {
  index: u32, // of the quad in x
  column: u32, // from the left edge of the region
}

fn advance(at: Cursor) -> Cursor {
  let row_ends = at.column + 1u == params.region_width;
  return Cursor(at.index + params.quads + select(0u, params.row_gap, row_ends),
    select(at.column + 1u, 0u, row_ends));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let quad = i % params.quads;
  let partial = (i / params.quads) % params.partials;
  let image = i / (params.quads * params.partials);
  let pixels = params.strip_pixels + select(0u, 1u, partial < params.longer_strips);
  let first = partial * params.strip_pixels + min(partial, params.longer_strips);
  let column = first % params.region_width;
  let pixel = image * params.image_pixels + params.region_start
  + (first / params.region_width) * params.width + column;

  var at = Cursor(pixel * params.quads + quad, column);
  let shift = unpack(x[at.index]);
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  var seen = 0u;
  for (; seen + 4u <= pixels; seen += 4u) {
    let at1 = advance(at);
    let at2 = advance(at1);
    let at3 = advance(at2);
    let v0 = unpack(x[at.index]) - shift;
    let v1 = unpack(x[at1.index]) - shift;
    let v2 = unpack(x[at2.index]) - shift;
    let v3 = unpack(x[at3.index]) - shift;
    let block_mean = ((v0 + v1) + (v2 + v3)) * 0.25;
    let d0 = v0 - block_mean;
    let d1 = v1 - block_mean;
    let d2 = v2 - block_mean;
    let d3 = v3 - block_mean;
    let share = 4.0 / f32(seen + 4u);
    let delta = block_mean - mean;
    mean += delta * share;
    m2 += ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + delta * delta * (f32(seen) * share);
    at = advance(at3);
  }
  for (; seen < pixels; seen += 1u) {
    let share = 1.0 / f32(seen + 1u);
    let delta = unpack(x[at.index]) - shift - mean;
    mean += delta * share;
    m2 += delta * delta * (f32(seen) * share);
    at = advance(at);
  }
  stats[i * 2u] = shift + mean;
  stats[i * 2u + 1u] = m2;
}
