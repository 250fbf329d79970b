// upsample-nearest: a map doubled. Storage f16; 160 × 64 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const QUADS: u32 = 160u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;
struct Params { in_height: u32, in_width: u32, out_height: u32, out_width: u32 }
@group(0) @binding(2) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x / QUADS;
  if (column >= params.out_width) { return; }
  let source_row = id.z * params.in_height + id.y * params.in_height / params.out_height;
  let source_column = column * params.in_width / params.out_width;
  let target_row = id.z * params.out_height + id.y;
  y[target_row * params.out_width * QUADS + id.x] =
  x[(source_row * params.in_width + source_column) * QUADS + id.x % QUADS];
}
