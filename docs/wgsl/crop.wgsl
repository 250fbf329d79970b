// crop: a rectangle of a map. Storage f16; 2 × 8 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> src: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> dst: array<vec2<u32>>;
struct Params {
  row_quads: u32,
  height: u32,
  src_start: u32,
  src_stride: u32,
  dst_start: u32,
  dst_stride: u32,
}
@group(0) @binding(2) var<uniform> params: Params;
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
  if (at.x >= params.row_quads || at.y >= params.height) { return; }
  dst[params.dst_start + at.y * params.dst_stride + at.x] =
  src[params.src_start + at.y * params.src_stride + at.x];
}
