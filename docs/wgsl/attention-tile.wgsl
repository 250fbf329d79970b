// attention/tile d=64: self-attention of 4096 tokens, 5 heads of 64. Storage f16; 128 × 5 × 1 workgroups.
enable f16;
const HEAD_QUADS: u32 = 16u;
const TX: u32 = 8u;
const TY: u32 = 8u;
const INVOCATIONS: u32 = 64u;
const RQ: u32 = 4u;
const BQ: u32 = 32u;
const CHUNKS: u32 = 2u;
const BK: u32 = 32u;
const BQ_PADDED: u32 = 33u;
const BK_PADDED: u32 = 33u;
const Q_QUADS: u32 = 264u;
const KV_QUADS: u32 = 264u;
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

// From left to right: four multiply-adds. Compilers of GPUs may not make them of a sum that begins with a dot product.
fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

var<workgroup> q_staged: array<vec4<f32>, Q_QUADS>; // [quad][query]
var<workgroup> kv_staged: array<vec4<f32>, KV_QUADS>; // k: [quad][key slot]; v: [key][quad], not padded
var<workgroup> weights: array<vec4<f32>, Q_QUADS>; // [four keys][query]
var<workgroup> row_values: array<f32, Q_QUADS>; // [column][query]: maxima, at last sums

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tx = local % TX;
  let ty = local / TX;
  let first = group.x * BQ;
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  let row0 = ty + 0u * TY; var m0 = MASKED; var l0 = 0.0;
  let row1 = ty + 1u * TY; var m1 = MASKED; var l1 = 0.0;
  let row2 = ty + 2u * TY; var m2 = MASKED; var l2 = 0.0;
  let row3 = ty + 3u * TY; var m3 = MASKED; var l3 = 0.0;
  var out0_0 = vec4<f32>(0.0);
  var out0_1 = vec4<f32>(0.0);
  var out1_0 = vec4<f32>(0.0);
  var out1_1 = vec4<f32>(0.0);
  var out2_0 = vec4<f32>(0.0);
  var out2_1 = vec4<f32>(0.0);
  var out3_0 = vec4<f32>(0.0);
  var out3_1 = vec4<f32>(0.0);

  for (var block = 0u; block < params.key_tokens; block += BK) {
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < CHUNKS * TX; chunk += TX) {
      for (var i = local; i < TX * BQ; i += INVOCATIONS) {
        let c = i % TX;
        let query = first + i / TX;
        var value = vec4<f32>(0.0);
        if (query < params.query_tokens && chunk + c < HEAD_QUADS) {
          value = unpack(q[q_first + query * params.query_stride + chunk + c]);
        }
        q_staged[c * BQ_PADDED + i / TX] = value;
      }
      for (var i = local; i < TX * BK; i += INVOCATIONS) {
        let c = i % TX;
        let slot = i / TX;
        let key = block + slot;
        var value = vec4<f32>(0.0);
        if (key < params.key_tokens && chunk + c < HEAD_QUADS) {
          value = unpack(k[k_first + key * params.key_stride + chunk + c]);
        }
        kv_staged[c * BK_PADDED + (slot % 4u) * TX + slot / 4u] = value;
      }
      workgroupBarrier();
      for (var c = 0u; c < TX; c++) {
        let at = c * BK_PADDED + tx;
        let k0 = kv_staged[at];
        let k1 = kv_staged[at + TX];
        let k2 = kv_staged[at + 2u * TX];
        let k3 = kv_staged[at + 3u * TX];
        let q0 = q_staged[c * BQ_PADDED + row0];
        s0 = vec4<f32>(add_dot(s0.x, q0, k0), add_dot(s0.y, q0, k1), add_dot(s0.z, q0, k2), add_dot(s0.w, q0, k3));
        let q1 = q_staged[c * BQ_PADDED + row1];
        s1 = vec4<f32>(add_dot(s1.x, q1, k0), add_dot(s1.y, q1, k1), add_dot(s1.z, q1, k2), add_dot(s1.w, q1, k3));
        let q2 = q_staged[c * BQ_PADDED + row2];
        s2 = vec4<f32>(add_dot(s2.x, q2, k0), add_dot(s2.y, q2, k1), add_dot(s2.z, q2, k2), add_dot(s2.w, q2, k3));
        let q3 = q_staged[c * BQ_PADDED + row3];
        s3 = vec4<f32>(add_dot(s3.x, q3, k0), add_dot(s3.y, q3, k1), add_dot(s3.z, q3, k2), add_dot(s3.w, q3, k3));
      }
      workgroupBarrier();
    }

    let keys = vec4<u32>(block + 4u * tx) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_key = keys < vec4<u32>(params.key_tokens);
    s0 = select(vec4<f32>(MASKED), s0 * params.scale_log2e, is_key);
    row_values[tx * BQ_PADDED + row0] = max(max(s0.x, s0.y), max(s0.z, s0.w));
    s1 = select(vec4<f32>(MASKED), s1 * params.scale_log2e, is_key);
    row_values[tx * BQ_PADDED + row1] = max(max(s1.x, s1.y), max(s1.z, s1.w));
    s2 = select(vec4<f32>(MASKED), s2 * params.scale_log2e, is_key);
    row_values[tx * BQ_PADDED + row2] = max(max(s2.x, s2.y), max(s2.z, s2.w));
    s3 = select(vec4<f32>(MASKED), s3 * params.scale_log2e, is_key);
    row_values[tx * BQ_PADDED + row3] = max(max(s3.x, s3.y), max(s3.z, s3.w));
    workgroupBarrier();
    var n0 = m0;
    var n1 = m1;
    var n2 = m2;
    var n3 = m3;
    for (var i = 0u; i < TX; i++) {
      n0 = max(n0, row_values[i * BQ_PADDED + row0]);
      n1 = max(n1, row_values[i * BQ_PADDED + row1]);
      n2 = max(n2, row_values[i * BQ_PADDED + row2]);
      n3 = max(n3, row_values[i * BQ_PADDED + row3]);
    }
    let rescale0 = exp2(m0 - n0);
    m0 = n0;
    s0 = exp2(s0 - vec4<f32>(n0));
    l0 = l0 * rescale0 + dot(s0, vec4<f32>(1.0));
    weights[tx * BQ_PADDED + row0] = s0;
    let rescale1 = exp2(m1 - n1);
    m1 = n1;
    s1 = exp2(s1 - vec4<f32>(n1));
    l1 = l1 * rescale1 + dot(s1, vec4<f32>(1.0));
    weights[tx * BQ_PADDED + row1] = s1;
    let rescale2 = exp2(m2 - n2);
    m2 = n2;
    s2 = exp2(s2 - vec4<f32>(n2));
    l2 = l2 * rescale2 + dot(s2, vec4<f32>(1.0));
    weights[tx * BQ_PADDED + row2] = s2;
    let rescale3 = exp2(m3 - n3);
    m3 = n3;
    s3 = exp2(s3 - vec4<f32>(n3));
    l3 = l3 * rescale3 + dot(s3, vec4<f32>(1.0));
    weights[tx * BQ_PADDED + row3] = s3;

    for (var i = local; i < TX * BK; i += INVOCATIONS) {
      let quad = 0u * TX + i % TX;
      let key = block + i / TX;
      var value = vec4<f32>(0.0);
      if (key < params.key_tokens && quad < HEAD_QUADS) {
        value = unpack(v[v_first + key * params.value_stride + quad]);
      }
      kv_staged[i] = value;
    }
    workgroupBarrier();
    out0_0 *= rescale0;
    out1_0 *= rescale1;
    out2_0 *= rescale2;
    out3_0 *= rescale3;
    for (var i = 0u; i < TX; i++) {
      let v0 = kv_staged[(4u * i) * TX + tx];
      let v1 = kv_staged[(4u * i + 1u) * TX + tx];
      let v2 = kv_staged[(4u * i + 2u) * TX + tx];
      let v3 = kv_staged[(4u * i + 3u) * TX + tx];
      let w0 = weights[i * BQ_PADDED + row0];
      out0_0 = out0_0 + w0.x * v0 + w0.y * v1 + w0.z * v2 + w0.w * v3;
      let w1 = weights[i * BQ_PADDED + row1];
      out1_0 = out1_0 + w1.x * v0 + w1.y * v1 + w1.z * v2 + w1.w * v3;
      let w2 = weights[i * BQ_PADDED + row2];
      out2_0 = out2_0 + w2.x * v0 + w2.y * v1 + w2.z * v2 + w2.w * v3;
      let w3 = weights[i * BQ_PADDED + row3];
      out3_0 = out3_0 + w3.x * v0 + w3.y * v1 + w3.z * v2 + w3.w * v3;
    }
    workgroupBarrier();
    for (var i = local; i < TX * BK; i += INVOCATIONS) {
      let quad = 1u * TX + i % TX;
      let key = block + i / TX;
      var value = vec4<f32>(0.0);
      if (key < params.key_tokens && quad < HEAD_QUADS) {
        value = unpack(v[v_first + key * params.value_stride + quad]);
      }
      kv_staged[i] = value;
    }
    workgroupBarrier();
    out0_1 *= rescale0;
    out1_1 *= rescale1;
    out2_1 *= rescale2;
    out3_1 *= rescale3;
    for (var i = 0u; i < TX; i++) {
      let v0 = kv_staged[(4u * i) * TX + tx];
      let v1 = kv_staged[(4u * i + 1u) * TX + tx];
      let v2 = kv_staged[(4u * i + 2u) * TX + tx];
      let v3 = kv_staged[(4u * i + 3u) * TX + tx];
      let w0 = weights[i * BQ_PADDED + row0];
      out0_1 = out0_1 + w0.x * v0 + w0.y * v1 + w0.z * v2 + w0.w * v3;
      let w1 = weights[i * BQ_PADDED + row1];
      out1_1 = out1_1 + w1.x * v0 + w1.y * v1 + w1.z * v2 + w1.w * v3;
      let w2 = weights[i * BQ_PADDED + row2];
      out2_1 = out2_1 + w2.x * v0 + w2.y * v1 + w2.z * v2 + w2.w * v3;
      let w3 = weights[i * BQ_PADDED + row3];
      out3_1 = out3_1 + w3.x * v0 + w3.y * v1 + w3.z * v2 + w3.w * v3;
    }
    workgroupBarrier();
  }

  row_values[tx * BQ_PADDED + row0] = l0;
  row_values[tx * BQ_PADDED + row1] = l1;
  row_values[tx * BQ_PADDED + row2] = l2;
  row_values[tx * BQ_PADDED + row3] = l3;
  workgroupBarrier();
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad + tx;
  if (first + row0 < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_values[i * BQ_PADDED + row0]; }
    let y_row = y_first + (first + row0) * params.output_stride;
    y[y_row + 0u * TX] = pack(out0_0 / sum);
    y[y_row + 1u * TX] = pack(out0_1 / sum);

  }
  if (first + row1 < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_values[i * BQ_PADDED + row1]; }
    let y_row = y_first + (first + row1) * params.output_stride;
    y[y_row + 0u * TX] = pack(out1_0 / sum);
    y[y_row + 1u * TX] = pack(out1_1 / sum);

  }
  if (first + row2 < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_values[i * BQ_PADDED + row2]; }
    let y_row = y_first + (first + row2) * params.output_stride;
    y[y_row + 0u * TX] = pack(out2_0 / sum);
    y[y_row + 1u * TX] = pack(out2_1 / sum);

  }
  if (first + row3 < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_values[i * BQ_PADDED + row3]; }
    let y_row = y_first + (first + row3) * params.output_stride;
    y[y_row + 0u * TX] = pack(out3_0 / sum);
    y[y_row + 1u * TX] = pack(out3_1 / sum);

  }
}
