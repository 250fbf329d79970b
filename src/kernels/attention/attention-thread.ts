/**
 * `thread` attention: one invocation handles TQ consecutive queries of one head. It needs no workgroup memory and no
 * barriers. Keys come in blocks of BK = 8.
 *
 * Made for software adapters, where every load is a bounds-checked gather and costs as much as several FMAs. A k or v
 * quad serves TQ queries; a q or output quad serves eight keys. Neighbouring invocations hold neighbouring queries,
 * so they read the same k and v: a broadcast, not a gather, on SwiftShader.
 *
 * Measured on SwiftShader (5 heads, d 64, GFLOP/s per core), TQ×BK: 4×4 0.8, 4×8 1.0, 4×16 1.07, 8×8 1.04, 8×4 0.7.
 * 8×8 and 4×16 compile two to six times longer. 4×8 with fma() 0.9; with q read from storage each time 0.9. With the
 * channel loop unrolled too 1.2, but that compiles for 16 s. f16 costs 15 % more: half the loads nearly make up for
 * unpacking. llvmpipe's compiler takes seconds for the long blocks of f16, once: Mesa caches the result.
 */
import { unroll } from "../unroll.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";

/** Keys per block, unrolled. */
const BK = 8;
/** Small, so that few queries still make enough workgroups for all cores. */
const WORKGROUP = 16;

/**
 * Queries per invocation. For each, q and the output take 8·headDim bytes of the 8,192 bytes of function memory that
 * WGSL guarantees; 2 KiB stay free for everything else.
 */
export function threadQueries(headDim: number): number {
  return Math.max(1, Math.min(4, Math.floor(6144 / (8 * headDim))));
}

export function threadAttention({
  batch,
  queryTokens,
  numHeads,
  headDim,
}: AttentionGrid): AttentionShader {
  const TQ = threadQueries(headDim);
  return {
    constants: { TQ, BK, WORKGROUP },
    body: attentionThreadWgsl(TQ),
    workgroups: [Math.ceil(queryTokens / (TQ * WORKGROUP)), numHeads, batch],
  };
}

/**
 * Variables of query `$t` and key `$j`: m$t is the query's running maximum, l$t its running sum, s$t_$j the pair's
 * score, then weight. qs and out are [channel quad][query].
 */
function attentionThreadWgsl(TQ: number): string {
  const keys = Array.from({ length: BK }, (_, j) => j);
  const maximum = keys.reduce((rest, j) => `max(${rest}, s$t_${j})`, "m$t");
  const sum = keys.map((j) => `s$t_${j}`).join(" + ");
  const weighted = keys.map((j) => `s$t_${j} * v${j}`).join(" + ");
  return /* wgsl */ `
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
  ${unroll(TQ, "$t", "let q_row$t = q_first + min(first + $tu, last_query) * params.query_stride;")}
  for (var c = 0u; c < HEAD_QUADS; c++) {
    ${unroll(TQ, "$t", "qs[c * TQ + $tu] = unpack(q[q_row$t + c]) * params.scale_log2e;")}
  }
  ${unroll(TQ, "$t", "var m$t = MASKED; var l$t = 0.0;")}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${unroll(BK, "$j", "let key$j = min(block + $ju, last_key);")}
    ${unroll(BK, "$j", "let k_row$j = k_first + key$j * params.key_stride;")}
    // Scores of the block.
    ${unroll(TQ, "$t", unroll(BK, "$j", "var s$t_$j = 0.0;"))}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${unroll(BK, "$j", "let k$j = unpack(k[k_row$j + c]);")}
      ${unroll(
        TQ,
        "$t",
        /* wgsl */ `let q$t = qs[c * TQ + $tu];
      ${unroll(BK, "$j", "s$t_$j += dot(q$t, k$j);")}`,
      )}
    }
    // Keys beyond the last are copies of it: weight 0.
    if (block + (BK - 1u) > last_key) {
      ${unroll(BK, "$j", `if (block + $ju > last_key) { ${unroll(TQ, "$t", "s$t_$j = MASKED;")} }`)}
    }
    // Weights under the new maximum n. What was summed under the old one is rescaled.
    ${unroll(
      TQ,
      "$t",
      /* wgsl */ `let n$t = ${maximum};
    let rescale$t = exp2(m$t - n$t);
    m$t = n$t;
    ${unroll(BK, "$j", "s$t_$j = exp2(s$t_$j - n$t);")}
    l$t = l$t * rescale$t + ${sum};`,
    )}
    // Weighted values.
    ${unroll(BK, "$j", "let v_row$j = v_first + key$j * params.value_stride;")}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${unroll(BK, "$j", "let v$j = unpack(v[v_row$j + c]);")}
      ${unroll(TQ, "$t", `out[c * TQ + $tu] = out[c * TQ + $tu] * rescale$t + ${weighted};`)}
    }
  }

  // l is the sum of all weights.
  ${unroll(
    TQ,
    "$t",
    /* wgsl */ `if (first + $tu <= last_query) {
    let y_row = y_first + (first + $tu) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + $tu] / l$t); }
  }`,
  )}
}
`;
}
