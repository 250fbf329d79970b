/**
 * `tile` attention for GPUs: a workgroup takes a block of queries of one head and streams blocks of BK = 64 keys.
 *
 * Invocations form TY rows × TX columns. Invocation (tx, ty) has queries 4·ty … 4·ty + 3 of the block. Of the scores of a
 * key block it owns every TX-th key, of the output every TX-th quad. What belongs to its four queries lies in one vec4: a
 * score, the running maximum, the running sum.
 *
 * Maxima meet in workgroup memory. Each invocation then knows those of its queries and keeps a partial sum over its own
 * keys, summed once at the end. Weights go through workgroup memory to the second product.
 *
 * q and k are staged CQ quads of a head at a time, v KV keys at a time with all their quads, as f32: converting in the inner
 * loop would cost as much as its arithmetic. Workgroup memory is what a GPU runs out of first. At headDim 64 both products
 * read 1.5 bytes of it for a multiply-add, at 512 3 and 1.25. So any headDim up to 512 stays within 14.3 KiB.
 *
 * Behind the last query, key or quad a stand-in is staged, the last one: such keys have weight 0, and such queries and
 * quads are not stored.
 *
 * No subgroup operations, no assumption on the subgroup size. Barriers stand in uniform control flow: the loop bounds
 * are uniforms.
 */
import { unroll } from "../unroll.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";

/** Keys of a block. */
const BK = 64;
/** Queries of an invocation. */
const RQ = 4;

/** Sizes of the shader for one headDim, under the names that they have there. */
export interface TileShape {
  /** Columns of invocations. */
  readonly TX: number;
  /** Rows of invocations. */
  readonly TY: number;
  readonly INVOCATIONS: number;
  /** Queries of a workgroup. */
  readonly BQ: number;
  /** Quads of q and k that are staged at a time. */
  readonly CQ: number;
  /** Keys of v that are staged at a time. */
  readonly KV: number;
  /** Output quads of an invocation in a row: at most 4, 64 f32 registers in its four rows. */
  readonly QUADS: number;
}

export function tileShape(headDim: number): TileShape {
  const [TX, TY, CQ] = headDim <= 64 ? [8, 8, 4] : headDim <= 256 ? [16, 4, 8] : [32, 4, 8];
  const QUADS = Math.ceil(headDim / (4 * TX));
  return { TX, TY, INVOCATIONS: TX * TY, BQ: RQ * TY, CQ, KV: 128 / TX, QUADS };
}

/** Quads of workgroup memory: q, or maxima and sums; k or v; weights. One more for each row of k and q: banks. */
function memoryQuads({ TY, BQ, CQ, QUADS, KV, TX }: TileShape): readonly [number, number, number] {
  return [CQ * (BQ + 1), Math.max(CQ * (BK + 1), KV * QUADS * TX), BK * TY];
}

/** Workgroup memory. */
export const tileStorageBytes = (headDim: number): number =>
  16 * memoryQuads(tileShape(headDim)).reduce((sum, quads) => sum + quads, 0);

export function tileAttention(grid: AttentionGrid): AttentionShader {
  const { batch, queryTokens, numHeads, headDim } = grid;
  const shape = tileShape(headDim);
  const [Q_MEMORY, KV_MEMORY] = memoryQuads(shape);
  return {
    constants: { ...shape, BK, RQ, Q_MEMORY, KV_MEMORY },
    body: attentionTileWgsl(headDim / 4, shape),
    workgroups: [Math.ceil(queryTokens / shape.BQ), numHeads, batch],
  };
}

/** Stages `turns` quads of an invocation: `value` to `at`, expressions of the quad's number `i`. */
function stageWgsl(turns: number, at: string, value: string): string {
  return /* wgsl */ `for (var turn = 0u; turn < ${turns}u; turn++) {
        let i = turn * INVOCATIONS + local;
        ${at} = unpack(${value});
      }`;
}

/**
 * `score$k` are the scores, then weights, of the invocation's key `$k` for its four queries; `out$r_$n` is the output quad
 * `$n` of its query `$r`.
 */
function attentionTileWgsl(headQuads: number, shape: TileShape): string {
  const { TX, INVOCATIONS, BQ, CQ, KV, QUADS } = shape;
  const keys = BK / TX;
  const rows = "xyzw";
  const isRagged = headQuads % CQ !== 0;
  const quad = isRagged ? "min(chunk + i % CQ, HEAD_QUADS - 1u)" : "chunk + i % CQ";
  const q = `q[q_first + min(first + i / CQ, params.query_tokens - 1u) * params.query_stride + ${quad}]`;
  const qAt = "q_memory[(i % CQ) * (BQ + 1u) + i / CQ]";
  return /* wgsl */ `
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
  ${unroll(RQ, (r) => unroll(QUADS, (n) => `var out${r}_${n} = vec4<f32>(0.0);`))}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${unroll(keys, "$k", "var score$k = vec4<f32>(0.0);")}
    for (var chunk = 0u; chunk < HEAD_QUADS; chunk += CQ) {
      ${stageWgsl((CQ * BQ) / INVOCATIONS, qAt, q)}
      ${stageWgsl(
        (CQ * BK) / INVOCATIONS,
        "kv_memory[(i % CQ) * (BK + 1u) + i / CQ]",
        `k[k_first + min(block + i / CQ, params.key_tokens - 1u) * params.key_stride + ${quad}]`,
      )}
      workgroupBarrier();
      for (var c = 0u; c < ${isRagged ? "min(CQ, HEAD_QUADS - chunk)" : "CQ"}; c++) {
        ${unroll(RQ, "$r", "let q$r = q_memory[c * (BQ + 1u) + RQ * ty + $ru];")}
        ${unroll(
          keys,
          (k) => `{
          let key = kv_memory[c * (BK + 1u) + ${k * TX}u + tx];
          ${unroll(RQ, (r) => `score${k}.${rows.charAt(r)} = add_dot(score${k}.${rows.charAt(r)}, q${r}, key);`)}
        }`,
        )}
      }
      workgroupBarrier();
    }

    ${unroll(keys, "$k", "score$k = select(vec4<f32>(MASKED), score$k * params.scale_log2e, block + $ku * TX + tx < params.key_tokens);")}
    q_memory[tx * TY + ty] = ${Array.from({ length: keys }, (_, k) => `score${k}`).reduce((a, b) => `max(${a}, ${b})`)};
    workgroupBarrier();
    var now_highest = highest;
    for (var i = 0u; i < TX; i++) { now_highest = max(now_highest, q_memory[i * TY + ty]); }
    let rescale = exp2(highest - now_highest);
    highest = now_highest;
    total *= rescale;
    ${unroll(
      keys,
      "$k",
      /* wgsl */ `score$k = exp2(score$k - highest);
    total += score$k;
    weights[$ku * TX + tx][ty] = score$k;`,
    )}
    ${unroll(RQ, (r) => unroll(QUADS, (n) => `out${r}_${n} *= rescale.${rows.charAt(r)};`))}

    for (var part = 0u; part < BK; part += KV) {
      ${stageWgsl(
        (KV * QUADS * TX) / INVOCATIONS,
        "kv_memory[i]",
        `v[v_first + min(block + part + i / (QUADS * TX), params.key_tokens - 1u) * params.value_stride + ${
          headQuads === QUADS * TX ? "i % (QUADS * TX)" : "min(i % (QUADS * TX), HEAD_QUADS - 1u)"
        }]`,
      )}
      workgroupBarrier();
      for (var i = 0u; i < KV; i++) {
        let w = weights[part + i][ty];
        ${unroll(
          QUADS,
          (n) => `{
          let value = kv_memory[i * (QUADS * TX) + ${n * TX}u + tx];
          ${unroll(RQ, (r) => `out${r}_${n} += w.${rows.charAt(r)} * value;`)}
        }`,
        )}
      }
      workgroupBarrier();
    }
  }

  q_memory[tx * TY + ty] = total;
  workgroupBarrier();
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < TX; i++) { sum += q_memory[i * TY + ty]; }
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad + tx;
  ${unroll(
    RQ,
    (r) => `if (first + RQ * ty + ${r}u < params.query_tokens) {
    let y_row = y_first + (first + RQ * ty + ${r}u) * params.output_stride;
    ${unroll(QUADS, (n) => `${(n + 1) * TX <= headQuads ? "" : `if (tx + ${n * TX}u < HEAD_QUADS) `}{ y[y_row + ${n * TX}u] = pack(out${r}_${n} / sum.${rows.charAt(r)}); }`)}
  }`,
  )}
}
`;
}
