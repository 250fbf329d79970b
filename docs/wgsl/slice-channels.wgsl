// slice-channels: the posterior's mean out of the moments. Storage f16; 64 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const X_QUADS: u32 = 2u;
const Y_QUADS: u32 = 1u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;
struct Params { quads: u32, first_quad: u32, scale: f32, low: f32, high: f32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn window_1(lo: Quad, hi: Quad) -> Quad { return Quad(lo.yzw, hi.x); }
fn window_2(lo: Quad, hi: Quad) -> Quad { return Quad(lo.zw, hi.xy); }
fn window_3(lo: Quad, hi: Quad) -> Quad { return Quad(lo.w, hi.xyz); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  let quad = i % Y_QUADS + params.first_quad; // in a row of x
  let first = i / Y_QUADS * X_QUADS + quad;

  var value = x[first];

  y[i] = value;
}
