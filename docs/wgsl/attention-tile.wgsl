// attention/tile d=64: self-attention of 4096 tokens, 5 heads of 64. Storage f16; 128 × 5 × 1 workgroups.
enable f16;
const HEAD_QUADS: u32 = 16u;
const TX: u32 = 8u;
const TY: u32 = 8u;
const INVOCATIONS: u32 = 64u;
const BQ: u32 = 32u;
const CQ: u32 = 4u;
const KV: u32 = 16u;
const QUADS: u32 = 2u;
const BK: u32 = 64u;
const RQ: u32 = 4u;
const Q_MEMORY: u32 = 132u;
const KV_MEMORY: u32 = 260u;
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

var<workgroup> q_memory: array<vec4<f32>, Q_MEMORY>; // q: [quad][query]; maxima, at last sums: [column][row]
var<workgroup> kv_memory: array<vec4<f32>, KV_MEMORY>; // k: [quad][key]; v: [key][quad]
var<workgroup> weights: array<array<vec4<f32>, TY>, BK>; // [key][row], of four queries

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tx = local % TX;
  let ty = local / TX;
  let first = group.x * BQ;
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  var highest = vec4<f32>(MASKED);
  var total = vec4<f32>(0.0);
  var out0_0 = vec4<f32>(0.0);
  var out0_1 = vec4<f32>(0.0);
  var out1_0 = vec4<f32>(0.0);
  var out1_1 = vec4<f32>(0.0);
  var out2_0 = vec4<f32>(0.0);
  var out2_1 = vec4<f32>(0.0);
  var out3_0 = vec4<f32>(0.0);
  var out3_1 = vec4<f32>(0.0);

  for (var block = 0u; block < params.key_tokens; block += BK) {
    var score0 = vec4<f32>(0.0);
    var score1 = vec4<f32>(0.0);
    var score2 = vec4<f32>(0.0);
    var score3 = vec4<f32>(0.0);
    var score4 = vec4<f32>(0.0);
    var score5 = vec4<f32>(0.0);
    var score6 = vec4<f32>(0.0);
    var score7 = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < HEAD_QUADS; chunk += CQ) {
      for (var turn = 0u; turn < 2u; turn++) {
        let i = turn * INVOCATIONS + local;
        q_memory[(i % CQ) * (BQ + 1u) + i / CQ] = unpack(q[q_first + min(first + i / CQ, params.query_tokens - 1u) * params.query_stride + chunk + i % CQ]);
      }
      for (var turn = 0u; turn < 4u; turn++) {
        let i = turn * INVOCATIONS + local;
        kv_memory[(i % CQ) * (BK + 1u) + i / CQ] = unpack(k[k_first + min(block + i / CQ, params.key_tokens - 1u) * params.key_stride + chunk + i % CQ]);
      }
      workgroupBarrier();
      for (var c = 0u; c < CQ; c++) {
        let q0 = q_memory[c * (BQ + 1u) + RQ * ty + 0u];
        let q1 = q_memory[c * (BQ + 1u) + RQ * ty + 1u];
        let q2 = q_memory[c * (BQ + 1u) + RQ * ty + 2u];
        let q3 = q_memory[c * (BQ + 1u) + RQ * ty + 3u];
        {
          let key = kv_memory[c * (BK + 1u) + 0u + tx];
          score0.x = add_dot(score0.x, q0, key);
          score0.y = add_dot(score0.y, q1, key);
          score0.z = add_dot(score0.z, q2, key);
          score0.w = add_dot(score0.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 8u + tx];
          score1.x = add_dot(score1.x, q0, key);
          score1.y = add_dot(score1.y, q1, key);
          score1.z = add_dot(score1.z, q2, key);
          score1.w = add_dot(score1.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 16u + tx];
          score2.x = add_dot(score2.x, q0, key);
          score2.y = add_dot(score2.y, q1, key);
          score2.z = add_dot(score2.z, q2, key);
          score2.w = add_dot(score2.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 24u + tx];
          score3.x = add_dot(score3.x, q0, key);
          score3.y = add_dot(score3.y, q1, key);
          score3.z = add_dot(score3.z, q2, key);
          score3.w = add_dot(score3.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 32u + tx];
          score4.x = add_dot(score4.x, q0, key);
          score4.y = add_dot(score4.y, q1, key);
          score4.z = add_dot(score4.z, q2, key);
          score4.w = add_dot(score4.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 40u + tx];
          score5.x = add_dot(score5.x, q0, key);
          score5.y = add_dot(score5.y, q1, key);
          score5.z = add_dot(score5.z, q2, key);
          score5.w = add_dot(score5.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 48u + tx];
          score6.x = add_dot(score6.x, q0, key);
          score6.y = add_dot(score6.y, q1, key);
          score6.z = add_dot(score6.z, q2, key);
          score6.w = add_dot(score6.w, q3, key);
        }
        {
          let key = kv_memory[c * (BK + 1u) + 56u + tx];
          score7.x = add_dot(score7.x, q0, key);
          score7.y = add_dot(score7.y, q1, key);
          score7.z = add_dot(score7.z, q2, key);
          score7.w = add_dot(score7.w, q3, key);
        }
      }
      workgroupBarrier();
    }

    score0 = select(vec4<f32>(MASKED), score0 * params.scale_log2e, block + 0u * TX + tx < params.key_tokens);
    score1 = select(vec4<f32>(MASKED), score1 * params.scale_log2e, block + 1u * TX + tx < params.key_tokens);
    score2 = select(vec4<f32>(MASKED), score2 * params.scale_log2e, block + 2u * TX + tx < params.key_tokens);
    score3 = select(vec4<f32>(MASKED), score3 * params.scale_log2e, block + 3u * TX + tx < params.key_tokens);
    score4 = select(vec4<f32>(MASKED), score4 * params.scale_log2e, block + 4u * TX + tx < params.key_tokens);
    score5 = select(vec4<f32>(MASKED), score5 * params.scale_log2e, block + 5u * TX + tx < params.key_tokens);
    score6 = select(vec4<f32>(MASKED), score6 * params.scale_log2e, block + 6u * TX + tx < params.key_tokens);
    score7 = select(vec4<f32>(MASKED), score7 * params.scale_log2e, block + 7u * TX + tx < params.key_tokens);
    q_memory[tx * TY + ty] = max(max(max(max(max(max(max(score0, score1), score2), score3), score4), score5), score6), score7);
    workgroupBarrier();
    var now_highest = highest;
    for (var i = 0u; i < TX; i++) { now_highest = max(now_highest, q_memory[i * TY + ty]); }
    let rescale = exp2(highest - now_highest);
    highest = now_highest;
    total *= rescale;
    score0 = exp2(score0 - highest);
    total += score0;
    weights[0u * TX + tx][ty] = score0;
    score1 = exp2(score1 - highest);
    total += score1;
    weights[1u * TX + tx][ty] = score1;
    score2 = exp2(score2 - highest);
    total += score2;
    weights[2u * TX + tx][ty] = score2;
    score3 = exp2(score3 - highest);
    total += score3;
    weights[3u * TX + tx][ty] = score3;
    score4 = exp2(score4 - highest);
    total += score4;
    weights[4u * TX + tx][ty] = score4;
    score5 = exp2(score5 - highest);
    total += score5;
    weights[5u * TX + tx][ty] = score5;
    score6 = exp2(score6 - highest);
    total += score6;
    weights[6u * TX + tx][ty] = score6;
    score7 = exp2(score7 - highest);
    total += score7;
    weights[7u * TX + tx][ty] = score7;
    out0_0 *= rescale.x;
    out0_1 *= rescale.x;
    out1_0 *= rescale.y;
    out1_1 *= rescale.y;
    out2_0 *= rescale.z;
    out2_1 *= rescale.z;
    out3_0 *= rescale.w;
    out3_1 *= rescale.w;

    for (var part = 0u; part < BK; part += KV) {
      for (var turn = 0u; turn < 4u; turn++) {
        let i = turn * INVOCATIONS + local;
        kv_memory[i] = unpack(v[v_first + min(block + part + i / (QUADS * TX), params.key_tokens - 1u) * params.value_stride + i % (QUADS * TX)]);
      }
      workgroupBarrier();
      for (var i = 0u; i < KV; i++) {
        let w = weights[part + i][ty];
        {
          let value = kv_memory[i * (QUADS * TX) + 0u + tx];
          out0_0 += w.x * value;
          out1_0 += w.y * value;
          out2_0 += w.z * value;
          out3_0 += w.w * value;
        }
        {
          let value = kv_memory[i * (QUADS * TX) + 8u + tx];
          out0_1 += w.x * value;
          out1_1 += w.y * value;
          out2_1 += w.z * value;
          out3_1 += w.w * value;
        }
      }
      workgroupBarrier();
    }
  }

  q_memory[tx * TY + ty] = total;
  workgroupBarrier();
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < TX; i++) { sum += q_memory[i * TY + ty]; }
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad + tx;
  if (first + RQ * ty + 0u < params.query_tokens) {
    let y_row = y_first + (first + RQ * ty + 0u) * params.output_stride;
    { y[y_row + 0u] = pack(out0_0 / sum.x); }
    { y[y_row + 8u] = pack(out0_1 / sum.x); }
  }
  if (first + RQ * ty + 1u < params.query_tokens) {
    let y_row = y_first + (first + RQ * ty + 1u) * params.output_stride;
    { y[y_row + 0u] = pack(out1_0 / sum.y); }
    { y[y_row + 8u] = pack(out1_1 / sum.y); }
  }
  if (first + RQ * ty + 2u < params.query_tokens) {
    let y_row = y_first + (first + RQ * ty + 2u) * params.output_stride;
    { y[y_row + 0u] = pack(out2_0 / sum.z); }
    { y[y_row + 8u] = pack(out2_1 / sum.z); }
  }
  if (first + RQ * ty + 3u < params.query_tokens) {
    let y_row = y_first + (first + RQ * ty + 3u) * params.output_stride;
    { y[y_row + 0u] = pack(out3_0 / sum.w); }
    { y[y_row + 8u] = pack(out3_1 / sum.w); }
  }
}
