/**
 * `thread` attention: one invocation handles TQ consecutive queries of one head; no workgroup memory, no
 * barriers. Keys come in blocks of eight.
 *
 * Made for software adapters, where every load is a bounds-checked gather and costs as much as several
 * FMAs: a k or v quad serves TQ queries, a q or output quad serves eight keys. Neighbouring invocations
 * hold neighbouring queries and so read the same k and v (a broadcast, not a gather, on SwiftShader).
 * Measured on SwiftShader (5 heads, d 64, GFLOP/s per core): TQ×keys 4×4 0.8, 4×8 1.0, 4×16 1.07,
 * 8×8 1.04, 8×4 0.7, 4×8 with fma() 0.9, 4×8 with q read from storage each time 0.9; 8×8 and 4×16 compile
 * two to six times longer. Unrolling the channel loop too gives 1.2 and compiles 16 s.
 * f16 costs 15 % more: unpacking is nearly paid for by half the loads. llvmpipe's compiler dislikes the
 * long blocks (seconds for f16, once: Mesa caches the result).
 */

/** Keys per block; the code below unrolls it. */
const BLOCK_KEYS = 8;
/** Small, so that few queries still make enough workgroups for all cores. */
const WORKGROUP = 16;

interface Grid {
  readonly batch: number;
  readonly queryTokens: number;
  readonly numHeads: number;
  readonly headDim: number;
}

/**
 * Queries per invocation: q and the output take 8·headDim bytes each query of the 8,192 bytes of function
 * memory that WGSL guarantees; 2 KiB stay free for everything else.
 */
export function threadQueries(headDim: number): number {
  return Math.max(1, Math.min(4, Math.floor(6144 / (8 * headDim))));
}

export function threadWorkgroups(grid: Grid): readonly [number, number, number] {
  const queries = threadQueries(grid.headDim) * WORKGROUP;
  return [Math.ceil(grid.queryTokens / queries), grid.numHeads, grid.batch];
}

export function threadBody(headDim: number): string {
  const TQ = threadQueries(headDim);
  const queries = Array.from({ length: TQ }, (_, t) => t);
  const keys = Array.from({ length: BLOCK_KEYS }, (_, j) => j);
  const perQuery = (line: (t: number) => string, indent = 2) =>
    queries.map(line).join(`\n${" ".repeat(indent)}`);
  const perKey = (line: (j: number) => string, indent = 4) =>
    keys.map(line).join(`\n${" ".repeat(indent)}`);
  const maximum = (t: number) => keys.reduce((rest, j) => `max(${rest}, s${t}_${j})`, `m${t}`);
  // s<t>_<j>: score, then weight, of query t and key j; qs and out: [channel quad][query].
  return /* wgsl */ `
const TQ: u32 = ${TQ}u;
const MASKED: f32 = -3.0e38;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = (group.x * ${WORKGROUP}u + local) * TQ;
  if (first >= params.query_tokens) { return; }
  let head_quad = group.y * HEAD_QUADS;
  let q_first = group.z * params.query_tokens * params.query_stride + params.query_offset + head_quad;
  let k_first = group.z * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = group.z * params.key_tokens * params.value_stride + params.value_offset + head_quad;
  let y_first = group.z * params.query_tokens * params.output_stride + head_quad;
  let last_query = params.query_tokens - 1u;
  let last_key = params.key_tokens - 1u;

  var qs: array<vec4<f32>, ${TQ}u * HEAD_QUADS>;
  var out: array<vec4<f32>, ${TQ}u * HEAD_QUADS>;
  // Queries beyond the last are computed as copies of it and not written.
  ${perQuery((t) => `let q_row${t} = q_first + min(first + ${t}u, last_query) * params.query_stride;`)}
  for (var c = 0u; c < HEAD_QUADS; c++) {
    ${perQuery((t) => `qs[c * TQ + ${t}u] = unpack(q[q_row${t} + c]) * params.scale_log2e;`, 4)}
  }
  ${perQuery((t) => `var m${t} = MASKED; var l${t} = 0.0;`)}

  for (var block = 0u; block < params.key_tokens; block += ${BLOCK_KEYS}u) {
    ${perKey((j) => `let key${j} = min(block + ${j}u, last_key);`)}
    ${perKey((j) => `let k_row${j} = k_first + key${j} * params.key_stride;`)}
    ${perQuery((t) => keys.map((j) => `var s${t}_${j} = 0.0;`).join(" "), 4)}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${perKey((j) => `let k${j} = unpack(k[k_row${j} + c]);`, 6)}
      ${perQuery(
        (t) =>
          `let q${t} = qs[c * TQ + ${t}u]; ` +
          keys.map((j) => `s${t}_${j} += dot(q${t}, k${j});`).join(" "),
        6,
      )}
    }
    if (block + ${BLOCK_KEYS - 1}u > last_key) {
      ${perKey(
        (j) =>
          `if (block + ${j}u > last_key) { ${queries.map((t) => `s${t}_${j} = MASKED;`).join(" ")} }`,
        6,
      )}
    }
    ${perQuery(
      (t) => `let n${t} = ${maximum(t)};
    let rescale${t} = exp2(m${t} - n${t});
    m${t} = n${t};
    ${keys.map((j) => `s${t}_${j} = exp2(s${t}_${j} - n${t});`).join(" ")}
    l${t} = l${t} * rescale${t} + ${keys.map((j) => `s${t}_${j}`).join(" + ")};`,
      4,
    )}
    ${perKey((j) => `let v_row${j} = v_first + key${j} * params.value_stride;`)}
    for (var c = 0u; c < HEAD_QUADS; c++) {
      ${perKey((j) => `let v${j} = unpack(v[v_row${j} + c]);`, 6)}
      ${perQuery(
        (t) =>
          `out[c * TQ + ${t}u] = out[c * TQ + ${t}u] * rescale${t} + ` +
          `${keys.map((j) => `s${t}_${j} * v${j}`).join(" + ")};`,
        6,
      )}
    }
  }

  ${perQuery(
    (t) => `if (first + ${t}u <= last_query) {
    let y_row = y_first + (first + ${t}u) * params.output_stride;
    for (var c = 0u; c < HEAD_QUADS; c++) { y[y_row + c] = pack(out[c * TQ + ${t}u] / l${t}); }
  }`,
  )}
}
`;
}
