// hidden-colors pull image: the colours of a cut-out's invisible pixels. Storage f16; 8 × 32 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read_write> image: array<u32>;
@group(0) @binding(1) var<storage, read> coarse: array<vec4<f32>>;
struct Params { fine_width: u32, fine_height: u32, width: i32, height: i32 }
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

fn coarse_color(at: vec2<u32>) -> vec3<f32> {
  let last = vec2<i32>(params.width, params.height) - 1;
  let near = vec2<i32>(at / 2u);
  let far = clamp(near + select(vec2<i32>(-1), vec2<i32>(1), (at & vec2<u32>(1u)) == vec2<u32>(1u)), vec2<i32>(0), last);
  let width = params.width;
  return 0.5625 * coarse[near.y * width + near.x].xyz + 0.1875 * coarse[near.y * width + far.x].xyz
  + 0.1875 * coarse[far.y * width + near.x].xyz + 0.0625 * coarse[far.y * width + far.x].xyz;
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= params.fine_width || at.y >= params.fine_height) { return; }
  let index = at.y * params.fine_width + at.x;
  if ((image[index] >> 24u) == 0u) { image[index] = pack_rgba8(vec4<i32>(vec3<i32>(round(coarse_color(at))), 0)); }
}
