/** Attention as a workload. The reference computes one query of one head at a time, in doubles. */
import type { DType } from "../../gpu/dtype.ts";
import type { AttentionProblem } from "../../kernels/attention/attention.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { chooseVariant } from "../../kernels/variant-choice.ts";
import type { CaseShape } from "./case-shape.ts";
import type { TestTensor } from "./test-data.ts";
import type { Workload } from "./workload.ts";
import { pointwiseTolerance } from "./workload.ts";

type AttentionShape = Extract<CaseShape, { kind: "attention" }>;

export function attentionWorkload(shape: AttentionShape, dtype: DType): Workload {
  const { queryTokens, keyTokens, numHeads, headDim } = shape;
  const { q, k, v } = windowsOf(shape, dtype);
  const { rtol, atol } = pointwiseTolerance(dtype);
  const channels = numHeads * headDim;
  const scale = headDim ** -0.5;
  const problem: AttentionProblem = {
    dtype,
    batch: 1,
    queryTokens,
    keyTokens,
    numHeads,
    headDim,
    scale,
    queryStride: q.tensor.channels,
    keyStride: k.tensor.channels,
    valueStride: v.tensor.channels,
    outputStride: channels,
    queryOffset: q.offset,
    keyOffset: k.offset,
    valueOffset: v.offset,
  };
  return {
    kernel: attention.name,
    variants: attention.variants,
    select: (caps) => chooseVariant(attention, problem, caps).variant,
    plan: (caps, variant) => [
      {
        kernel: attention.name,
        plan: attention.plan(problem, caps, variant as (typeof attention.variants)[number]),
        buffers: { q: q.tensor.name, k: k.tensor.name, v: v.tensor.name },
      },
    ],
    cost: attention.cost(problem),
    inputs: [...new Set([q.tensor, k.tensor, v.tensor])],
    weight: [],
    temporaries: {},
    output: { dtype, rows: queryTokens, channels, groupChannels: headDim },
    tolerance: { rtol, atol: atol * v.tensor.scale },
    reference(read) {
      const elements = ({ tensor, offset }: Window) => {
        const element = read(tensor.name);
        return (token: number, channel: number) =>
          element(token * tensor.channels + offset + channel);
      };
      const [queryAt, keyAt, valueAt] = [elements(q), elements(k), elements(v)];
      let known: { readonly key: string; readonly weights: Float64Array } | undefined;
      const weightsOf = (query: number, head: number): Float64Array => {
        const key = `${query} ${head}`;
        if (known?.key === key) return known.weights;
        const first = head * headDim;
        const queryRow = Float64Array.from(
          { length: headDim },
          (_, d) => queryAt(query, first + d) * scale,
        );
        const weights = new Float64Array(keyTokens);
        for (let j = 0; j < keyTokens; j++) {
          let score = 0;
          for (let d = 0; d < headDim; d++) score += (queryRow[d] as number) * keyAt(j, first + d);
          weights[j] = score;
        }
        const highest = weights.reduce((a, b) => Math.max(a, b), -Infinity);
        let sum = 0;
        for (let j = 0; j < keyTokens; j++)
          sum += weights[j] = Math.exp((weights[j] as number) - highest);
        for (let j = 0; j < keyTokens; j++) weights[j] = (weights[j] as number) / sum;
        known = { key, weights };
        return weights;
      };
      return (query, channel) => {
        const weights = weightsOf(query, Math.floor(channel / headDim));
        let y = 0;
        for (let j = 0; j < keyTokens; j++) y += (weights[j] as number) * valueAt(j, channel);
        return y;
      };
    },
  };
}

/** Where an operand lies: a tensor, and the first of its channels. */
interface Window {
  readonly tensor: TestTensor;
  readonly offset: number;
}

/**
 * Scores have a standard deviation of 2.7 (1.3 where queries, keys and values are of one size): a softmax that
 * is neither flat nor a single key.
 */
function windowsOf(
  { queryTokens, keyTokens, numHeads, headDim, stacked }: AttentionShape,
  dtype: DType,
): Readonly<Record<"q" | "k" | "v", Window>> {
  const channels = numHeads * headDim;
  const queries: TestTensor = {
    name: "q",
    dtype,
    rows: queryTokens,
    channels,
    scale: 4,
    seed: 21,
  };
  const keys: TestTensor = { ...queries, name: "k", rows: keyTokens, scale: 2, seed: 22 };
  if (stacked === undefined) {
    const values: TestTensor = { ...keys, name: "v", scale: 1, seed: 23 };
    return {
      q: { tensor: queries, offset: 0 },
      k: { tensor: keys, offset: 0 },
      v: { tensor: values, offset: 0 },
    };
  }
  if (stacked === "qkv") {
    const tensor: TestTensor = { ...keys, name: "qkv", channels: 3 * channels };
    return {
      q: { tensor, offset: 0 },
      k: { tensor, offset: channels },
      v: { tensor, offset: 2 * channels },
    };
  }
  const tensor: TestTensor = { ...keys, name: "kv", channels: stacked.kvChannels };
  return {
    q: { tensor: queries, offset: 0 },
    k: { tensor, offset: tensor.channels - 2 * channels },
    v: { tensor, offset: tensor.channels - channels },
  };
}
