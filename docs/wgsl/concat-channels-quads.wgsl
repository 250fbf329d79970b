// concat-channels/quads: two maps of 320 channels side by side. Storage f16; 10240 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const A_QUADS: u32 = 80u;
const B_QUADS: u32 = 80u;
const Y_QUADS: u32 = 160u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
struct Params { quads: u32 }
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn concat(row: u32, quad: u32) -> Quad {
  if (quad < A_QUADS) { return a[row * A_QUADS + quad]; }
  return b[row * B_QUADS + quad - A_QUADS];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  y[i] = concat(i / Y_QUADS, i % Y_QUADS);
}
