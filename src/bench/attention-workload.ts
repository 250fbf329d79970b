/** Attention as a workload. The reference computes one query of one head at a time, in doubles. */
import type { DType } from "../gpu/dtype.ts";
import type { AttentionProblem } from "../kernels/attention.ts";
import { attention } from "../kernels/attention.ts";
import type { CaseShape } from "./case-shape.ts";
import type { TestTensor } from "./test-data.ts";
import type { Workload } from "./workload.ts";
import { pointwiseTolerance } from "./workload.ts";

export function attentionWorkload(
  shape: Extract<CaseShape, { kind: "attention" }>,
  dtype: DType,
): Workload {
  const { queryTokens, keyTokens, numHeads, headDim } = shape;
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
    queryStride: channels,
    keyStride: channels,
    valueStride: channels,
    outputStride: channels,
    queryOffset: 0,
    keyOffset: 0,
    valueOffset: 0,
  };
  // Scores with a standard deviation of 2.7: a softmax that is neither flat nor a single key.
  const tensor = (name: string, rows: number, size: number, seed: number): TestTensor => ({
    name,
    dtype,
    rows,
    channels,
    scale: size,
    seed,
  });
  return {
    kernel: attention.name,
    variants: attention.variants,
    select: (caps) => attention.select(problem, caps),
    plan: (caps, variant) => [
      {
        kernel: attention.name,
        plan: attention.plan(problem, caps, variant as (typeof attention.variants)[number]),
      },
    ],
    cost: attention.cost(problem),
    inputs: [
      tensor("q", queryTokens, 4, 21),
      tensor("k", keyTokens, 2, 22),
      tensor("v", keyTokens, 1, 23),
    ],
    weight: null,
    temporaries: {},
    output: { dtype, rows: queryTokens, channels, groupChannels: headDim },
    tolerance: pointwiseTolerance(dtype),
    reference(read) {
      const [q, k, v] = [read("q"), read("k"), read("v")];
      let known: { readonly key: string; readonly weights: Float64Array } | undefined;
      const weightsOf = (query: number, head: number): Float64Array => {
        const key = `${query} ${head}`;
        if (known?.key === key) return known.weights;
        const first = head * headDim;
        const queryRow = Float64Array.from(
          { length: headDim },
          (_, d) => q(query * channels + first + d) * scale,
        );
        const weights = new Float64Array(keyTokens);
        for (let j = 0; j < keyTokens; j++) {
          let score = 0;
          for (let d = 0; d < headDim; d++)
            score += (queryRow[d] as number) * k(j * channels + first + d);
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
        for (let j = 0; j < keyTokens; j++) y += (weights[j] as number) * v(j * channels + channel);
        return y;
      };
    },
  };
}
