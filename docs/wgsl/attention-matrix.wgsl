// attention/matrix d=64: self-attention of 4096 tokens, 5 heads of 64. Storage f16; 64 × 5 × 1 workgroups.
enable f16;
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable subgroups;
enable chromium_experimental_subgroup_matrix;
enable subgroup_size_control;
const HEAD_QUADS: u32 = 16u;
const INVOCATIONS: u32 = 128u;
const BQ: u32 = 64u;
const CHUNKS: u32 = 1u;
const M: u32 = 16u;
const N: u32 = 16u;
const K: u32 = 16u;
const BK: u32 = 32u;
const BLOCK_QUADS: u32 = 8u;
const CHUNK: u32 = 64u;
const CHUNK_QUADS: u32 = 16u;
const LANES: u32 = 2u;
const LANE_QUADS: u32 = 4u;
const CHUNK_LENGTH: u32 = 72u;
const BLOCK_LENGTH: u32 = 40u;
const SCORE_LENGTH: u32 = 36u;
const SCORES_DOWN: u32 = 4u;
const SCORES_ACROSS: u32 = 1u;
const OUTPUTS_DOWN: u32 = 4u;
const OUTPUTS_ACROSS: u32 = 1u;
const SCORE_ROWS: u32 = 16u;
const SCORE_COLUMNS: u32 = 32u;
const OUTPUT_ROWS: u32 = 16u;
const OUTPUT_COLUMNS: u32 = 64u;
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
const MOST_GROWTH: f32 = 8.0; // in log2 units
var<workgroup> staged: array<vec4<f16>, 640>;
fn set_staged(quad: u32, v: vec4<f16>) { staged[quad] = v; }
fn get_staged(quad: u32) -> vec4<f16> { return staged[quad]; }
var<workgroup> weights: array<vec4<f16>, 640>;
fn set_weights(quad: u32, v: vec4<f16>) { weights[quad] = v; }
fn get_weights(quad: u32) -> vec4<f16> { return weights[quad]; }
var<workgroup> scores: array<vec4<f32>, 576>;
fn set_scores(quad: u32, v: vec4<f32>) { scores[quad] = v; }
fn get_scores(quad: u32) -> vec4<f32> { return scores[quad]; }

var<workgroup> lane_sums: array<f32, INVOCATIONS>;
var<workgroup> is_outgrown: u32;

// A quad of a row's scores, in log2 units. Keys behind the last are masked.
fn scores_of(row: u32, quad: u32, block: u32) -> vec4<f32> {
  let is_key = vec4<u32>(block + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.key_tokens);
  return select(vec4<f32>(MASKED), get_scores(row * (SCORE_LENGTH / 4u) + quad) * params.scale_log2e, is_key);
}

@compute @workgroup_size(INVOCATIONS) @subgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32) {
  let first = group.x * BQ;
  let head_quad = group.y * HEAD_QUADS;
  let q_stride = params.query_stride;
  let k_stride = params.key_stride;
  let q_first = group.z * params.query_tokens * q_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * k_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  // The masks change nothing. They show compilers that all loads of matrices are within their arrays.
  let score_row = ((subgroup / SCORES_ACROSS) & (SCORES_DOWN - 1u)) * SCORE_ROWS;
  let score_column = (subgroup & (SCORES_ACROSS - 1u)) * SCORE_COLUMNS;
  let output_row = ((subgroup / OUTPUTS_ACROSS) & (OUTPUTS_DOWN - 1u)) * OUTPUT_ROWS;
  let output_column = (subgroup & (OUTPUTS_ACROSS - 1u)) * OUTPUT_COLUMNS;
  let row = local / LANES;
  let first_quad = local % LANES * LANE_QUADS;
  var out0_0_0: subgroup_matrix_result<f32, 16, 16>;
  var out0_0_1: subgroup_matrix_result<f32, 16, 16>;
  var out0_0_2: subgroup_matrix_result<f32, 16, 16>;
  var out0_0_3: subgroup_matrix_result<f32, 16, 16>;
  var reference = MASKED;
  var sum = 0.0;
  var held: array<subgroup_matrix_left<f16, 16, 16>, 4>;
  for (var s = 0u; s < BQ * BLOCK_QUADS / INVOCATIONS; s++) {
    let i = local + s * INVOCATIONS;
    let token = first + i / BLOCK_QUADS;
    var value = vec4<f16>();
    if (token < params.query_tokens) { value = q[q_first + token * q_stride + 0u * BLOCK_QUADS + i % BLOCK_QUADS]; }
    set_weights(i / BLOCK_QUADS * (BLOCK_LENGTH / 4u) + i % BLOCK_QUADS, value);
  }
  workgroupBarrier();
  for (var k = 0u; k < BK; k += K) {
    held[0u + 0u + k / K] = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, ((score_row + 0u * M) * BLOCK_LENGTH + k) / 4u, 10u);
  }
  workgroupBarrier();

  for (var s = 0u; s < BQ * BLOCK_QUADS / INVOCATIONS; s++) {
    let i = local + s * INVOCATIONS;
    let token = first + i / BLOCK_QUADS;
    var value = vec4<f16>();
    if (token < params.query_tokens) { value = q[q_first + token * q_stride + 1u * BLOCK_QUADS + i % BLOCK_QUADS]; }
    set_weights(i / BLOCK_QUADS * (BLOCK_LENGTH / 4u) + i % BLOCK_QUADS, value);
  }
  workgroupBarrier();
  for (var k = 0u; k < BK; k += K) {
    held[0u + 2u + k / K] = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, ((score_row + 0u * M) * BLOCK_LENGTH + k) / 4u, 10u);
  }
  workgroupBarrier();

  for (var block = 0u; block < params.key_tokens; block += BK) {
    // Not by declaration alone: that makes zeros only once, before the loop.
    var score0_0 = subgroup_matrix_result<f32, 16, 16>();
    var score0_1 = subgroup_matrix_result<f32, 16, 16>();
    if (local == 0u) { is_outgrown = 0u; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {

      for (var s = 0u; s < BK * CHUNK_QUADS / INVOCATIONS; s++) {
        let i = local + s * INVOCATIONS;
        let token = block + i / CHUNK_QUADS;
        var value = vec4<f16>();
        if (token < params.key_tokens) { value = k[k_first + token * k_stride + chunk * CHUNK_QUADS + i % CHUNK_QUADS]; }
        set_staged(i / CHUNK_QUADS * (CHUNK_LENGTH / 4u) + i % CHUNK_QUADS, value);
      }
      workgroupBarrier();
      for (var k = 0u; k < CHUNK; k += K) {
        let left0 = held[0u + k / K];
        let right0 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((score_column + 0u * N) * CHUNK_LENGTH + k) / 4u, 18u);
        let right1 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((score_column + 1u * N) * CHUNK_LENGTH + k) / 4u, 18u);
        score0_0 = subgroupMatrixMultiplyAccumulate(left0, right0, score0_0);
        score0_1 = subgroupMatrixMultiplyAccumulate(left0, right1, score0_1);
      }
      workgroupBarrier();
    }
    subgroupMatrixStore<row_major>(&scores, ((score_row + 0u * M) * SCORE_LENGTH + score_column + 0u * N) / 4u, score0_0, 9u);
    subgroupMatrixStore<row_major>(&scores, ((score_row + 0u * M) * SCORE_LENGTH + score_column + 1u * N) / 4u, score0_1, 9u);
    workgroupBarrier();

    var most = vec4<f32>(MASKED);
    for (var i = 0u; i < BLOCK_QUADS; i++) { most = max(most, scores_of(row, i, block)); }
    let highest = max(max(most.x, most.y), max(most.z, most.w));
    var rescale = 1.0;
    if (highest > reference + MOST_GROWTH) {
      rescale = exp2(reference - highest);
      reference = highest;
      is_outgrown = 1u;
    }
    sum *= rescale;
    for (var i = 0u; i < LANE_QUADS; i++) {
      let quad = first_quad + i;
      let weight = vec4<f16>(exp2(scores_of(row, quad, block) - vec4<f32>(reference)));
      sum += dot(vec4<f32>(weight), vec4<f32>(1.0));
      set_weights(row * (BLOCK_LENGTH / 4u) + quad, weight);
    }
    if (workgroupUniformLoad(&is_outgrown) != 0u && block != 0u) {

      if ((output_column + 0u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, out0_0_0, 9u); }
      if ((output_column + 1u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, out0_0_1, 9u); }
      if ((output_column + 2u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, out0_0_2, 9u); }
      if ((output_column + 3u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, out0_0_3, 9u); }
      workgroupBarrier();
      for (var i = 0u; i < LANE_QUADS; i++) {
        let at = row * (SCORE_LENGTH / 4u) + first_quad + i;
        set_scores(at, get_scores(at) * rescale);
      }
      workgroupBarrier();
      if ((output_column + 0u * N) / BK == 0u) { out0_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, 9u); }
      if ((output_column + 1u * N) / BK == 0u) { out0_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, 9u); }
      if ((output_column + 2u * N) / BK == 0u) { out0_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, 9u); }
      if ((output_column + 3u * N) / BK == 0u) { out0_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, 9u); }
      workgroupBarrier();

      if ((output_column + 0u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, out0_0_0, 9u); }
      if ((output_column + 1u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, out0_0_1, 9u); }
      if ((output_column + 2u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, out0_0_2, 9u); }
      if ((output_column + 3u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, out0_0_3, 9u); }
      workgroupBarrier();
      for (var i = 0u; i < LANE_QUADS; i++) {
        let at = row * (SCORE_LENGTH / 4u) + first_quad + i;
        set_scores(at, get_scores(at) * rescale);
      }
      workgroupBarrier();
      if ((output_column + 0u * N) / BK == 1u) { out0_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, 9u); }
      if ((output_column + 1u * N) / BK == 1u) { out0_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, 9u); }
      if ((output_column + 2u * N) / BK == 1u) { out0_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, 9u); }
      if ((output_column + 3u * N) / BK == 1u) { out0_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, 9u); }
      workgroupBarrier();
    }
    for (var s = 0u; s < BLOCK_QUADS * CHUNK_QUADS / INVOCATIONS; s++) {
      // A block of 4 keys × 4 channels, transposed.
      let i = local + s * INVOCATIONS;
      let key = block + 4u * (i % BLOCK_QUADS);
      let column = i / BLOCK_QUADS;
      let at = v_first + key * params.value_stride + 0u * CHUNK_QUADS + column;
      var v0 = vec4<f16>();
      if (key + 0u < params.key_tokens) { v0 = v[at + 0u * params.value_stride]; }
      var v1 = vec4<f16>();
      if (key + 1u < params.key_tokens) { v1 = v[at + 1u * params.value_stride]; }
      var v2 = vec4<f16>();
      if (key + 2u < params.key_tokens) { v2 = v[at + 2u * params.value_stride]; }
      var v3 = vec4<f16>();
      if (key + 3u < params.key_tokens) { v3 = v[at + 3u * params.value_stride]; }
      set_staged(column * BLOCK_LENGTH + i % BLOCK_QUADS + 0u, vec4<f16>(v0.x, v1.x, v2.x, v3.x));
      set_staged(column * BLOCK_LENGTH + i % BLOCK_QUADS + 10u, vec4<f16>(v0.y, v1.y, v2.y, v3.y));
      set_staged(column * BLOCK_LENGTH + i % BLOCK_QUADS + 20u, vec4<f16>(v0.z, v1.z, v2.z, v3.z));
      set_staged(column * BLOCK_LENGTH + i % BLOCK_QUADS + 30u, vec4<f16>(v0.w, v1.w, v2.w, v3.w));
    }
    workgroupBarrier();
    for (var k = 0u; k < BK; k += K) {
      let left0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, ((output_row + 0u * M) * BLOCK_LENGTH + k) / 4u, 10u);
      let right0 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((output_column + 0u * N) * BLOCK_LENGTH + k) / 4u, 10u);
      let right1 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((output_column + 1u * N) * BLOCK_LENGTH + k) / 4u, 10u);
      let right2 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((output_column + 2u * N) * BLOCK_LENGTH + k) / 4u, 10u);
      let right3 = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, ((output_column + 3u * N) * BLOCK_LENGTH + k) / 4u, 10u);
      out0_0_0 = subgroupMatrixMultiplyAccumulate(left0, right0, out0_0_0);
      out0_0_1 = subgroupMatrixMultiplyAccumulate(left0, right1, out0_0_1);
      out0_0_2 = subgroupMatrixMultiplyAccumulate(left0, right2, out0_0_2);
      out0_0_3 = subgroupMatrixMultiplyAccumulate(left0, right3, out0_0_3);
    }
    workgroupBarrier();
  }

  lane_sums[local] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += lane_sums[row * LANES + i]; }
  let y_first = (group.z * params.query_tokens + first + row) * params.output_stride + head_quad;

  if ((output_column + 0u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, out0_0_0, 9u); }
  if ((output_column + 1u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, out0_0_1, 9u); }
  if ((output_column + 2u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, out0_0_2, 9u); }
  if ((output_column + 3u * N) / BK == 0u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, out0_0_3, 9u); }
  workgroupBarrier();
  for (var i = 0u; i < LANE_QUADS; i++) {
    let quad = first_quad + i;
    let output = pack(get_scores(row * (SCORE_LENGTH / 4u) + quad) / sum);
    if (first + row < params.query_tokens) { y[y_first + 0u * CHUNK_QUADS + 0u * BLOCK_QUADS + quad] = output; }
  }
  workgroupBarrier();

  if ((output_column + 0u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 0u * N) % BK) / 4u, out0_0_0, 9u); }
  if ((output_column + 1u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 1u * N) % BK) / 4u, out0_0_1, 9u); }
  if ((output_column + 2u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 2u * N) % BK) / 4u, out0_0_2, 9u); }
  if ((output_column + 3u * N) / BK == 1u) { subgroupMatrixStore<row_major>(&scores, ((output_row + 0u * M) * SCORE_LENGTH + (output_column + 3u * N) % BK) / 4u, out0_0_3, 9u); }
  workgroupBarrier();
  for (var i = 0u; i < LANE_QUADS; i++) {
    let quad = first_quad + i;
    let output = pack(get_scores(row * (SCORE_LENGTH / 4u) + quad) / sum);
    if (first + row < params.query_tokens) { y[y_first + 0u * CHUNK_QUADS + 1u * BLOCK_QUADS + quad] = output; }
  }
  workgroupBarrier();
}
