// affineActivation silu: GroupNorm's scale and shift with SiLU, 320 channels. Storage f16; 1280 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const STRIP_PIXELS: u32 = 4u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
struct Params {
  invocations: u32,
  quads: u32,
  strips: u32,
  pixels: u32,
  quad_offset: u32,
  total_quads: u32,
  has_silu: u32,
}
@group(0) @binding(3) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}
fn activate(x: vec4<f32>) -> vec4<f32> {
  return x / (vec4<f32>(1.0) + exp(min(-x, vec4<f32>(80.0))));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
  @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let quad = i % params.quads;
  let strip = (i / params.quads) % params.strips;
  let image = i / (params.quads * params.strips);
  let first = strip * STRIP_PIXELS;
  let end = min(first + STRIP_PIXELS, params.pixels);

  let out_quad = params.quad_offset + quad;
  let table = image * params.total_quads * 2u + out_quad;
  let a = affine[table];
  let b = affine[table + params.total_quads];
  for (var pixel = image * params.pixels + first; pixel < image * params.pixels + end; pixel += 1u) {
    let v = unpack(x[pixel * params.quads + quad]);
    let z = a * v + b;
    if (params.has_silu != 0u) { y[pixel * params.total_quads + out_quad] = pack(activate(z)); }
    else { y[pixel * params.total_quads + out_quad] = pack(z); }
  }
}
