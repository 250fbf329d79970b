/** The variants of linear and conv2d that run on matrix units, against the definition. */
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { conv2d } from "../../src/kernels/conv2d.ts";
import { linear } from "../../src/kernels/linear.ts";
import { CONV2D_TABLE, checkConv2d, prepareConv2d } from "../kernels/conv2d-rows.ts";
import { LINEAR_TABLE, checkLinear, prepareLinear } from "../kernels/linear-rows.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const VARIANTS = ["matrix", "matrix-split"] as const;
const isHalf = ({ problem }: { readonly problem: { readonly dtype: string } }): boolean =>
  problem.dtype === "f16";

describe("linear", () => {
  it.each(LINEAR_TABLE.filter(isHalf).map((row) => [row.name, row] as const))(
    "%s",
    async (_, row) => {
      const prepared = await prepareLinear(gpu, row);
      const { inputNorm, inChannels } = row.problem;
      const length = inChannels.reduce((a, b) => a + b);
      const tolerance =
        inputNorm === "none" ? prepared.tolerance : prepared.tolerance;
      for (const variant of VARIANTS) {
        if (linear.refusal?.(row.problem, gpu.caps, variant) !== null) continue;
        await checkLinear(gpu, row, prepared, variant, tolerance);
      }
    },
  );
});

describe("conv2d", () => {
  it.each(CONV2D_TABLE.filter(isHalf).map((row) => [row.name, row] as const))(
    "%s",
    async (_, row) => {
      const prepared = await prepareConv2d(gpu, row);
      const { inputNorm } = row.problem;
      const tolerance =
        inputNorm === "none" ? prepared.tolerance : prepared.tolerance;
      for (const variant of VARIANTS) {
        if (conv2d.refusal?.(row.problem, gpu.caps, variant) !== null) continue;
        await checkConv2d(gpu, row, prepared, variant, tolerance);
      }
    },
  );
});
