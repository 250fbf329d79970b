// concat-channels/shifted: 323 channels and 320 behind them. Storage f16; 10304 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const A_QUADS: u32 = 81u;
const B_QUADS: u32 = 80u;
const Y_QUADS: u32 = 161u;
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

fn window_1(lo: Quad, hi: Quad) -> Quad { return Quad(lo.yzw, hi.x); }
fn window_2(lo: Quad, hi: Quad) -> Quad { return Quad(lo.zw, hi.xy); }
fn window_3(lo: Quad, hi: Quad) -> Quad { return Quad(lo.w, hi.xyz); }

fn concat(row: u32, quad: u32) -> Quad {
  if (quad + 1u < A_QUADS) { return a[row * A_QUADS + quad]; }
  // The quad before the new channels of b: the tail of a, moved up to the end of a quad, or one of b.
  let next = quad + 1u - A_QUADS;
  var before = Quad();
  if (next == 0u) {
    before = window_3(Quad(), a[row * A_QUADS + quad]);
  } else {
    before = b[row * B_QUADS + next - 1u];
  }
  var after = Quad();
  if (next < B_QUADS) { after = b[row * B_QUADS + next]; }
  return window_1(before, after);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.quads) { return; }
  y[i] = concat(i / Y_QUADS, i % Y_QUADS);
}
