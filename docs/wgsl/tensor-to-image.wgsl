// tensor-to-image: a map as an RGBA8 image. Storage f16; 32 × 128 × 1 workgroups.
enable f16;
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> image: array<u32>;
struct Params {
  src_width: u32,
  src_x: u32,
  src_y: u32,
  width: u32,
  height: u32,
  dst_width: u32,
  dst_x: u32,
  dst_y: u32,
  bias: f32,
}
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn map_position(group: vec3<u32>, counts: vec3<u32>, local: vec3<u32>) -> vec2<u32> {
  return vec2<u32>(group.x * MAP_COLUMNS + local.x, (group.y + group.z * counts.y) * MAP_ROWS + local.y);
}

fn rgba8(pixel: u32) -> vec4<i32> {
  return vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}
fn pack_rgba8(c: vec4<i32>) -> u32 {
  let u = vec4<u32>(c) << vec4<u32>(0u, 8u, 16u, 24u);
  return u.x | u.y | u.z | u.w;
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width || at.y >= params.height) { return; }
  let source = (params.src_y + at.y) * params.src_width + params.src_x + at.x;
  let v = 0.5 * clamp(unpack(x[source]), vec4<f32>(-1.0), vec4<f32>(1.0)) + vec4<f32>(0.5);
  let levels = vec4<i32>(floor(255.0 * v + vec4<f32>(params.bias)));
  image[(params.dst_y + at.y) * params.dst_width + params.dst_x + at.x] =
  pack_rgba8(vec4<i32>(levels.xyz, 255));
}
