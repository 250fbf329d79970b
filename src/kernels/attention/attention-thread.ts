/**
 * `thread` attention: one invocation handles TQ consecutive queries of one head. It needs no workgroup memory and no
 * barriers. Keys come in blocks of BK = 8.
 *
 * Made for software adapters, where every load is a bounds-checked gather and costs as much as several FMAs. A k or v
 * quad serves TQ queries; a q or output quad serves eight keys. Neighbouring invocations hold neighbouring queries,
 * so they need the same k and v: where the subgroup is four lanes each of them loads one key of four.
 *
 * Scores and weights of four keys are one vec4, and four quads of k or v the columns of a matrix, which SwiftShader
 * multiplies in registers. q and the output are loaded and stored in one loop each: two small loops within each other are
 * unrolled by Mesa, and the conversions of f16 then took 30 s to compile (bench/NOTES.md has all figures).
 */
import type { Caps } from "../../gpu/caps.ts";
import { unroll } from "../unroll.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";

/** Keys per block: two fours. */
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

export function threadAttention(
  { batch, queryTokens, numHeads, headDim }: AttentionGrid,
  caps: Caps,
): AttentionShader {
  const TQ = threadQueries(headDim);
  const shares = sharesKeys(caps);
  return {
    directives: shares ? ["enable subgroups;"] : [],
    constants: { TQ, BK, WORKGROUP },
    body: attentionThreadWgsl(TQ, shares),
    workgroups: [Math.ceil(queryTokens / (TQ * WORKGROUP)), numHeads, batch],
  };
}

/**
 * Whether lanes exchange keys. In wider subgroups, those of llvmpipe, what all lanes load from one address is one load, and
 * the exchange costs more than it saves.
 */
const sharesKeys = ({ hasSubgroups, subgroupSizes: [least, most] }: Caps): boolean =>
  hasSubgroups && least === 4 && most === 4;

/** The first quads of four keys of operand `$x`; shared: of the key that the lane loads for all. */
const ROWS = /* wgsl */ `let $x_row$m = $x_first + min(vec4<u32>(block + 4u * $mu) + FOUR, vec4<u32>(last_key)) * $x_stride;`;
const SHARED_ROWS = /* wgsl */ `let $x_row$m = $x_first + min(block + 4u * $mu + (lane & 3u), last_key) * $x_stride;`;

/** Quad `c` of the four keys, as the columns of a matrix. */
const QUADS = /* wgsl */ `let four$m = mat4x4<f32>(
        unpack($x[$x_row$m.x + c]),
        unpack($x[$x_row$m.y + c]),
        unpack($x[$x_row$m.z + c]),
        unpack($x[$x_row$m.w + c]),
      );`;
const SHARED_QUADS = /* wgsl */ `let own$m = unpack($x[$x_row$m + c]);
      let four$m = mat4x4<f32>(
        subgroupBroadcast(own$m, 0u),
        subgroupBroadcast(own$m, 1u),
        subgroupBroadcast(own$m, 2u),
        subgroupBroadcast(own$m, 3u),
      );`;

/**
 * Variables of query `$t` and the four keys `$m` of a block: m$t is the query's running maximum, l$t four parts of its running
 * sum, s$t_$m the scores, then weights. qs and out are [channel quad][query].
 */
function attentionThreadWgsl(TQ: number, shares: boolean): string {
  const each = (text: string): string => unroll(TQ, "$t", unroll(BK / 4, "$m", text));
  const rows = (operand: string): string =>
    unroll(BK / 4, "$m", (shares ? SHARED_ROWS : ROWS).replaceAll("$x", operand));
  const quads = (operand: string): string =>
    unroll(BK / 4, "$m", (shares ? SHARED_QUADS : QUADS).replaceAll("$x", operand));
  const lane = shares ? ", @builtin(subgroup_invocation_id) lane: u32" : "";
  return /* wgsl */ `
const MASKED: f32 = -3.0e38;
const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

fn highest_of(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32${lane}) {
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
  ${unroll(TQ, "$t", "var m$t = MASKED; var l$t = vec4<f32>(0.0);")}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${rows("k")}
    // Scores of the block.
    ${each("var s$t_$m = vec4<f32>(0.0);")}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${quads("k")}
      ${unroll(TQ, "$t", "let q$t = qs[c * TQ + $tu];")}
      ${each("s$t_$m += q$t * four$m;")}
    }
    // Keys beyond the last are copies of it: weight 0.
    if (block + (BK - 1u) > last_key) {
      ${unroll(BK / 4, "$m", "let is_key$m = vec4<u32>(block + 4u * $mu) + FOUR <= vec4<u32>(last_key);")}
      ${each("s$t_$m = select(vec4<f32>(MASKED), s$t_$m, is_key$m);")}
    }
    // Weights under the new maximum n. What was summed under the old one is rescaled.
    ${unroll(
      TQ,
      "$t",
      /* wgsl */ `let n$t = max(m$t, highest_of(max(s$t_0, s$t_1)));
    let rescale$t = exp2(m$t - n$t);
    m$t = n$t;
    s$t_0 = exp2(s$t_0 - n$t);
    s$t_1 = exp2(s$t_1 - n$t);
    l$t = l$t * rescale$t + s$t_0 + s$t_1;`,
    )}
    // Weighted values.
    ${rows("v")}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${quads("v")}
      ${unroll(TQ, "$t", "out[c * TQ + $tu] = out[c * TQ + $tu] * rescale$t + four0 * s$t_0 + four1 * s$t_1;")}
    }
  }

  let totals = array<f32, TQ>(${unroll(TQ, "$t", "dot(l$t, vec4<f32>(1.0)),")}); // sums of all weights
  for (var i = 0u; i < TQ * HEAD_QUADS; i++) {
    let query = first + i % TQ;
    if (query <= last_query) { y[y_first + query * params.output_stride + i / TQ] = pack(out[i] / totals[i % TQ]); }
  }
}
`;
}
