// keep-flat: a chart's areas of one colour, ×4. Storage f16; 32 × 128 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> flatness: array<u32>;
@group(0) @binding(2) var<storage, read> count: array<u32>;
@group(0) @binding(3) var<storage, read_write> image: array<u32>;
struct Params { width: u32, height: u32, scale: u32, least: u32 }
@group(0) @binding(4) var<uniform> params: Params;
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
  if (at.x >= params.width * params.scale || at.y >= params.height * params.scale) { return; }
  if (count[0] < params.least) { return; }
  let place = (at.y / params.scale) * params.width + at.x / params.scale;
  let flat = flatness[place];
  if (flat == 0u) { return; }
  let index = at.y * (params.width * params.scale) + at.x;
  let old = rgba8(image[index]);
  let color = rgba8(source[place]);
  let blended = select((old.xyz + color.xyz + 1) / 2, color.xyz, flat == 2u);
  image[index] = pack_rgba8(vec4<i32>(blended, old.w));
}
