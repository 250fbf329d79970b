/**
 * `tile` attention for GPUs: a workgroup takes a block of queries of one head and streams blocks of 32 keys.
 *
 * Invocations form TY rows × 8 columns. Invocation (ty, tx) owns RQ query rows (ty + r·TY); of the scores
 * of a key block it owns keys 4·tx … 4·tx + 3 of its rows (a register-blocked RQ×4 product), of the output
 * every eighth quad. Row maxima meet in workgroup memory; each invocation then knows m of its rows and keeps a
 * partial l over its own keys, summed once at the end. Weights go through workgroup memory to the second
 * product. q, k and v are staged eight quads at a time as f32 (converting in the inner loop would cost as
 * much as its arithmetic), so any headDim up to 512 stays within 14 KiB. q and k are stored transposed with
 * one quad of padding, and keys in the order in which the columns read them: neighbouring invocations read
 * neighbouring quads.
 *
 * No subgroup operations, no assumption on the subgroup size. Barriers stand in uniform control flow: the
 * loop bounds are uniforms.
 */

/** Columns of invocations; also quads per staged chunk. */
const TX = 8;
const BLOCK_KEYS = 4 * TX;

export interface TileShape {
  /** Rows of invocations. */
  readonly rows: number;
  readonly invocations: number;
  /** Query rows per invocation: output accumulators stay within 16 quads, 64 f32 registers. */
  readonly queriesPerInvocation: number;
  readonly blockQueries: number;
  /** Eight-quad chunks of a head; the last may be part empty. */
  readonly chunks: number;
}

export function tileShape(headDim: number): TileShape {
  const chunks = Math.ceil(headDim / (4 * TX));
  const queriesPerInvocation = chunks <= 4 ? 4 : chunks <= 8 ? 2 : 1;
  const rows = chunks <= 8 ? 8 : 16;
  return {
    rows,
    invocations: rows * TX,
    queriesPerInvocation,
    blockQueries: rows * queriesPerInvocation,
    chunks,
  };
}

/** Workgroup memory of the largest shape (32 queries): q, k or v, weights; row maxima. */
export const TILE_STORAGE_BYTES = 3 * TX * (BLOCK_KEYS + 1) * 16 + TX * (32 + 1) * 4;

interface Grid {
  readonly batch: number;
  readonly queryTokens: number;
  readonly numHeads: number;
  readonly headDim: number;
}

export function tileWorkgroups(grid: Grid): readonly [number, number, number] {
  const { blockQueries } = tileShape(grid.headDim);
  return [Math.ceil(grid.queryTokens / blockQueries), grid.numHeads, grid.batch];
}

export function attentionTileWgsl(headDim: number): string {
  const { rows, invocations, queriesPerInvocation, blockQueries, chunks } = tileShape(headDim);
  const each = (count: number, line: (i: number) => string, indent: number) =>
    Array.from({ length: count }, (_, i) => line(i)).join(`\n${" ".repeat(indent)}`);
  const perRow = (line: (r: number) => string, indent: number) =>
    each(queriesPerInvocation, line, indent);
  // row<r>: the invocation's r-th query row in the block; m, l, s likewise; out<r>_<chunk>: its output quads.
  return /* wgsl */ `
const TX: u32 = ${TX}u;
const INVOCATIONS: u32 = ${invocations}u;
const BQ: u32 = ${blockQueries}u;
const BK: u32 = ${BLOCK_KEYS}u;
const MASKED: f32 = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, ${TX * (blockQueries + 1)}>; // [quad][query], padded
var<workgroup> kv_tile: array<vec4<f32>, ${TX * (BLOCK_KEYS + 1)}>; // k: [quad][key slot], padded; v: [key][quad]
var<workgroup> weights: array<vec4<f32>, ${TX * (blockQueries + 1)}>; // [four keys][query], padded
var<workgroup> row_parts: array<f32, ${TX * (blockQueries + 1)}>; // [column][query]: maxima, at last sums

@compute @workgroup_size(${invocations})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tx = local % TX;
  let ty = local / TX;
  let first = group.x * BQ;
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  ${perRow((r) => `let row${r} = ty + ${r * rows}u; var m${r} = MASKED; var l${r} = 0.0;`, 2)}
  ${perRow((r) => each(chunks, (n) => `var out${r}_${n} = vec4<f32>(0.0);`, 2), 2)}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    ${perRow((r) => `var s${r} = vec4<f32>(0.0);`, 4)}
    for (var chunk = 0u; chunk < ${chunks * TX}u; chunk += TX) {
      for (var i = local; i < TX * BQ; i += INVOCATIONS) {
        let c = i % TX;
        let query = first + i / TX;
        var value = vec4<f32>(0.0);
        if (query < params.query_tokens && chunk + c < HEAD_QUADS) {
          value = unpack(q[q_first + query * params.query_stride + chunk + c]);
        }
        q_tile[c * (BQ + 1u) + i / TX] = value;
      }
      for (var i = local; i < TX * BK; i += INVOCATIONS) {
        let c = i % TX;
        let slot = i / TX;
        let key = block + slot;
        var value = vec4<f32>(0.0);
        if (key < params.key_tokens && chunk + c < HEAD_QUADS) {
          value = unpack(k[k_first + key * params.key_stride + chunk + c]);
        }
        kv_tile[c * (BK + 1u) + (slot % 4u) * TX + slot / 4u] = value;
      }
      workgroupBarrier();
      for (var c = 0u; c < TX; c++) {
        let at = c * (BK + 1u) + tx;
        let k0 = kv_tile[at];
        let k1 = kv_tile[at + TX];
        let k2 = kv_tile[at + 2u * TX];
        let k3 = kv_tile[at + 3u * TX];
        ${perRow(
          (r) => `let q${r} = q_tile[c * (BQ + 1u) + row${r}];
        s${r} += vec4<f32>(dot(q${r}, k0), dot(q${r}, k1), dot(q${r}, k2), dot(q${r}, k3));`,
          8,
        )}
      }
      workgroupBarrier();
    }

    let keys = vec4<u32>(block + 4u * tx) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_key = keys < vec4<u32>(params.key_tokens);
    ${perRow(
      (r) => `s${r} = select(vec4<f32>(MASKED), s${r} * params.scale_log2e, is_key);
    row_parts[tx * (BQ + 1u) + row${r}] = max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w));`,
      4,
    )}
    workgroupBarrier();
    ${perRow((r) => `var n${r} = m${r};`, 4)}
    for (var i = 0u; i < TX; i++) {
      ${perRow((r) => `n${r} = max(n${r}, row_parts[i * (BQ + 1u) + row${r}]);`, 6)}
    }
    ${perRow(
      (r) => `let rescale${r} = exp2(m${r} - n${r});
    m${r} = n${r};
    s${r} = exp2(s${r} - vec4<f32>(n${r}));
    l${r} = l${r} * rescale${r} + dot(s${r}, vec4<f32>(1.0));
    weights[tx * (BQ + 1u) + row${r}] = s${r};`,
      4,
    )}

    ${each(
      chunks,
      (n) => `// v, quads ${n * TX} and up
    for (var i = local; i < TX * BK; i += INVOCATIONS) {
      let quad = ${n * TX}u + i % TX;
      let key = block + i / TX;
      var value = vec4<f32>(0.0);
      if (key < params.key_tokens && quad < HEAD_QUADS) {
        value = unpack(v[v_first + key * params.value_stride + quad]);
      }
      kv_tile[i] = value;
    }
    workgroupBarrier();
    ${perRow((r) => `out${r}_${n} *= rescale${r};`, 4)}
    for (var i = 0u; i < TX; i++) {
      let v0 = kv_tile[(4u * i) * TX + tx];
      let v1 = kv_tile[(4u * i + 1u) * TX + tx];
      let v2 = kv_tile[(4u * i + 2u) * TX + tx];
      let v3 = kv_tile[(4u * i + 3u) * TX + tx];
      ${perRow(
        (r) => `let w${r} = weights[i * (BQ + 1u) + row${r}];
      out${r}_${n} += w${r}.x * v0 + w${r}.y * v1 + w${r}.z * v2 + w${r}.w * v3;`,
        6,
      )}
    }
    workgroupBarrier();`,
      4,
    )}
  }

  ${perRow((r) => `row_parts[tx * (BQ + 1u) + row${r}] = l${r};`, 2)}
  workgroupBarrier();
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad + tx;
  ${perRow(
    (r) => `if (first + row${r} < params.query_tokens) {
    var sum = 0.0;
    for (var i = 0u; i < TX; i++) { sum += row_parts[i * (BQ + 1u) + row${r}]; }
    let y_row = y_first + (first + row${r}) * params.output_stride;
    ${each(
      chunks,
      (n) => {
        const store = `y[y_row + ${n * TX}u] = pack(out${r}_${n} / sum);`;
        const isWhole = (n + 1) * TX * 4 <= headDim;
        return isWhole ? store : `if (tx + ${n * TX}u < HEAD_QUADS) { ${store} }`;
      },
      4,
    )}
  }`,
    2,
  )}
}
`;
}
