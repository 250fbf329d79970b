// tile-normalise: latents out of the accumulators. Storage f16; 4 × 16 × 1 workgroups.
enable f16;
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
const QUADS: u32 = 1u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> acc: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> coverage: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
struct Params { width: u32, height: u32 }
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn map_position(group: vec3<u32>, counts: vec3<u32>, local: vec3<u32>) -> vec2<u32> {
  return vec2<u32>(group.x * MAP_COLUMNS + local.x, (group.y + group.z * counts.y) * MAP_ROWS + local.y);
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width * QUADS || at.y >= params.height) { return; }
  let column = at.x / QUADS;
  let is_first = at.x % QUADS == 0u;
  let index = at.y * params.width * QUADS + at.x;
  y[index] = pack(acc[index] / coverage[at.y * params.width + column]);
}
