// elementwise none: a sum of two maps. Storage f16; 5120 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
struct Params { quads: u32, scale_a: f32, scale_b: f32 }
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn activate(x: vec4<f32>) -> vec4<f32> { return x; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  let sum = params.scale_a * unpack(a[i]) + params.scale_b * unpack(b[i]);
  y[i] = pack(activate(sum));
}
