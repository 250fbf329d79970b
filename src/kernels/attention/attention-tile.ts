/**
 * `tile` attention for GPUs: a workgroup takes a block of BQ queries of one head and streams blocks of BK = 32 keys.
 *
 * Invocations form TY rows × TX columns. Invocation (ty, tx) owns RQ query rows (ty + r·TY). Of the scores of a key
 * block it owns keys 4·tx … 4·tx + 3 of its rows, a register-blocked RQ×4 product. Of the output it owns every eighth
 * quad.
 *
 * Row maxima meet in workgroup memory. Each invocation then knows m of its rows and keeps a partial l over its own
 * keys, summed once at the end. Weights go through workgroup memory to the second product.
 *
 * q, k and v are staged TX = 8 quads at a time as f32: converting in the inner loop would cost as much as its
 * arithmetic. So any headDim up to 512 stays within 14 KiB. q and k are stored transposed with one quad of padding,
 * and keys in the order in which the columns read them: neighbouring invocations read neighbouring quads.
 *
 * No subgroup operations, no assumption on the subgroup size. Barriers stand in uniform control flow: the loop bounds
 * are uniforms.
 */
import { unroll } from "../unroll.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";

/** Columns of invocations; also quads per staged chunk. */
const TX = 8;
/** Keys of a block. */
const BK = 4 * TX;
/** Queries of the largest block. */
const MOST_QUERIES = 32;

/** Sizes of the shader for one headDim, under the names that they have there. */
export interface TileShape {
  /** Rows of invocations. */
  readonly TY: number;
  readonly INVOCATIONS: number;
  /** Query rows per invocation: output accumulators stay within 16 quads, 64 f32 registers. */
  readonly RQ: number;
  /** Queries of a workgroup. */
  readonly BQ: number;
  /** Chunks of TX quads in a head; the last may be incomplete. */
  readonly CHUNKS: number;
}

export function tileShape(headDim: number): TileShape {
  const CHUNKS = Math.ceil(headDim / (4 * TX));
  const RQ = CHUNKS <= 4 ? 4 : CHUNKS <= 8 ? 2 : 1;
  const TY = CHUNKS <= 8 ? 8 : 16;
  return { TY, INVOCATIONS: TY * TX, RQ, BQ: TY * RQ, CHUNKS };
}

/** Workgroup memory of the largest shape: q, k or v, weights; row maxima. */
export const TILE_STORAGE_BYTES = 3 * TX * (BK + 1) * 16 + TX * (MOST_QUERIES + 1) * 4;

export function tileAttention({
  batch,
  queryTokens,
  numHeads,
  headDim,
}: AttentionGrid): AttentionShader {
  const shape = tileShape(headDim);
  const [BQ_PADDED, BK_PADDED] = [shape.BQ + 1, BK + 1];
  const storage = { Q_QUADS: TX * BQ_PADDED, KV_QUADS: TX * BK_PADDED };
  return {
    constants: { TX, ...shape, BK, BQ_PADDED, BK_PADDED, ...storage },
    body: attentionTileWgsl(headDim, shape),
    workgroups: [Math.ceil(queryTokens / shape.BQ), numHeads, batch],
  };
}

/**
 * Variables of the invocation's query row `$r`: row$r is its place in the block, m$r the running maximum, l$r the
 * running sum over the invocation's keys, s$r the scores, then weights, of its four keys; out$r_$n is the row's output
 * quad in chunk `$n`.
 */
function attentionTileWgsl(headDim: number, { RQ, CHUNKS }: TileShape): string {
  const wholeChunks = Math.floor(headDim / (4 * TX));
  const lastChunk =
    wholeChunks === CHUNKS
      ? ""
      : /* wgsl */ `let last_quad = (CHUNKS - 1u) * TX;
    if (tx + last_quad < HEAD_QUADS) { y[y_row + last_quad] = pack(out$r_${wholeChunks} / sum); }`;
  return /* wgsl */ `
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
  ${unroll(RQ, "$r", "let row$r = ty + $ru * TY; var m$r = MASKED; var l$r = 0.0;")}
  ${unroll(RQ, "$r", unroll(CHUNKS, "$n", "var out$r_$n = vec4<f32>(0.0);"))}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${unroll(RQ, "$r", "var s$r = vec4<f32>(0.0);")}
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
        ${unroll(
          RQ,
          "$r",
          /* wgsl */ `let q$r = q_staged[c * BQ_PADDED + row$r];
        s$r = vec4<f32>(add_dot(s$r.x, q$r, k0), add_dot(s$r.y, q$r, k1), add_dot(s$r.z, q$r, k2), add_dot(s$r.w, q$r, k3));`,
        )}
      }
      workgroupBarrier();
    }

    let keys = vec4<u32>(block + 4u * tx) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_key = keys < vec4<u32>(params.key_tokens);
    ${unroll(
      RQ,
      "$r",
      /* wgsl */ `s$r = select(vec4<f32>(MASKED), s$r * params.scale_log2e, is_key);
    row_values[tx * BQ_PADDED + row$r] = max(max(s$r.x, s$r.y), max(s$r.z, s$r.w));`,
    )}
    workgroupBarrier();
    ${unroll(RQ, "$r", "var n$r = m$r;")}
    for (var i = 0u; i < TX; i++) {
      ${unroll(RQ, "$r", "n$r = max(n$r, row_values[i * BQ_PADDED + row$r]);")}
    }
    ${unroll(
      RQ,
      "$r",
      /* wgsl */ `let rescale$r = exp2(m$r - n$r);
    m$r = n$r;
    s$r = exp2(s$r - vec4<f32>(n$r));
    l$r = l$r * rescale$r + dot(s$r, vec4<f32>(1.0));
    weights[tx * BQ_PADDED + row$r] = s$r;`,
    )}

    ${unroll(
      CHUNKS,
      "$n",
      /* wgsl */ `for (var i = local; i < TX * BK; i += INVOCATIONS) {
      let quad = $nu * TX + i % TX;
      let key = block + i / TX;
      var value = vec4<f32>(0.0);
      if (key < params.key_tokens && quad < HEAD_QUADS) {
        value = unpack(v[v_first + key * params.value_stride + quad]);
      }
      kv_staged[i] = value;
    }
    workgroupBarrier();
    ${unroll(RQ, "$r", "out$r_$n *= rescale$r;")}
    for (var i = 0u; i < TX; i++) {
      let v0 = kv_staged[(4u * i) * TX + tx];
      let v1 = kv_staged[(4u * i + 1u) * TX + tx];
      let v2 = kv_staged[(4u * i + 2u) * TX + tx];
      let v3 = kv_staged[(4u * i + 3u) * TX + tx];
      ${unroll(
        RQ,
        "$r",
        /* wgsl */ `let w$r = weights[i * BQ_PADDED + row$r];
      out$r_$n = out$r_$n + w$r.x * v0 + w$r.y * v1 + w$r.z * v2 + w$r.w * v3;`,
      )}
    }
    workgroupBarrier();`,
    )}
  }

  ${unroll(RQ, "$r", "row_values[tx * BQ_PADDED + row$r] = l$r;")}
  workgroupBarrier();
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad + tx;
  ${unroll(
    RQ,
    "$r",
    /* wgsl */ `if (first + row$r < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_values[i * BQ_PADDED + row$r]; }
    let y_row = y_first + (first + row$r) * params.output_stride;
    ${unroll(wholeChunks, "$n", "y[y_row + $nu * TX] = pack(out$r_$n / sum);")}
    ${lastChunk}
  }`,
  )}
}
`;
}
