/** Attention on matrix units, against the definition. */
import { afterAll, beforeAll, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import {
  ATTENTION_CASES,
  attentionTitle,
  checkAttention,
} from "../kernels/attention/attention-rows.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

// Heads of 512 channels take this driver minutes to compile; they are the text of those of 128, with more chunks.
const CASES = ATTENTION_CASES.filter(
  ({ d, only }) => (d === 64 || d === 128) && (!only || only.includes("matrix")),
);

it.each(CASES.map((testCase) => [attentionTitle(testCase), testCase] as const))(
  "%s",
  async (_, testCase) => {
    await checkAttention(gpu, testCase, "f16", "matrix");
  },
);
