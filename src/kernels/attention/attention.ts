/**
 * Scaled dot-product attention, per batch entry b and head h:
 *
 *   y[i] = Σ_j softmax_j(scale · q[i]·k[j]) · v[j]
 *
 * Layout: q, k, v, y are token matrices [B, T, stride]; head h owns channels
 * offset + h·headDim … offset + (h+1)·headDim − 1 of a row, so q, k and v may be three operands or three
 * windows of one fused matrix. Columns of y beyond numHeads·headDim are not touched.
 *
 * The score matrix never exists: keys stream past in blocks, and each query keeps a running maximum m,
 * a running sum l and an unnormalised output, rescaled when m moves ("online softmax", Milakov &
 * Gimelshein 2018; FlashAttention). Scores are kept in log2 units (scale·log2 e is folded in once), sums,
 * maxima and outputs in f32. m starts at a finite −3e38, so that no ∞ − ∞ can arise, and a key beyond the
 * last one scores −3e38, which is weight 0 after the maximum of a real key.
 *
 * Variants: `naive` (two readable passes, no blocking), `thread` (registers only, for software adapters),
 * `tile` (workgroup memory, for GPUs; fits the WebGPU default limits), `matrix` (the same by matrix units, for f16 and heads of a
 * multiple of 64 channels).
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { isShape, ShapeError } from "../../gpu/shape.ts";
import type { MatrixUnits } from "../../gpu/subgroup-matrix.ts";
import type { Kernel } from "../kernel.ts";
import {
  defineKernel,
  dispatch,
  f32,
  matrixUnitsRefusal,
  reads,
  sizeClass,
  u32,
  writes,
} from "../kernel.ts";
import { MATRIX_CHUNK, matrixAttention, matrixStorageBytes } from "./attention-matrix.ts";
import type { AttentionGrid, AttentionShader } from "./attention-naive.ts";
import { naiveAttention } from "./attention-naive.ts";
import { threadAttention } from "./attention-thread.ts";
import { tileAttention, tileShape, tileStorageBytes } from "./attention-tile.ts";

/**
 * Operands `q`, `k`, `v`, `y`. Strides (channels per token row in memory) and offsets (first channel of head
 * 0) are multiples of 4. `headDim` is compiled in; everything else but `dtype` is a parameter, so that
 * resolutions share pipelines.
 */
export interface AttentionProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Tokens of q and y. */
  readonly queryTokens: number;
  /** Tokens of k and v. */
  readonly keyTokens: number;
  /** Heads. */
  readonly numHeads: number;
  /** Channels of a head; a multiple of 4, up to 512. */
  readonly headDim: number;
  /** Factor of the products before the softmax. */
  readonly scale: number;
  /** Channels of a row of q with padding; a multiple of 4. */
  readonly queryStride: number;
  /** Channels of a row of k with padding; a multiple of 4. */
  readonly keyStride: number;
  /** Channels of a row of v with padding; a multiple of 4. */
  readonly valueStride: number;
  /** Channels of a row of y with padding; a multiple of 4. */
  readonly outputStride: number;
  /** First channel of head 0 in q; a multiple of 4. */
  readonly queryOffset: number;
  /** First channel of head 0 in k; a multiple of 4. */
  readonly keyOffset: number;
  /** First channel of head 0 in v; a multiple of 4. */
  readonly valueOffset: number;
}

export type AttentionVariant = "naive" | "thread" | "tile" | "matrix";

/** Bounded by the function-scope memory of `thread` and the accumulators of `tile`. */
const MAX_HEAD_DIM = 512;
/** Workgroups per dimension: heads and batch are grid dimensions; a query block has at least 16 queries. */
const MAX_GROUPS = 65_535;
const MAX_QUERY_TOKENS = MAX_GROUPS * 16;

function check(problem: AttentionProblem): void {
  const { batch, queryTokens, keyTokens, numHeads, headDim, scale } = problem;
  const fail = (rule: string, got: string): never => {
    throw new ShapeError(`attention: ${rule}, got ${got}`);
  };
  if (!isShape([batch, queryTokens, keyTokens, numHeads])) {
    fail(
      "batch, queryTokens, keyTokens and numHeads must be integers ≥ 1",
      `${batch}, ${queryTokens}, ${keyTokens} and ${numHeads}`,
    );
  }
  if (!isShape([headDim]) || headDim % 4 !== 0 || headDim > MAX_HEAD_DIM) {
    fail(
      `headDim must be a multiple of 4 from 4 to ${MAX_HEAD_DIM}`,
      `${headDim} (${numHeads} heads)`,
    );
  }
  const quadRows = (numHeads * headDim) / 4;
  if (queryTokens > MAX_QUERY_TOKENS || quadRows > MAX_GROUPS || batch > MAX_GROUPS) {
    fail(
      `queryTokens must be ≤ ${MAX_QUERY_TOKENS}, batch and numHeads·headDim/4 ≤ ${MAX_GROUPS}`,
      `${queryTokens}, ${batch} and ${quadRows}`,
    );
  }
  if (!Number.isFinite(scale)) fail("scale must be finite", `${scale}`);
  const windows = [
    ["query", problem.queryStride, problem.queryOffset],
    ["key", problem.keyStride, problem.keyOffset],
    ["value", problem.valueStride, problem.valueOffset],
    ["output", problem.outputStride, 0],
  ] as const;
  for (const [name, stride, offset] of windows) {
    if (!Number.isSafeInteger(offset) || offset < 0 || stride % 4 !== 0 || offset % 4 !== 0) {
      fail(`${name} stride and offset must be multiples of 4, ≥ 0`, `${stride} and ${offset}`);
    }
    if (!(stride >= offset + numHeads * headDim)) {
      fail(
        `${name}Stride must hold offset + numHeads·headDim channels`,
        `stride ${stride}, offset ${offset}, ${numHeads}·${headDim}`,
      );
    }
  }
}

function refusal(problem: AttentionProblem, caps: Caps, variant: AttentionVariant): string | null {
  const { headDim, dtype } = problem;
  const { limits, matrixUnits: units } = caps;
  if (variant === "matrix") {
    if (headDim % MATRIX_CHUNK !== 0)
      return `matrix takes heads of a multiple of ${MATRIX_CHUNK} channels, got ${headDim}`;
    return matrixUnitsRefusal(dtype, caps, units ? matrixStorageBytes(units, headDim) : 0);
  }
  if (variant !== "tile") return null;
  const invocations = tileShape(headDim).INVOCATIONS;
  const fits =
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    invocations <= limits.maxComputeWorkgroupSizeX &&
    tileStorageBytes(headDim) <= limits.maxComputeWorkgroupStorageSize;
  return fits
    ? null
    : `tile needs workgroups of ${invocations} with ${tileStorageBytes(headDim)} bytes, got ` +
        `${limits.maxComputeInvocationsPerWorkgroup} and ${limits.maxComputeWorkgroupStorageSize}`;
}

const SHADERS: Readonly<
  Record<AttentionVariant, (grid: AttentionGrid, caps: Caps) => AttentionShader>
> = {
  naive: naiveAttention,
  thread: threadAttention,
  tile: tileAttention,
  matrix: (grid, { matrixUnits }) => matrixAttention(grid, matrixUnits as MatrixUnits),
};

/** Scaled dot-product attention with an online softmax; scores are never stored. */
export const attention: Kernel<AttentionProblem, AttentionVariant> = defineKernel({
  name: "attention",
  variants: ["naive", "thread", "tile", "matrix"],
  check,
  refusal,
  /** On SwiftShader `tile` takes twice the time of `thread` (d 64; 3 times at d 512) and 4 times to compile. */
  select: (problem, caps) =>
    caps.isSoftware
      ? "thread"
      : ((["matrix", "tile"] as const).find((one) => refusal(problem, caps, one) === null) ??
        "thread"),
  dispatches(problem, caps, variant) {
    const { dtype, headDim } = problem;
    const { directives = [], constants, body, workgroups } = SHADERS[variant](problem, caps);
    const header = {
      caps,
      dtype,
      directives,
      operands: [reads("q"), reads("k"), reads("v"), writes("y")],
      // Strides and offsets in quads. log2 e turns exp into exp2, which is what hardware has.
      params: [
        u32("query_tokens", problem.queryTokens),
        u32("key_tokens", problem.keyTokens),
        u32("query_stride", problem.queryStride / 4),
        u32("key_stride", problem.keyStride / 4),
        u32("value_stride", problem.valueStride / 4),
        u32("output_stride", problem.outputStride / 4),
        u32("query_offset", problem.queryOffset / 4),
        u32("key_offset", problem.keyOffset / 4),
        u32("value_offset", problem.valueOffset / 4),
        f32("scale_log2e", problem.scale * Math.LOG2E),
      ],
      constants: { HEAD_QUADS: headDim / 4, ...constants },
    };
    return [dispatch(`attention/${variant} d=${headDim}`, header, body, workgroups)];
  },
  cost({ dtype, batch, queryTokens, keyTokens, numHeads, headDim }) {
    const channels = numHeads * headDim;
    const row = batch * channels * dtypeByteLength(dtype);
    return {
      flops: 4 * batch * queryTokens * keyTokens * channels,
      bytesRead: row * (queryTokens + 2 * keyTokens),
      bytesWritten: row * queryTokens,
    };
  },
  classOf({ batch, queryTokens, keyTokens, numHeads, headDim }) {
    const size = `${sizeClass(queryTokens)}×${sizeClass(keyTokens)}`;
    return `${size} h${batch * numHeads} d${headDim}`;
  },
});
