/** conv2d on matrix units, against the definition; and statistics of channels. */
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { conv2d } from "../../src/kernels/contraction/conv2d.ts";
import { CONV2D_TABLE, checkConv2d, prepareConv2d } from "../kernels/contraction/conv2d-rows.ts";
import { MERGED_NORM_CASES, checkMergedNorm } from "../kernels/contraction/merged-norm-rows.ts";
import {
  PATCH_STATISTICS_CASES,
  STATISTICS_CASES,
  checkStatistics,
  statisticsTitle,
} from "../kernels/contraction/statistics-rows.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const TABLE = CONV2D_TABLE.filter(({ problem }) => problem.dtype === "f16");

it.each(TABLE.map((row) => [row.name, row] as const))("%s", async (_, row) => {
  const prepared = await prepareConv2d(gpu, row);
  await checkConv2d(gpu, row, prepared, "matrix");
  // A shader more for each kind of loads would take a second to compile and test the same again.
  if (conv2d.refusal?.(row.problem, gpu.caps, "matrix-patch-8") === null)
    await checkConv2d(gpu, row, prepared, "matrix-patch-8");
  const { inputNorm, shortcutChannels } = row.problem;
  if (inputNorm !== "none" || shortcutChannels.length > 0) return;
  if (conv2d.refusal?.(row.problem, gpu.caps, "matrix-split") === null)
    await checkConv2d(gpu, row, prepared, "matrix-split");
});

describe.each([
  ["matrix", STATISTICS_CASES],
  ["matrix-patch-8", PATCH_STATISTICS_CASES],
  ["matrix-patch-4", PATCH_STATISTICS_CASES],
] as const)("statistics of channels, %s", (variant, table) => {
  const cases = table.map((testCase) => ({ ...testCase, dtype: "f16" as const }));
  it.each(cases.map((testCase) => [statisticsTitle(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      await checkStatistics(gpu, testCase, variant);
    },
  );
});

describe.each(["matrix", "matrix-patch-8"] as const)("norms merged on load, %s", (variant) => {
  const cases = MERGED_NORM_CASES.filter(({ kernel }) => kernel === 3);
  it.each(cases.map((testCase) => ({ ...testCase, dtype: "f16" as const })))(
    "%j",
    async (testCase) => {
      await checkMergedNorm(gpu, testCase, variant);
    },
  );
});
