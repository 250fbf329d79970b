/**
 * `naive` attention: one invocation per (query, head, output quad), two passes over the keys (the maximum, then sum
 * and output together). Every score is computed twice, and again for every output quad. For reading and as an oracle
 * on the device, not for speed.
 */

/** What of an attention decides the grid and the shader of a variant. */
export interface AttentionGrid {
  readonly batch: number;
  readonly queryTokens: number;
  readonly numHeads: number;
  readonly headDim: number;
}

/** A variant's shader: below a header with the constants, `HEAD_QUADS`, and the params of `attention`. */
export interface AttentionShader {
  readonly constants: Readonly<Record<string, number>>;
  /** Lines in front of the shader. */
  readonly directives?: readonly string[];
  readonly body: string;
  readonly workgroups: readonly [number, number, number];
}

/** Queries per workgroup. */
const WORKGROUP = 64;

export function naiveAttention(grid: AttentionGrid): AttentionShader {
  const quads = (grid.numHeads * grid.headDim) / 4;
  return {
    constants: { WORKGROUP },
    body: BODY,
    workgroups: [Math.ceil(grid.queryTokens / WORKGROUP), quads, grid.batch],
  };
}

const BODY = /* wgsl */ `
fn score(q_row: u32, k_row: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < HEAD_QUADS; c++) { sum += dot(unpack(q[q_row + c]), unpack(k[k_row + c])); }
  return sum * params.scale_log2e;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let query = id.x;
  let quad = id.y; // head · HEAD_QUADS + quad within the head
  let batch = id.z;
  if (query >= params.query_tokens) { return; }
  let head_quad = quad - quad % HEAD_QUADS; // first quad of the head
  let query_row = batch * params.query_tokens + query;
  let q_row = query_row * params.query_stride + params.query_offset + head_quad;
  let k_first = batch * params.key_tokens * params.key_stride + params.key_offset + head_quad;
  let v_first = batch * params.key_tokens * params.value_stride + params.value_offset + quad;

  var highest = score(q_row, k_first);
  for (var j = 1u; j < params.key_tokens; j++) {
    highest = max(highest, score(q_row, k_first + j * params.key_stride));
  }
  var weights = 0.0;
  var sum = vec4<f32>(0.0);
  for (var j = 0u; j < params.key_tokens; j++) {
    let weight = exp2(score(q_row, k_first + j * params.key_stride) - highest);
    weights += weight;
    sum += weight * unpack(v[v_first + j * params.value_stride]);
  }
  y[query_row * params.output_stride + quad] = pack(sum / weights);
}
`;
