import { describe, expect, it } from "vitest";
import { ShapeError, paddedChannels } from "../../../src/gpu/shape.ts";
import {
  modulateLora,
  modulatedFactorByteLength,
} from "../../../src/kernels/contraction/modulate-lora.ts";
import type { SourceDType } from "../../../src/kernels/contraction/pack-weight.ts";
import { modulatedFactor } from "../../reference/modulated-lora.ts";
import { expectClose } from "../../support/expect-close.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { roundToSource, sourceBytes } from "../../support/packed-weight.ts";
import { uniformArray } from "../../support/random.ts";
import { contraction } from "../../support/tolerance.ts";

const setup = useGpu();

/** [outChannels, rank, block, blocks, magnitude of M]. */
const CASES: readonly (readonly [number, number, number, number, number])[] = [
  [1, 1, 0, 1, 1],
  [1, 1, 2, 3, 1], // each matrix of one element takes a quad
  [5, 3, 1, 2, 1], // nine elements in twelve
  [3, 5, 3, 4, 100],
  [65, 4, 5, 6, 1],
  [33, 16, 5, 6, 1],
  [320, 32, 9, 10, 1],
  [7, 33, 0, 1, 1],
];

describe.each<SourceDType>(["F32", "F16", "BF16"])("modulateLora from %s", (bDType) => {
  it.each(CASES)("[%i, %i], matrix %i of %i, ×%d", async (out, rank, block, blocks, magnitude) => {
    const b = uniformArray(out * rank, 1).map((value) => roundToSource(value, bDType));
    const matrices = uniformArray(blocks * rank * rank, 2, magnitude).map(Math.fround);
    const stride = paddedChannels(rank * rank);
    const padded = new Float32Array(blocks * stride).fill(NaN); // padding must not matter
    for (let j = 0; j < blocks; j++)
      padded.set(matrices.subarray(j * rank * rank, (j + 1) * rank * rank), j * stride);
    const problem = { outChannels: out, rank, bDType, block };
    const { result } = await runKernel(
      setup.gpu,
      modulateLora.plan(problem, setup.caps),
      { lora_b: sourceBytes(b, bDType), modulation: new Uint8Array(padded.buffer) },
      { result: modulatedFactorByteLength(problem) },
    );
    const m = matrices.subarray(block * rank * rank, (block + 1) * rank * rank);
    expectClose(
      new Float32Array((result as Uint8Array<ArrayBuffer>).buffer, 0, out * rank),
      modulatedFactor(b, m, rank),
      [out, rank],
      contraction("f32", rank, magnitude / 3), // products of two uniform numbers have rms 1/3
    );
  });
});

it.each([
  [{ rank: 0 }, "got out 4, rank 0, block 0"],
  [{ outChannels: 1.5 }, "got out 1.5, rank 2, block 0"],
  [{ block: -1 }, "got out 4, rank 2, block -1"],
])("refuses %j", (change, message) => {
  const problem = { outChannels: 4, rank: 2, bDType: "F32", block: 0, ...change } as const;
  expect(() => modulateLora.check(problem)).toThrow(ShapeError);
  expect(() => modulateLora.check(problem)).toThrow(message);
});
