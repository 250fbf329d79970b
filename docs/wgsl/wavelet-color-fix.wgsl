// wavelet level 0: wavelet colour fix of 512 × 512 pixels. Storage f16; 32 × 128 × 1 workgroups.
const MAP_COLUMNS: u32 = 16u;
const MAP_ROWS: u32 = 4u;
const FRACTION_BITS: u32 = 12u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> decoded: array<u32>;
@group(0) @binding(2) var<storage, read_write> next: array<vec2<u32>>;
struct Params { width: u32, height: u32, dilation: i32, bias: i32 }
@group(0) @binding(3) var<uniform> params: Params;
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

fn unpack_i21x3(q: vec2<u32>) -> vec3<i32> {
  let top = vec3<u32>(q.x << 11u, ((q.x >> 21u) << 11u) | (q.y << 22u), q.y << 1u);
  return vec3<i32>(top) >> vec3<u32>(11u); // arithmetic shift: extends the sign
}
fn pack_i21x3(v: vec3<i32>) -> vec2<u32> {
  let u = vec3<u32>(v) & vec3<u32>(0x1fffffu);
  return vec2<u32>(u.x | (u.y << 21u), (u.y >> 11u) | (u.z << 10u));
}

fn low_at(index: i32) -> vec3<i32> { return (rgba8(source[index]).xyz - rgba8(decoded[index]).xyz) * 4096; }

fn blurred(at: vec2<i32>) -> vec3<i32> {
  let last = vec2<i32>(i32(params.width), i32(params.height)) - vec2<i32>(1);
  var sum = vec3<i32>(8); // half of 16: rounds to nearest
  for (var dy = -1; dy <= 1; dy++) {
    let row = clamp(at.y + dy * params.dilation, 0, last.y) * i32(params.width);
    for (var dx = -1; dx <= 1; dx++) {
      let column = clamp(at.x + dx * params.dilation, 0, last.x);
      sum += (2 - abs(dx)) * (2 - abs(dy)) * low_at(row + column);
    }
  }
  return sum >> vec3<u32>(4u);
}

@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width || at.y >= params.height) { return; }
  let low_next = blurred(vec2<i32>(at));
  let index = at.y * params.width + at.x;
  next[index] = pack_i21x3(low_next);
}
