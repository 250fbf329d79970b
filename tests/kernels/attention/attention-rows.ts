/** Attention against the definition: its problems, and how a variant is checked on a device. */
import { expect } from "vitest";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { DType } from "../../../src/gpu/dtype.ts";
import { dtypeByteLength, roundToDtype } from "../../../src/gpu/dtype.ts";
import type {
  AttentionProblem,
  AttentionVariant,
} from "../../../src/kernels/attention/attention.ts";
import { attention } from "../../../src/kernels/attention/attention.ts";
import { attention as reference } from "../../reference/attention.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise, roundedWeights } from "../../support/tolerance.ts";

export interface AttentionCase {
  readonly batch?: number;
  readonly h: number;
  readonly d: number;
  readonly q: number;
  readonly k: number;
  /** q, k and v as windows of one matrix with stray columns, y with two stray quads behind. */
  readonly fused?: boolean;
  readonly input?: Input;
  /** Only these variants: where the others would take minutes on a software adapter. */
  readonly only?: readonly AttentionVariant[];
}

/**
 * `logits n`: scores spread over ±n. `ties n`: every score exactly n or −n. `low`: all scores near −80. `rising`: from block to block of 32 keys scores of
 * some rows grow by 15, those of others fall.
 */
type Input =
  | "plain"
  | "logits 80"
  | "logits 1000"
  | "ties 1000"
  | "constant"
  | "large v"
  | "low"
  | "rising";

export const ATTENTION_CASES: readonly AttentionCase[] = [
  { h: 1, d: 8, q: 1, k: 1 },
  { h: 3, d: 8, q: 5, k: 7 },
  { h: 2, d: 64, q: 32, k: 32 }, // exactly one block of `tile`
  { h: 2, d: 64, q: 33, k: 33 },
  { h: 2, d: 64, q: 4, k: 8 }, // exactly one block of `thread`
  { h: 1, d: 64, q: 1, k: 9 },
  { h: 2, d: 40, q: 17, k: 41 },
  { h: 1, d: 200, q: 17, k: 35 }, // three queries an invocation in `thread`, two in `tile`
  { h: 2, d: 64, q: 37, k: 70, batch: 2 },
  { h: 2, d: 64, q: 19, k: 21, batch: 2, fused: true },
  { h: 3, d: 8, q: 5, k: 5, batch: 2, fused: true },
  { h: 2, d: 64, q: 16, k: 70, input: "logits 80" },
  { h: 2, d: 64, q: 16, k: 70, input: "logits 1000" },
  { h: 2, d: 64, q: 16, k: 70, input: "ties 1000" },
  { h: 2, d: 64, q: 16, k: 70, input: "constant" },
  { h: 2, d: 64, q: 16, k: 70, input: "large v" },
  // SD 2.1: self attention at 32×32, cross attention at 8×8, CLIP, middle of the VAE.
  { h: 5, d: 64, q: 1024, k: 1024, only: ["thread"] },
  { h: 5, d: 64, q: 64, k: 257, only: ["thread", "tile", "matrix"] },
  { h: 2, d: 64, q: 257, k: 257, only: ["thread", "tile", "matrix"] },
  { h: 1, d: 512, q: 64, k: 64, only: ["thread", "tile"] },
  { h: 2, d: 128, q: 17, k: 40, fused: true, only: ["tile", "matrix"] }, // two chunks of channels in `matrix`
  { h: 1, d: 64, q: 40, k: 100, input: "rising" },
  { h: 1, d: 64, q: 9, k: 70, input: "low" }, // what stands in behind the last key must weigh nothing beside them
  { h: 1, d: 4, q: 3, k: 300, only: ["naive", "thread"] },
];

export function attentionTitle({ h, d, q, k, batch, fused, input }: AttentionCase): string {
  const extras = [batch ? `b=${batch}` : "", fused ? "fused" : "", input ?? ""].filter(Boolean);
  return [`h=${h} d=${d} q=${q} k=${k}`, ...extras].join(" ");
}

function makeInputs({ batch = 1, h, d, q, k, input = "plain" }: AttentionCase, dtype: DType) {
  const round = (x: number) => roundToDtype(x, dtype);
  const channels = h * d;
  let scale = d ** -0.5;
  let queries = uniformArray(batch * q * channels, 1, 1.5);
  let keys = uniformArray(batch * k * channels, 2, 1.5);
  let values = uniformArray(batch * k * channels, 3, 1);
  if (input === "logits 80" || input === "logits 1000") {
    // Standard deviation of a score of uniform ±1.5 values is 0.75·√d before the scale; ±3 of them reach n.
    scale = (input === "logits 80" ? 80 : 1000) / (3 * 0.75 * Math.sqrt(d));
  } else if (input === "ties 1000") {
    const signs = uniformArray(batch * (q + k), 4);
    scale = 1000 / d;
    queries = queries.map((_, i) => Math.sign(signs[Math.floor(i / channels)] as number));
    keys = keys.map((_, i) => Math.sign(signs[batch * q + Math.floor(i / channels)] as number));
  } else if (input === "constant") {
    queries = queries.fill(0.7);
    keys = keys.fill(-1.3);
  } else if (input === "rising") {
    scale = 1;
    queries = queries.map((x, i) => (i % d === 0 ? Math.sign(x) : 0.1 * x));
    keys = keys.map((x, i) => (i % d === 0 ? Math.floor(i / channels / 32) * 15 + x : 0.1 * x));
  } else if (input === "low") {
    scale = 1;
    queries = queries.map((x, i) => (i % d === 0 ? 10 : 0.1 * x));
    keys = keys.map((x, i) => (i % d === 0 ? -8 : 0.1 * x));
  } else if (input === "large v") {
    values = uniformArray(batch * k * channels, 3, 5000, 60_000);
  }
  return { q: queries.map(round), k: keys.map(round), v: values.map(round), scale };
}

/** Rows of `channels` values as columns offset … of rows of `stride`; the rest holds 900. */
function inWindow(values: Float64Array, channels: number, stride: number, offset: number) {
  const rows = values.length / channels;
  const out = new Float64Array(rows * stride).fill(900);
  for (let row = 0; row < rows; row++) {
    out.set(values.subarray(row * channels, (row + 1) * channels), row * stride + offset);
  }
  return out;
}

function deviationOf(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

/** Runs `variant` and compares; columns of y beyond the heads must keep what they hold. */
export async function checkAttention(
  gpu: Gpu,
  testCase: AttentionCase,
  dtype: DType,
  variant: AttentionVariant,
): Promise<void> {
  const { batch = 1, h, d, q, k, fused = false } = testCase;
  const channels = h * d;
  const inputs = makeInputs(testCase, dtype);
  const inputStride = fused ? 3 * channels + 4 : channels;
  const outputStride = fused ? channels + 8 : channels;
  const problem: AttentionProblem = {
    dtype,
    batch,
    queryTokens: q,
    keyTokens: k,
    numHeads: h,
    headDim: d,
    scale: inputs.scale,
    queryStride: inputStride,
    keyStride: inputStride,
    valueStride: inputStride,
    outputStride,
    queryOffset: fused ? 4 : 0,
    keyOffset: fused ? 4 + channels : 0,
    valueOffset: fused ? 4 + 2 * channels : 0,
  };
  const pack = (values: Float64Array, offset: number) =>
    packRows(inWindow(values, channels, inputStride, offset), inputStride, dtype);
  const { y } = await runKernel(
    gpu,
    attention.plan(problem, gpu.caps, variant),
    {
      q: pack(inputs.q, problem.queryOffset),
      k: pack(inputs.k, problem.keyOffset),
      v: pack(inputs.v, problem.valueOffset),
    },
    { y: batch * q * outputStride * dtypeByteLength(dtype) },
  );
  const rows = unpackRows(y as Uint8Array<ArrayBuffer>, outputStride, dtype);
  const got = new Float64Array(batch * q * channels);
  const [stray] = unpackRows(new Uint8Array(16).fill(0xa5), 4, dtype);
  for (let row = 0; row < batch * q; row++) {
    got.set(rows.subarray(row * outputStride, row * outputStride + channels), row * channels);
    for (let c = channels; c < outputStride; c++) {
      expect(rows[row * outputStride + c], `stray column ${c} of row ${row}`).toBe(stray);
    }
  }
  const sizes = { batch, queryTokens: q, keyTokens: k, numHeads: h, headDim: d };
  const expected = reference(sizes, inputs.q, inputs.k, inputs.v, inputs.scale);
  const tolerance = variant === "matrix" ? roundedWeights(deviationOf(inputs.v)) : pointwise(dtype);
  expectClose(got, expected, [batch, q, channels], tolerance);
}
