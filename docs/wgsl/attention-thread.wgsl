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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = (group.x * WORKGROUP + local) * TQ;
  if (first >= params.query_tokens) { return; }
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad;
  let last_query = params.query_tokens - 1u;
  let last_key = params.key_tokens - 1u;

  var qs: array<vec4<f32>, TQ * HEAD_QUADS>;
  var out: array<vec4<f32>, TQ * HEAD_QUADS>;
  // Queries beyond the last are computed as copies of it and not written.
  let q_row0 = q_first + min(first + 0u, last_query) * params.query_stride;
  let q_row1 = q_first + min(first + 1u, last_query) * params.query_stride;
  let q_row2 = q_first + min(first + 2u, last_query) * params.query_stride;
  let q_row3 = q_first + min(first + 3u, last_query) * params.query_stride;
  for (var c = 0u; c < HEAD_QUADS; c++) {
    qs[c * TQ + 0u] = unpack(q[q_row0 + c]) * params.scale_log2e;
    qs[c * TQ + 1u] = unpack(q[q_row1 + c]) * params.scale_log2e;
    qs[c * TQ + 2u] = unpack(q[q_row2 + c]) * params.scale_log2e;
    qs[c * TQ + 3u] = unpack(q[q_row3 + c]) * params.scale_log2e;
  }
  var m0 = MASKED; var l0 = 0.0;
  var m1 = MASKED; var l1 = 0.0;
  var m2 = MASKED; var l2 = 0.0;
  var m3 = MASKED; var l3 = 0.0;

  for (var block = 0u; block < params.key_tokens; block += BK) {
    let key0 = min(block + 0u, last_key);
    let key1 = min(block + 1u, last_key);
    let key2 = min(block + 2u, last_key);
    let key3 = min(block + 3u, last_key);
    let key4 = min(block + 4u, last_key);
    let key5 = min(block + 5u, last_key);
    let key6 = min(block + 6u, last_key);
    let key7 = min(block + 7u, last_key);
    let k_row0 = k_first + key0 * params.key_stride;
    let k_row1 = k_first + key1 * params.key_stride;
    let k_row2 = k_first + key2 * params.key_stride;
    let k_row3 = k_first + key3 * params.key_stride;
    let k_row4 = k_first + key4 * params.key_stride;
    let k_row5 = k_first + key5 * params.key_stride;
    let k_row6 = k_first + key6 * params.key_stride;
    let k_row7 = k_first + key7 * params.key_stride;
    // Scores of the block.
    var s0_0 = 0.0;
    var s0_1 = 0.0;
    var s0_2 = 0.0;
    var s0_3 = 0.0;
    var s0_4 = 0.0;
    var s0_5 = 0.0;
    var s0_6 = 0.0;
    var s0_7 = 0.0;
    var s1_0 = 0.0;
    var s1_1 = 0.0;
    var s1_2 = 0.0;
    var s1_3 = 0.0;
    var s1_4 = 0.0;
    var s1_5 = 0.0;
    var s1_6 = 0.0;
    var s1_7 = 0.0;
    var s2_0 = 0.0;
    var s2_1 = 0.0;
    var s2_2 = 0.0;
    var s2_3 = 0.0;
    var s2_4 = 0.0;
    var s2_5 = 0.0;
    var s2_6 = 0.0;
    var s2_7 = 0.0;
    var s3_0 = 0.0;
    var s3_1 = 0.0;
    var s3_2 = 0.0;
    var s3_3 = 0.0;
    var s3_4 = 0.0;
    var s3_5 = 0.0;
    var s3_6 = 0.0;
    var s3_7 = 0.0;
    for (var c = 0u; c < HEAD_QUADS; c++) {
      let k0 = unpack(k[k_row0 + c]);
      let k1 = unpack(k[k_row1 + c]);
      let k2 = unpack(k[k_row2 + c]);
      let k3 = unpack(k[k_row3 + c]);
      let k4 = unpack(k[k_row4 + c]);
      let k5 = unpack(k[k_row5 + c]);
      let k6 = unpack(k[k_row6 + c]);
      let k7 = unpack(k[k_row7 + c]);
      let q0 = qs[c * TQ + 0u];
      s0_0 += dot(q0, k0);
      s0_1 += dot(q0, k1);
      s0_2 += dot(q0, k2);
      s0_3 += dot(q0, k3);
      s0_4 += dot(q0, k4);
      s0_5 += dot(q0, k5);
      s0_6 += dot(q0, k6);
      s0_7 += dot(q0, k7);
      let q1 = qs[c * TQ + 1u];
      s1_0 += dot(q1, k0);
      s1_1 += dot(q1, k1);
      s1_2 += dot(q1, k2);
      s1_3 += dot(q1, k3);
      s1_4 += dot(q1, k4);
      s1_5 += dot(q1, k5);
      s1_6 += dot(q1, k6);
      s1_7 += dot(q1, k7);
      let q2 = qs[c * TQ + 2u];
      s2_0 += dot(q2, k0);
      s2_1 += dot(q2, k1);
      s2_2 += dot(q2, k2);
      s2_3 += dot(q2, k3);
      s2_4 += dot(q2, k4);
      s2_5 += dot(q2, k5);
      s2_6 += dot(q2, k6);
      s2_7 += dot(q2, k7);
      let q3 = qs[c * TQ + 3u];
      s3_0 += dot(q3, k0);
      s3_1 += dot(q3, k1);
      s3_2 += dot(q3, k2);
      s3_3 += dot(q3, k3);
      s3_4 += dot(q3, k4);
      s3_5 += dot(q3, k5);
      s3_6 += dot(q3, k6);
      s3_7 += dot(q3, k7);
    }
    // Keys beyond the last are copies of it: weight 0.
    if (block + (BK - 1u) > last_key) {
      if (block + 0u > last_key) { s0_0 = MASKED;
        s1_0 = MASKED;
        s2_0 = MASKED;
        s3_0 = MASKED; }
      if (block + 1u > last_key) { s0_1 = MASKED;
        s1_1 = MASKED;
        s2_1 = MASKED;
        s3_1 = MASKED; }
      if (block + 2u > last_key) { s0_2 = MASKED;
        s1_2 = MASKED;
        s2_2 = MASKED;
        s3_2 = MASKED; }
      if (block + 3u > last_key) { s0_3 = MASKED;
        s1_3 = MASKED;
        s2_3 = MASKED;
        s3_3 = MASKED; }
      if (block + 4u > last_key) { s0_4 = MASKED;
        s1_4 = MASKED;
        s2_4 = MASKED;
        s3_4 = MASKED; }
      if (block + 5u > last_key) { s0_5 = MASKED;
        s1_5 = MASKED;
        s2_5 = MASKED;
        s3_5 = MASKED; }
      if (block + 6u > last_key) { s0_6 = MASKED;
        s1_6 = MASKED;
        s2_6 = MASKED;
        s3_6 = MASKED; }
      if (block + 7u > last_key) { s0_7 = MASKED;
        s1_7 = MASKED;
        s2_7 = MASKED;
        s3_7 = MASKED; }
    }
    // Weights under the new maximum n. What was summed under the old one is rescaled.
    let n0 = max(max(max(max(max(max(max(max(m0, s0_0), s0_1), s0_2), s0_3), s0_4), s0_5), s0_6), s0_7);
    let rescale0 = exp2(m0 - n0);
    m0 = n0;
    s0_0 = exp2(s0_0 - n0);
    s0_1 = exp2(s0_1 - n0);
    s0_2 = exp2(s0_2 - n0);
    s0_3 = exp2(s0_3 - n0);
    s0_4 = exp2(s0_4 - n0);
    s0_5 = exp2(s0_5 - n0);
    s0_6 = exp2(s0_6 - n0);
    s0_7 = exp2(s0_7 - n0);
    l0 = l0 * rescale0 + s0_0 + s0_1 + s0_2 + s0_3 + s0_4 + s0_5 + s0_6 + s0_7;
    let n1 = max(max(max(max(max(max(max(max(m1, s1_0), s1_1), s1_2), s1_3), s1_4), s1_5), s1_6), s1_7);
    let rescale1 = exp2(m1 - n1);
    m1 = n1;
    s1_0 = exp2(s1_0 - n1);
    s1_1 = exp2(s1_1 - n1);
    s1_2 = exp2(s1_2 - n1);
    s1_3 = exp2(s1_3 - n1);
    s1_4 = exp2(s1_4 - n1);
    s1_5 = exp2(s1_5 - n1);
    s1_6 = exp2(s1_6 - n1);
    s1_7 = exp2(s1_7 - n1);
    l1 = l1 * rescale1 + s1_0 + s1_1 + s1_2 + s1_3 + s1_4 + s1_5 + s1_6 + s1_7;
    let n2 = max(max(max(max(max(max(max(max(m2, s2_0), s2_1), s2_2), s2_3), s2_4), s2_5), s2_6), s2_7);
    let rescale2 = exp2(m2 - n2);
    m2 = n2;
    s2_0 = exp2(s2_0 - n2);
    s2_1 = exp2(s2_1 - n2);
    s2_2 = exp2(s2_2 - n2);
    s2_3 = exp2(s2_3 - n2);
    s2_4 = exp2(s2_4 - n2);
    s2_5 = exp2(s2_5 - n2);
    s2_6 = exp2(s2_6 - n2);
    s2_7 = exp2(s2_7 - n2);
    l2 = l2 * rescale2 + s2_0 + s2_1 + s2_2 + s2_3 + s2_4 + s2_5 + s2_6 + s2_7;
    let n3 = max(max(max(max(max(max(max(max(m3, s3_0), s3_1), s3_2), s3_3), s3_4), s3_5), s3_6), s3_7);
    let rescale3 = exp2(m3 - n3);
    m3 = n3;
    s3_0 = exp2(s3_0 - n3);
    s3_1 = exp2(s3_1 - n3);
    s3_2 = exp2(s3_2 - n3);
    s3_3 = exp2(s3_3 - n3);
    s3_4 = exp2(s3_4 - n3);
    s3_5 = exp2(s3_5 - n3);
    s3_6 = exp2(s3_6 - n3);
    s3_7 = exp2(s3_7 - n3);
    l3 = l3 * rescale3 + s3_0 + s3_1 + s3_2 + s3_3 + s3_4 + s3_5 + s3_6 + s3_7;
    // Weighted values.
    let v_row0 = v_first + key0 * params.value_stride;
    let v_row1 = v_first + key1 * params.value_stride;
    let v_row2 = v_first + key2 * params.value_stride;
    let v_row3 = v_first + key3 * params.value_stride;
    let v_row4 = v_first + key4 * params.value_stride;
    let v_row5 = v_first + key5 * params.value_stride;
    let v_row6 = v_first + key6 * params.value_stride;
    let v_row7 = v_first + key7 * params.value_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) {
      let v0 = unpack(v[v_row0 + c]);
      let v1 = unpack(v[v_row1 + c]);
      let v2 = unpack(v[v_row2 + c]);
      let v3 = unpack(v[v_row3 + c]);
      let v4 = unpack(v[v_row4 + c]);
      let v5 = unpack(v[v_row5 + c]);
      let v6 = unpack(v[v_row6 + c]);
      let v7 = unpack(v[v_row7 + c]);
      out[c * TQ + 0u] = out[c * TQ + 0u] * rescale0 + s0_0 * v0 + s0_1 * v1 + s0_2 * v2 + s0_3 * v3 + s0_4 * v4 + s0_5 * v5 + s0_6 * v6 + s0_7 * v7;
      out[c * TQ + 1u] = out[c * TQ + 1u] * rescale1 + s1_0 * v0 + s1_1 * v1 + s1_2 * v2 + s1_3 * v3 + s1_4 * v4 + s1_5 * v5 + s1_6 * v6 + s1_7 * v7;
      out[c * TQ + 2u] = out[c * TQ + 2u] * rescale2 + s2_0 * v0 + s2_1 * v1 + s2_2 * v2 + s2_3 * v3 + s2_4 * v4 + s2_5 * v5 + s2_6 * v6 + s2_7 * v7;
      out[c * TQ + 3u] = out[c * TQ + 3u] * rescale3 + s3_0 * v0 + s3_1 * v1 + s3_2 * v2 + s3_3 * v3 + s3_4 * v4 + s3_5 * v5 + s3_6 * v6 + s3_7 * v7;
    }
  }

  // l is the sum of all weights.
  if (first + 0u <= last_query) {
    let y_row = y_first + (first + 0u) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + 0u] / l0); }
  }
  if (first + 1u <= last_query) {
    let y_row = y_first + (first + 1u) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + 1u] / l1); }
  }
  if (first + 2u <= last_query) {
    let y_row = y_first + (first + 2u) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + 2u] / l2); }
  }
  if (first + 3u <= last_query) {
    let y_row = y_first + (first + 3u) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + 3u] / l3); }
  }
}
