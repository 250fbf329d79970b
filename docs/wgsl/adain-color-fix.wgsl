// adain-apply: AdaIN against the enlarged source. Storage f16; 4096 × 1 × 1 workgroups.
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> decoded: array<u32>;
@group(0) @binding(1) var<storage, read> sourceStats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> decodedStats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;
struct Params { pixels: u32, eps: f32, bias: f32 }
@group(0) @binding(4) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn rgba8(pixel: u32) -> vec4<i32> {
  return vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}
fn pack_rgba8(c: vec4<i32>) -> u32 {
  let u = vec4<u32>(c) << vec4<u32>(0u, 8u, 16u, 24u);
  return u.x | u.y | u.z | u.w;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.pixels) { return; }
  let eps = vec3<f32>(params.eps);
  let gain = sqrt((sourceStats[1].xyz + eps) / (decodedStats[1].xyz + eps));
  let p = rgba8(decoded[i]);
  let value = (vec3<f32>(p.xyz) - decodedStats[0].xyz) * gain + sourceStats[0].xyz;
  let level = floor(clamp(value, vec3<f32>(0.0), vec3<f32>(255.0)) + vec3<f32>(params.bias));
  result[i] = pack_rgba8(vec4<i32>(vec3<i32>(level), p.w));
}
