// attention/thread d=64: self-attention of 4096 tokens, 5 heads of 64. Storage f16; 64 × 5 × 1 workgroups.
enable f16;
const HEAD_QUADS: u32 = 16u;
const TQ: u32 = 4u;
const BK: u32 = 8u;
const WORKGROUP: u32 = 16u;
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

const MASKED: f32 = -3.0e38;
const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

fn highest_of(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = (group.x * WORKGROUP + local) * TQ;
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad;
  let k_stride = params.key_stride;
  let v_stride = params.value_stride;
  let last_query = params.query_tokens - 1u;
  let last_key = params.key_tokens - 1u;

  var qs: array<vec4<f32>, TQ * HEAD_QUADS>;
  var out: array<vec4<f32>, TQ * HEAD_QUADS>;
  // Queries beyond the last are computed as copies of it and not written.
  for (var i = 0u; i < TQ * HEAD_QUADS; i++) {
    let q_row = q_first + min(first + i % TQ, last_query) * params.query_stride;
    qs[i] = unpack(q[q_row + i / TQ]) * params.scale_log2e;
  }
  var m0 = MASKED; var l0 = vec4<f32>(0.0);
  var m1 = MASKED; var l1 = vec4<f32>(0.0);
  var m2 = MASKED; var l2 = vec4<f32>(0.0);
  var m3 = MASKED; var l3 = vec4<f32>(0.0);

  for (var block = 0u; block < params.key_tokens; block += BK) {
    let k_row0 = k_first + min(vec4<u32>(block + 4u * 0u) + FOUR, vec4<u32>(last_key)) * k_stride;
    let k_row1 = k_first + min(vec4<u32>(block + 4u * 1u) + FOUR, vec4<u32>(last_key)) * k_stride;
    // Scores of the block.
    var s0_0 = vec4<f32>(0.0);
    var s0_1 = vec4<f32>(0.0);
    var s1_0 = vec4<f32>(0.0);
    var s1_1 = vec4<f32>(0.0);
    var s2_0 = vec4<f32>(0.0);
    var s2_1 = vec4<f32>(0.0);
    var s3_0 = vec4<f32>(0.0);
    var s3_1 = vec4<f32>(0.0);
    for (var c = 0u; c < HEAD_QUADS; c++) {
      let four0 = mat4x4<f32>(
        unpack(k[k_row0.x + c]),
        unpack(k[k_row0.y + c]),
        unpack(k[k_row0.z + c]),
        unpack(k[k_row0.w + c]),
      );
      let four1 = mat4x4<f32>(
        unpack(k[k_row1.x + c]),
        unpack(k[k_row1.y + c]),
        unpack(k[k_row1.z + c]),
        unpack(k[k_row1.w + c]),
      );
      let q0 = qs[c * TQ + 0u];
      let q1 = qs[c * TQ + 1u];
      let q2 = qs[c * TQ + 2u];
      let q3 = qs[c * TQ + 3u];
      s0_0 += q0 * four0;
      s0_1 += q0 * four1;
      s1_0 += q1 * four0;
      s1_1 += q1 * four1;
      s2_0 += q2 * four0;
      s2_1 += q2 * four1;
      s3_0 += q3 * four0;
      s3_1 += q3 * four1;
    }
    // Keys beyond the last are copies of it: weight 0.
    if (block + (BK - 1u) > last_key) {
      let is_key0 = vec4<u32>(block + 4u * 0u) + FOUR <= vec4<u32>(last_key);
      let is_key1 = vec4<u32>(block + 4u * 1u) + FOUR <= vec4<u32>(last_key);
      s0_0 = select(vec4<f32>(MASKED), s0_0, is_key0);
      s0_1 = select(vec4<f32>(MASKED), s0_1, is_key1);
      s1_0 = select(vec4<f32>(MASKED), s1_0, is_key0);
      s1_1 = select(vec4<f32>(MASKED), s1_1, is_key1);
      s2_0 = select(vec4<f32>(MASKED), s2_0, is_key0);
      s2_1 = select(vec4<f32>(MASKED), s2_1, is_key1);
      s3_0 = select(vec4<f32>(MASKED), s3_0, is_key0);
      s3_1 = select(vec4<f32>(MASKED), s3_1, is_key1);
    }
    // Weights under the new maximum n. What was summed under the old one is rescaled.
    let n0 = max(m0, highest_of(max(s0_0, s0_1)));
    let rescale0 = exp2(m0 - n0);
    m0 = n0;
    s0_0 = exp2(s0_0 - n0);
    s0_1 = exp2(s0_1 - n0);
    l0 = l0 * rescale0 + s0_0 + s0_1;
    let n1 = max(m1, highest_of(max(s1_0, s1_1)));
    let rescale1 = exp2(m1 - n1);
    m1 = n1;
    s1_0 = exp2(s1_0 - n1);
    s1_1 = exp2(s1_1 - n1);
    l1 = l1 * rescale1 + s1_0 + s1_1;
    let n2 = max(m2, highest_of(max(s2_0, s2_1)));
    let rescale2 = exp2(m2 - n2);
    m2 = n2;
    s2_0 = exp2(s2_0 - n2);
    s2_1 = exp2(s2_1 - n2);
    l2 = l2 * rescale2 + s2_0 + s2_1;
    let n3 = max(m3, highest_of(max(s3_0, s3_1)));
    let rescale3 = exp2(m3 - n3);
    m3 = n3;
    s3_0 = exp2(s3_0 - n3);
    s3_1 = exp2(s3_1 - n3);
    l3 = l3 * rescale3 + s3_0 + s3_1;
    // Weighted values.
    let v_row0 = v_first + min(vec4<u32>(block + 4u * 0u) + FOUR, vec4<u32>(last_key)) * v_stride;
    let v_row1 = v_first + min(vec4<u32>(block + 4u * 1u) + FOUR, vec4<u32>(last_key)) * v_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) {
      let four0 = mat4x4<f32>(
        unpack(v[v_row0.x + c]),
        unpack(v[v_row0.y + c]),
        unpack(v[v_row0.z + c]),
        unpack(v[v_row0.w + c]),
      );
      let four1 = mat4x4<f32>(
        unpack(v[v_row1.x + c]),
        unpack(v[v_row1.y + c]),
        unpack(v[v_row1.z + c]),
        unpack(v[v_row1.w + c]),
      );
      out[c * TQ + 0u] = out[c * TQ + 0u] * rescale0 + four0 * s0_0 + four1 * s0_1;
      out[c * TQ + 1u] = out[c * TQ + 1u] * rescale1 + four0 * s1_0 + four1 * s1_1;
      out[c * TQ + 2u] = out[c * TQ + 2u] * rescale2 + four0 * s2_0 + four1 * s2_1;
      out[c * TQ + 3u] = out[c * TQ + 3u] * rescale3 + four0 * s3_0 + four1 * s3_1;
    }
  }

  let totals = array<f32, TQ>(dot(l0, vec4<f32>(1.0)),
    dot(l1, vec4<f32>(1.0)),
    dot(l2, vec4<f32>(1.0)),
    dot(l3, vec4<f32>(1.0)),); // sums of all weights
  for (var i = 0u; i < TQ * HEAD_QUADS; i++) {
    let query = first + i % TQ;
    if (query <= last_query) { y[y_first + query * params.output_stride + i / TQ] = pack(out[i] / totals[i % TQ]); }
  }
}
