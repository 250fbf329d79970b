/** The variants of linear and conv2d that run on matrix units, against the definition. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import type { LinearProblem } from "../../src/kernels/linear.ts";
import { conv2d } from "../../src/kernels/conv2d.ts";
import { linear } from "../../src/kernels/linear.ts";
import { CONV2D_TABLE, checkConv2d, prepareConv2d } from "../kernels/conv2d-rows.ts";
import { LAYER_NORM_CASES, checkLayerNormOnLoad } from "../kernels/layer-norm-rows.ts";
import type { LinearRow } from "../kernels/linear-rows.ts";
import { LINEAR_TABLE, checkLinear, prepareLinear } from "../kernels/linear-rows.ts";
import { STATISTICS_CASES, checkStatistics, statisticsTitle } from "../kernels/statistics-rows.ts";
import { runKernel } from "../support/gpu.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const LINEAR = LINEAR_TABLE.filter(({ problem }) => problem.dtype === "f16");
const CONV2D = CONV2D_TABLE.filter(({ problem }) => problem.dtype === "f16");

const isSplit = (problem: LinearProblem | (typeof CONV2D)[number]["problem"]): boolean =>
  "kernelSize" in problem
    ? conv2d.refusal?.(problem, gpu.caps, "matrix-split") === null
    : linear.refusal?.(problem, gpu.caps, "matrix-split") === null;

describe("linear", () => {
  it.each(LINEAR.map((row) => [row.name, row] as const))("%s", async (_, row) => {
    const prepared = await prepareLinear(gpu, row);
    await checkLinear(gpu, row, prepared, "matrix");
    if (isSplit(row.problem)) await checkLinear(gpu, row, prepared, "matrix-split");
  });

  it("gives equal bits in every run", async () => {
    const row = LINEAR.find(({ problem }) => problem.rows === 77) as LinearRow;
    const { inputs, outBytes } = await prepareLinear(gpu, row);
    for (const variant of ["matrix", "matrix-split"] as const) {
      const plan = linear.plan(row.problem, gpu.caps, variant);
      const run = () => runKernel(gpu, plan, inputs, { y: outBytes });
      const first = await run();
      for (let i = 0; i < 3; i++) expect(await run()).toEqual(first);
    }
  });
});

describe("conv2d", () => {
  it.each(CONV2D.map((row) => [row.name, row] as const))("%s", async (_, row) => {
    const prepared = await prepareConv2d(gpu, row);
    await checkConv2d(gpu, row, prepared, "matrix");
    // One shader a kind of loads: those without an upsampled map, a shortcut or a norm.
    const { inputNorm, shortcutChannels } = row.problem;
    if (inputNorm !== "none" || shortcutChannels.length > 0 || !isSplit(row.problem)) return;
    await checkConv2d(gpu, row, prepared, "matrix-split");
  });
});

describe("statistics of channels", () => {
  const cases = STATISTICS_CASES.map((testCase) => ({ ...testCase, dtype: "f16" as const }));
  it.each(cases.map((testCase) => [statisticsTitle(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      await checkStatistics(gpu, testCase, "matrix");
    },
  );
});

describe("statistics of rows, and LayerNorm on load", () => {
  it.each(
    LAYER_NORM_CASES.map(
      (row) => [JSON.stringify(row), { ...row, dtype: "f16" as const }] as const,
    ),
  )("%s", async (_, row) => {
    await checkLayerNormOnLoad(gpu, row, "matrix");
  });
});
