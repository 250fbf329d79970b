/**
 * `matrix` attention: blocks of queries and keys as in `tile`, multiplied by matrix units with factors of f16 and sums of f32
 * (`subgroup-matrix.ts`). A workgroup is four subgroups; it takes BQ queries of one head and streams blocks of BK = 32 keys.
 *
 * Heads of 64 channels: a subgroup owns M queries, holds their fragments of q, and has their scores and outputs to itself. Larger
 * heads: half as many queries, as the outputs fill the registers; subgroups share scores 2 × 2, each owns a quarter of every
 * chunk of 64 output channels, and q is staged again beside each chunk of k.
 *
 * Invocations cannot see into a matrix. So scores go through workgroup memory, where LANES invocations share a row, and come
 * back as weights of f16. Outputs cannot be rescaled in place either whenever a row's maximum m moves. So m is a reference
 * that may lag behind the maximum by 2^MOST_GROWTH, as weights up to 256 are as exact as those up to 1. Where a row outgrows
 * that, after the first block rarely, the outputs take the way through workgroup memory too.
 *
 * Rounding: a weight is rounded to f16, and the sum that divides the outputs is that of the rounded weights.
 */
import type { MatrixArray, MatrixUnits } from "../../gpu/subgroup-matrix.ts";
import {
  loadMatrix,
  matrixArrayByteLength,
  matrixArrayWgsl,
  matrixDirectives,
  matrixType,
  setTransposed,
  storeMatrix,
  subgroupSizeAttribute,
} from "../../gpu/subgroup-matrix.ts";
import { unroll } from "../unroll.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";

const SUBGROUPS = 4;
/** Keys of a block. */
const BK = 32;
/** Channels that are staged at a time. Divides the heads that this variant takes. */
export const MATRIX_CHUNK = 64;
/** Elements by which rows are longer than their data, so that rows of a fragment lie in different banks. */
const [PADDING, SCORE_PADDING] = [8, 4];

/** How a workgroup is cut for one headDim. Grids: rows × columns of subgroups over the scores, and over a chunk of the outputs. */
function shapeOf({ M, subgroupSize }: MatrixUnits, headDim: number) {
  const [INVOCATIONS, CHUNKS] = [SUBGROUPS * subgroupSize, headDim / MATRIX_CHUNK];
  return CHUNKS === 1
    ? ({ INVOCATIONS, BQ: 4 * M, CHUNKS, scoreGrid: [4, 1], outputGrid: [4, 1] } as const)
    : ({ INVOCATIONS, BQ: 2 * M, CHUNKS, scoreGrid: [2, 2], outputGrid: [1, 4] } as const);
}

/** Workgroup memory. A chunk of k and one of v take turns in `staged`, whose rows are then keys or channels. */
function arraysOf({ BQ, CHUNKS }: ReturnType<typeof shapeOf>) {
  const chunk = { type: "f16", rowLength: MATRIX_CHUNK + PADDING } as const;
  const block = { type: "f16", rowLength: BK + PADDING } as const;
  const queries: MatrixArray = { ...chunk, name: "q_staged", rows: BQ };
  const keys: MatrixArray = { ...chunk, name: "staged", rows: BK, isTransposed: true };
  const values: MatrixArray = { ...block, name: "staged", rows: MATRIX_CHUNK, isTransposed: true };
  const weights: MatrixArray = { ...block, name: "weights", rows: BQ };
  const scores: MatrixArray = {
    name: "scores",
    type: "f32",
    rowLength: BK + SCORE_PADDING,
    rows: BQ,
  };
  const declared = [...(CHUNKS > 1 ? [queries] : []), values, weights, scores];
  return { queries, keys, values, weights, scores, declared };
}

/** Bytes of workgroup memory: those arrays, sums of lanes and a flag. */
export function matrixStorageBytes(units: MatrixUnits, headDim: number): number {
  const shape = shapeOf(units, headDim);
  const bytes = 4 * shape.INVOCATIONS + 4;
  return arraysOf(shape).declared.reduce((sum, array) => sum + matrixArrayByteLength(array), bytes);
}

export function matrixAttention(
  { batch, queryTokens, numHeads, headDim }: AttentionGrid,
  units: MatrixUnits,
): AttentionShader {
  const { scoreGrid, outputGrid, ...sizes } = shapeOf(units, headDim);
  const { INVOCATIONS, BQ } = sizes;
  const { M, N, K } = units;
  return {
    constants: {
      ...sizes,
      M,
      N,
      K,
      BK,
      BLOCK_QUADS: BK / 4,
      CHUNK: MATRIX_CHUNK,
      CHUNK_QUADS: MATRIX_CHUNK / 4,
      LANES: INVOCATIONS / BQ,
      LANE_QUADS: ((BK / 4) * BQ) / INVOCATIONS,
      CHUNK_LENGTH: MATRIX_CHUNK + PADDING,
      BLOCK_LENGTH: BK + PADDING,
      SCORE_LENGTH: BK + SCORE_PADDING,
      SCORES_DOWN: scoreGrid[0],
      SCORES_ACROSS: scoreGrid[1],
      OUTPUTS_DOWN: outputGrid[0],
      OUTPUTS_ACROSS: outputGrid[1],
      SCORE_ROWS: BQ / scoreGrid[0],
      SCORE_COLUMNS: BK / scoreGrid[1],
      OUTPUT_ROWS: BQ / outputGrid[0],
      OUTPUT_COLUMNS: MATRIX_CHUNK / outputGrid[1],
    },
    directives: matrixDirectives(units),
    body: attentionMatrixWgsl(units, shapeOf(units, headDim)),
    workgroups: [Math.ceil(queryTokens / BQ), numHeads, batch],
  };
}

/** WGSL that stages quads `first_quad` on of rows `first_row` on: `quads` of `rows`, zeros behind the last of `tokens`. */
const stageWgsl = (
  operand: "q" | "k",
  array: string,
  [rows, quads, rowLength]: readonly [string, string, string],
  [firstRow, tokens, firstQuad]: readonly [string, string, string],
): string => /* wgsl */ `for (var s = 0u; s < ${rows} * ${quads} / INVOCATIONS; s++) {
        let i = local + s * INVOCATIONS;
        let token = ${firstRow} + i / ${quads};
        var value = vec4<f16>();
        if (token < ${tokens}) { value = ${operand}[${operand}_first + token * ${operand}_stride + ${firstQuad} + i % ${quads}]; }
        set_${array}(i / ${quads} * (${rowLength} / 4u) + i % ${quads}, value);
      }`;

/**
 * `score<i>_<j>`, `out<chunk>_<i>_<j>`: fragment (i, j) of what a subgroup owns. `held`: its fragments of q. Of the row of an
 * invocation: `reference` is m, `sum` that of the weights of its own lane.
 */
function attentionMatrixWgsl(units: MatrixUnits, shape: ReturnType<typeof shapeOf>): string {
  const { M, N, K } = units;
  const { BQ, CHUNKS, scoreGrid, outputGrid } = shape;
  const { queries, keys, values, weights, scores, declared } = arraysOf(shape);
  const [scoreRows, scoreColumns] = [BQ / M / scoreGrid[0], BK / N / scoreGrid[1]];
  const [outRows, outColumns] = [BQ / M / outputGrid[0], MATRIX_CHUNK / N / outputGrid[1]];
  const [left, result] = [matrixType(units, "left"), matrixType(units, "result")];
  const holdsQueries = CHUNKS === 1;
  const slices = MATRIX_CHUNK / K;
  const eachScore = (line: (i: number, j: number) => string): string =>
    unroll(scoreRows, (i) => unroll(scoreColumns, (j) => line(i, j)));
  const eachOut = (line: (i: number, j: number) => string): string =>
    unroll(outRows, (i) => unroll(outColumns, (j) => line(i, j)));
  /** For each BK columns of the outputs, of which `scores` has room for as many: stores them there, then does what `use` says. */
  const eachStrip = (use: (chunk: number, strip: number) => string): string =>
    unroll(CHUNKS, (c) => unroll(MATRIX_CHUNK / BK, (s) => stripWgsl(c, s, use(c, s))));
  const stripWgsl = (c: number, s: number, use: string): string => /* wgsl */ `
      ${ofStrip(s, (i, j) => storeMatrix(units, scores, scoreAt(i, j), `out${c}_${i}_${j}`))}
      workgroupBarrier();
      ${use}
      workgroupBarrier();`;
  const ofStrip = (s: number, line: (i: number, j: number) => string): string =>
    eachOut((i, j) => `if ((output_column + ${j}u * N) / BK == ${s}u) { ${line(i, j)} }`);
  const scoreAt = (i: number, j: number): string =>
    `(output_row + ${i}u * M) * SCORE_LENGTH + (output_column + ${j}u * N) % BK`;
  /** Stages BK channels of the queries of a head of one chunk where weights will be. Their fragments stay. */
  const holdQueries = (s: number): string => /* wgsl */ `
  ${stageWgsl("q", "weights", ["BQ", "BLOCK_QUADS", "BLOCK_LENGTH"], ["first", "params.query_tokens", `${s}u * BLOCK_QUADS`])}
  workgroupBarrier();
  for (var k = 0u; k < BK; k += K) {
    ${unroll(scoreRows, (i) => `held[${i * slices}u + ${(s * BK) / K}u + k / K] = ${loadMatrix(units, "left", weights, `(score_row + ${i}u * M) * BLOCK_LENGTH + k`)};`)}
  }
  workgroupBarrier();`;
  const query = (i: number): string =>
    holdsQueries
      ? `held[${i * slices}u + k / K]`
      : loadMatrix(units, "left", queries, `(score_row + ${i}u * M) * CHUNK_LENGTH + k`);
  return /* wgsl */ `
const MASKED: f32 = -3.0e38;
const MOST_GROWTH: f32 = 8.0; // in log2 units
${declared.map((array) => matrixArrayWgsl(units, array)).join("")}
var<workgroup> lane_sums: array<f32, INVOCATIONS>;
var<workgroup> is_outgrown: u32;

// A quad of a row's scores, in log2 units. Keys behind the last are masked.
fn scores_of(row: u32, quad: u32, block: u32) -> vec4<f32> {
  let is_key = vec4<u32>(block + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.key_tokens);
  return select(vec4<f32>(MASKED), get_scores(row * (SCORE_LENGTH / 4u) + quad) * params.scale_log2e, is_key);
}

@compute @workgroup_size(INVOCATIONS) ${subgroupSizeAttribute(units)}
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
  ${unroll(CHUNKS, (c) => eachOut((i, j) => `var out${c}_${i}_${j}: ${result};`))}
  var reference = MASKED;
  var sum = 0.0;
  ${holdsQueries ? `var held: array<${left}, ${scoreRows * slices}>;${unroll(MATRIX_CHUNK / BK, holdQueries)}` : ""}

  for (var block = 0u; block < params.key_tokens; block += BK) {
    // Not by declaration alone: that makes zeros only once, before the loop.
    ${eachScore((i, j) => `var score${i}_${j} = ${result}();`)}
    if (local == 0u) { is_outgrown = 0u; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      ${holdsQueries ? "" : stageWgsl("q", "q_staged", ["BQ", "CHUNK_QUADS", "CHUNK_LENGTH"], ["first", "params.query_tokens", "chunk * CHUNK_QUADS"])}
      ${stageWgsl("k", "staged", ["BK", "CHUNK_QUADS", "CHUNK_LENGTH"], ["block", "params.key_tokens", "chunk * CHUNK_QUADS"])}
      workgroupBarrier();
      for (var k = 0u; k < CHUNK; k += K) {
        ${unroll(scoreRows, (i) => `let left${i} = ${query(i)};`)}
        ${unroll(scoreColumns, (j) => `let right${j} = ${loadMatrix(units, "right", keys, `(score_column + ${j}u * N) * CHUNK_LENGTH + k`)};`)}
        ${eachScore((i, j) => `score${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, score${i}_${j});`)}
      }
      workgroupBarrier();
    }
    ${eachScore((i, j) => storeMatrix(units, scores, `(score_row + ${i}u * M) * SCORE_LENGTH + score_column + ${j}u * N`, `score${i}_${j}`))}
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
      ${eachStrip(
        (c, s) => /* wgsl */ `for (var i = 0u; i < LANE_QUADS; i++) {
        let at = row * (SCORE_LENGTH / 4u) + first_quad + i;
        set_scores(at, get_scores(at) * rescale);
      }
      workgroupBarrier();
      ${ofStrip(s, (i, j) => `out${c}_${i}_${j} = ${loadMatrix(units, "result", scores, scoreAt(i, j))};`)}`,
      )}
    }
    ${unroll(
      CHUNKS,
      (c) => /* wgsl */ `for (var s = 0u; s < BLOCK_QUADS * CHUNK_QUADS / INVOCATIONS; s++) {
      // A block of 4 keys × 4 channels, transposed.
      let i = local + s * INVOCATIONS;
      let key = block + 4u * (i % BLOCK_QUADS);
      let column = i / BLOCK_QUADS;
      let at = v_first + key * params.value_stride + ${c}u * CHUNK_QUADS + column;
      ${unroll(4, (r) => `var v${r} = vec4<f16>();\n      if (key + ${r}u < params.key_tokens) { v${r} = v[at + ${r}u * params.value_stride]; }`)}
      ${setTransposed(values, "column * BLOCK_LENGTH + i % BLOCK_QUADS", "v")}
    }
    workgroupBarrier();
    for (var k = 0u; k < BK; k += K) {
      ${unroll(outRows, (i) => `let left${i} = ${loadMatrix(units, "left", weights, `(output_row + ${i}u * M) * BLOCK_LENGTH + k`)};`)}
      ${unroll(outColumns, (j) => `let right${j} = ${loadMatrix(units, "right", values, `(output_column + ${j}u * N) * BLOCK_LENGTH + k`)};`)}
      ${eachOut((i, j) => `out${c}_${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, out${c}_${i}_${j});`)}
    }
    workgroupBarrier();`,
    )}
  }

  lane_sums[local] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += lane_sums[row * LANES + i]; }
  let y_first = (group.z * params.query_tokens + first + row) * params.output_stride + head_quad;
  ${eachStrip(
    (c, s) => /* wgsl */ `for (var i = 0u; i < LANE_QUADS; i++) {
        let quad = first_quad + i;
        let output = pack(get_scores(row * (SCORE_LENGTH / 4u) + quad) / sum);
        if (first + row < params.query_tokens) { y[y_first + ${c}u * CHUNK_QUADS + ${s}u * BLOCK_QUADS + quad] = output; }
      }`,
  )}
}
`;
}
