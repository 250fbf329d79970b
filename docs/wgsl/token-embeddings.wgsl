// token-embeddings: CLIP's class token and positions. Storage f16; 1028 × 1 × 1 workgroups.
enable f16;
const WORKGROUP: u32 = 64u;
const QUADS: u32 = 256u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> patches: array<Quad>;
@group(0) @binding(1) var<storage, read> class_embedding: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> position: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Quad>;
struct Params { quads: u32 }
@group(0) @binding(4) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x; // quad within one image of y, and within position
  if (i >= params.quads) { return; }
  var token = vec4<f32>(0.0);
  if (i < QUADS) {
    token = class_embedding[i];
  } else {
    token = unpack(patches[id.y * (params.quads - QUADS) + i - QUADS]);
  }
  y[id.y * params.quads + i] = pack(token + position[i]);
}
