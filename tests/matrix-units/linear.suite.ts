/** linear on matrix units, against the definition. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { linear } from "../../src/kernels/contraction/linear.ts";
import type { LinearRow } from "../kernels/contraction/linear-rows.ts";
import { LINEAR_TABLE, checkLinear, prepareLinear } from "../kernels/contraction/linear-rows.ts";
import { MERGED_NORM_CASES, checkMergedNorm } from "../kernels/contraction/merged-norm-rows.ts";
import { LAYER_NORM_CASES, checkLayerNormOnLoad } from "../kernels/norm/layer-norm-rows.ts";
import { runKernel } from "../support/gpu.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const TABLE = LINEAR_TABLE.filter(({ problem }) => problem.dtype === "f16");

it.each(TABLE.map((row) => [row.name, row] as const))("%s", async (_, row) => {
  const prepared = await prepareLinear(gpu, row);
  await checkLinear(gpu, row, prepared, "matrix");
  if (linear.refusal?.(row.problem, gpu.caps, "matrix-split") !== null) return;
  await checkLinear(gpu, row, prepared, "matrix-split");
});

it("is split on some rows of the table, GEGLU among them", () => {
  const split = TABLE.filter(
    ({ problem }) => linear.refusal?.(problem, gpu.caps, "matrix-split") === null,
  );
  expect(new Set(split.map(({ geglu }) => geglu))).toEqual(new Set([false, true]));
});

it("gives equal bits in every run", async () => {
  const row = TABLE.find(({ problem }) => problem.rows === 77) as LinearRow;
  const { inputs, outBytes } = await prepareLinear(gpu, row);
  for (const variant of ["matrix", "matrix-split"] as const) {
    const plan = linear.plan(row.problem, gpu.caps, variant);
    const run = () => runKernel(gpu, plan, inputs, { y: outBytes });
    const first = await run();
    for (let i = 0; i < 3; i++) expect(await run()).toEqual(first);
  }
});

describe("statistics of rows, and LayerNorm on load", () => {
  const cases = LAYER_NORM_CASES.map((row) => ({ ...row, dtype: "f16" as const }));
  it.each(cases.map((row) => [JSON.stringify(row), row] as const))("%s", async (_, row) => {
    await checkLayerNormOnLoad(gpu, row, "matrix");
  });
});

describe("norms merged on load", () => {
  const cases = MERGED_NORM_CASES.filter(({ kernel }) => kernel === 1);
  it.each(cases.map((testCase) => ({ ...testCase, dtype: "f16" as const })))(
    "%j",
    async (testCase) => {
      await checkMergedNorm(gpu, testCase, "matrix");
    },
  );
});
