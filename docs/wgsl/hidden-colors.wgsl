// hidden-colors push image: the colours of a cut-out's invisible pixels. Storage f16; 4 × 16 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read_write> coarse: array<vec4<f32>>;
struct Params { fine_width: u32, fine_height: u32, width: u32, height: u32 }
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

fn fine_at(index: u32) -> vec4<f32> {
  let pixel = vec4<f32>(rgba8(image[index]));
  return vec4<f32>(pixel.xyz, pixel.w / 255.0);
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width || at.y >= params.height) { return; }
  var sum = vec4<f32>(0.0);
  for (var y = 2u * at.y; y < min(2u * at.y + 2u, params.fine_height); y++) {
    for (var x = 2u * at.x; x < min(2u * at.x + 2u, params.fine_width); x++) {
      let pixel = fine_at(y * params.fine_width + x);
      sum += vec4<f32>(pixel.xyz * pixel.w, pixel.w);
    }
  }
  if (sum.w > 0.0) { sum = vec4<f32>(sum.xyz / sum.w, sum.w); }
  coarse[at.y * params.width + at.x] = sum;
}
