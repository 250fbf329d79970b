// resize-f32 horizontal: columns of an RGBA8 image to 224, antialiased. Storage f16; 14 × 128 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
const QUADS: u32 = 1u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read> starts: array<i32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
struct Params { width: u32, out_width: u32, out_height: u32, taps: u32 }
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
  if (at.x >= params.out_width * QUADS || at.y >= params.out_height) { return; }
  let pixel = at.x / QUADS;
  let quad = at.x % QUADS;
  let output = pixel;
  let start = u32(starts[output]);
  let base = (at.y * params.width + start) * QUADS + quad;
  let step = QUADS;
  var sum = vec4<f32>(0.0);
  for (var k = 0u; k < params.taps; k++) {
    sum += weights[output * params.taps + k] * vec4<f32>(vec3<f32>(rgba8(src[base + k * step]).xyz) * (2.0 / 255.0) - vec3<f32>(1.0), 0.0);
  }
  dst[at.y * params.out_width * QUADS + at.x] = sum;
}
