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

/** Declares `<name><j>`, the first quads of a block's keys, or of those that the lane loads for others. */
function keyRowsWgsl(name: string, first: string, stride: string, shares: boolean): string {
  const row = (j: number, key: string): string =>
    `let ${name}${j} = ${first} + min(block + ${key}, last_key) * ${stride};`;
  return shares
    ? unroll(BK / 4, (m) => row(m, `${4 * m}u + (lane & 3u)`))
    : unroll(BK, (j) => row(j, `${j}u`));
}

/** Declares `four<m>`, quad `c` of every four keys, as the columns of a matrix. */
function fourKeysWgsl(operand: string, rows: string, shares: boolean): string {
  const load = (row: number): string => `unpack(${operand}[${rows}${row} + c])`;
  const columns = (column: (j: number) => string): string => [0, 1, 2, 3].map(column).join(", ");
  return unroll(BK / 4, (m) =>
    shares
      ? `let own${m} = ${load(m)};
      let four${m} = mat4x4<f32>(${columns((j) => `subgroupBroadcast(own${m}, ${j}u)`)});`
      : `let four${m} = mat4x4<f32>(${columns((j) => load(4 * m + j))});`,
  );
}

/**
 * Variables of query `$t` and the four keys `$m` of a block: m$t is the query's running maximum, l$t four parts of its running
 * sum, s$t_$m the scores, then weights. qs and out are [channel quad][query].
 */
function attentionThreadWgsl(TQ: number, shares: boolean): string {
  const fours = BK / 4;
  const each = (line: (t: number, m: number) => string): string =>
    unroll(TQ, (t) => unroll(fours, (m) => line(t, m)));
  const highest = (t: number): string =>
    Array.from({ length: fours }, (_, m) => `s${t}_${m}`).reduce((a, b) => `max(${a}, ${b})`);
  const lane = shares ? ", @builtin(subgroup_invocation_id) lane: u32" : "";
  return /* wgsl */ `
const MASKED: f32 = -3.0e38;

fn highest_of(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32${lane}) {
  let first = (group.x * WORKGROUP + local) * TQ;
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
  for (var i = 0u; i < TQ * HEAD_QUADS; i++) {
    let q_row = q_first + min(first + i % TQ, last_query) * params.query_stride;
    qs[i] = unpack(q[q_row + i / TQ]) * params.scale_log2e;
  }
  ${unroll(TQ, "$t", "var m$t = MASKED; var l$t = vec4<f32>(0.0);")}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${keyRowsWgsl("k_row", "k_first", "params.key_stride", shares)}
    // Scores of the block.
    ${each((t, m) => `var s${t}_${m} = vec4<f32>(0.0);`)}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${fourKeysWgsl("k", "k_row", shares)}
      ${unroll(TQ, "$t", "let q$t = qs[c * TQ + $tu];")}
      ${each((t, m) => `s${t}_${m} += q${t} * four${m};`)}
    }
    // Keys beyond the last are copies of it: weight 0.
    if (block + (BK - 1u) > last_key) {
      ${unroll(fours, (m) => `let is_key${m} = vec4<u32>(${[0, 1, 2, 3].map((j) => `block + ${4 * m + j}u`).join(", ")}) <= vec4<u32>(last_key);`)}
      ${each((t, m) => `s${t}_${m} = select(vec4<f32>(MASKED), s${t}_${m}, is_key${m});`)}
    }
    // Weights under the new maximum n. What was summed under the old one is rescaled.
    ${unroll(
      TQ,
      (t) => `let n${t} = max(m${t}, highest_of(${highest(t)}));
    let rescale${t} = exp2(m${t} - n${t});
    m${t} = n${t};
    l${t} *= rescale${t};`,
    )}
    ${each(
      (t, m) => `s${t}_${m} = exp2(s${t}_${m} - n${t});
    l${t} += s${t}_${m};`,
    )}
    // Weighted values.
    ${keyRowsWgsl("v_row", "v_first", "params.value_stride", shares)}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${fourKeysWgsl("v", "v_row", shares)}
      ${unroll(TQ, (t) => {
        const weighted = Array.from({ length: fours }, (_, m) => `four${m} * s${t}_${m}`);
        return `out[c * TQ + ${t}u] = out[c * TQ + ${t}u] * rescale${t} + ${weighted.join(" + ")};`;
      })}
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
