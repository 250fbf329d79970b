// replace-alpha: another image's alpha. Storage f16; 4096 × 1 × 1 workgroups.
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f32>;
fn unpack(q: Quad) -> vec4<f32> { return q; }
fn pack(v: vec4<f32>) -> Quad { return v; }
@group(0) @binding(0) var<storage, read> alpha: array<u32>;
@group(0) @binding(1) var<storage, read_write> image: array<u32>;
struct Params { pixels: u32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.pixels) { return; }
  image[i] = (image[i] & 0x00ffffffu) | (alpha[i] & 0xff000000u);
}
