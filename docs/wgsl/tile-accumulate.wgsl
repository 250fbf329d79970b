// tile-accumulate: a tile of latents, weighted. Storage f16; 2 × 8 × 1 workgroups.
enable f16;
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
const QUADS: u32 = 1u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> tile: array<Quad>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> acc: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> coverage: array<f32>;
struct Params { width: u32, height: u32, map_width: u32, x0: u32, y0: u32 }
@group(0) @binding(4) var<uniform> params: Params;
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
  let weight = w[at.y * params.width + column];
  let row = (params.y0 + at.y) * params.map_width;
  let target_quad = (row + params.x0) * QUADS + at.x;
  acc[target_quad] += weight * unpack(tile[at.y * params.width * QUADS + at.x]);
  if (is_first) { coverage[row + params.x0 + column] += weight; }
}
