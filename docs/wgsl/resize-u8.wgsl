// resize-u8 horizontal: columns of an RGBA8 image ×4, Pillow's bicubic. Storage f16; 32 × 32 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
const WEIGHT_BITS: u32 = 22u;
const HALF: u32 = 2097152u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read> starts: array<i32>;
@group(0) @binding(2) var<storage, read> weights: array<i32>;
@group(0) @binding(3) var<storage, read_write> dst: array<u32>;
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
  if (at.x >= params.out_width || at.y >= params.out_height) { return; }
  let output = at.x;
  let start = u32(starts[output]);
  let base = at.y * params.width + start;
  var acc = vec4<i32>(i32(HALF));
  for (var k = 0u; k < params.taps; k++) {
    acc += weights[output * params.taps + k] * rgba8(src[base + k]);
  }
  let value = clamp(acc >> vec4<u32>(WEIGHT_BITS), vec4<i32>(0), vec4<i32>(255));
  dst[at.y * params.out_width + at.x] = pack_rgba8(value);
}
