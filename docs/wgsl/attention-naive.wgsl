// attention/naive d=64: self-attention of 4096 tokens, 5 heads of 64. Storage f16; 64 × 80 × 1 workgroups.
enable f16;
const HEAD_QUADS: u32 = 16u;
const WORKGROUP: u32 = 64u;
alias Quad = vec4<f16>;
fn unpack(q: Quad) -> vec4<f32> { return vec4<f32>(q); }
fn pack(v: vec4<f32>) -> Quad {
  return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
@group(0) @binding(0) var<storage, read> q: array<Quad>;
@group(0) @binding(1) var<storage, read> k: array<Quad>;
@group(0) @binding(2) var<storage, read> v: array<Quad>;
@group(0) @binding(3) var<storage, read_write> y: array<Quad>;
struct Params {
  query_tokens: u32,
  key_tokens: u32,
  query_stride: u32,
  key_stride: u32,
  value_stride: u32,
  output_stride: u32,
  query_offset: u32,
  key_offset: u32,
  value_offset: u32,
  scale_log2e: f32,
}
@group(0) @binding(4) var<uniform> params: Params;
fn flat_group(id: vec3<u32>, counts: vec3<u32>) -> u32 {
  return id.x + id.y * counts.x;
}

fn score(q_row: u32, k_row: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < HEAD_QUADS; c++) { sum += dot(unpack(q[q_row + c]), unpack(k[k_row + c])); }
  return sum * params.scale_log2e;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let query = id.x;
  let quad = id.y; // head · HEAD_QUADS + quad within the head
  let batch = id.z;
  if (query >= params.query_tokens) { return; }
  let head_quad = quad - quad % HEAD_QUADS; // first quad of the head
  let query_row = batch * params.query_tokens + query;
  let q_row = query_row * params.query_stride + params.query_offset + head_quad;
  let k_first = batch * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = batch * params.key_tokens * params.value_stride + params.value_offset + quad;

  var highest = score(q_row, k_first);
  for (var j = 1u; j < params.key_tokens; j++) {
    highest = max(highest, score(q_row, k_first + j * params.key_stride));
  }
  var weights = 0.0;
  var sum = vec4<f32>(0.0);
  for (var j = 0u; j < params.key_tokens; j++) {
    let weight = exp2(score(q_row, k_first + j * params.key_stride) - highest);
    weights += weight;
    sum += weight * unpack(v[v_first + j * params.value_stride]);
  }
  y[query_row * params.output_stride + quad] = pack(sum / weights);
}
