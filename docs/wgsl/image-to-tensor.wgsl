// image-to-tensor: an RGBA8 image as a map. Storage f16; 32 × 128 × 1 workgroups.
enable f16;
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;
struct Params {
  image_width: u32,
  image_height: u32,
  x0: i32,
  y0: i32,
  width: u32,
  height: u32,
  scale: f32,
  offset: f32,
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
  let x = clamp(i32(at.x) + params.x0, 0, i32(params.image_width) - 1);
  let row = clamp(i32(at.y) + params.y0, 0, i32(params.image_height) - 1);
  let levels = vec3<f32>(rgba8(image[u32(row) * params.image_width + u32(x)]).xyz);
  let value = params.scale * (levels / 255.0) + vec3<f32>(params.offset);
  y[at.y * params.width + at.x] = pack(vec4<f32>(value, 0.0));
}
