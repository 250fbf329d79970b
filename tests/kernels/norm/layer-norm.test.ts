import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { LayerNormProblem } from "../../../src/kernels/norm/layer-norm.ts";
import { layerNorm } from "../../../src/kernels/norm/layer-norm.ts";

const PROBLEM: LayerNormProblem = { dtype: "f16", rows: 77, channels: 1024, eps: 1e-5 };
const SOFTWARE = { ...BASELINE_CAPS, isSoftware: true };

it.each([
  [{ rows: 0 }, "layerNorm: rows and channels must be integers ≥ 1, got 0 and 1024"],
  [{ channels: 1.5 }, "layerNorm: rows and channels must be integers ≥ 1, got 77 and 1.5"],
  [{ eps: -1 }, "layerNorm: eps must be a positive number, got -1"],
])("layerNorm.check refuses %o", (change, message) => {
  expect(() => layerNorm.check({ ...PROBLEM, ...change })).toThrow(message);
});

it("layerNorm.select: a workgroup per row on a GPU, except for short rows; a row per invocation on a CPU", () => {
  expect(layerNorm.select(PROBLEM, BASELINE_CAPS)).toBe("workgroup");
  expect(layerNorm.select({ ...PROBLEM, channels: 33 }, BASELINE_CAPS)).toBe("workgroup");
  expect(layerNorm.select({ ...PROBLEM, channels: 32 }, BASELINE_CAPS)).toBe("row");
  expect(layerNorm.select(PROBLEM, SOFTWARE)).toBe("row");
});

describe("layerNorm.plan", () => {
  it.each(layerNorm.variants)("%s shares one pipeline between sizes", (variant) => {
    const code = (problem: LayerNormProblem) =>
      layerNorm.plan(problem, BASELINE_CAPS, variant).dispatches[0]?.code;
    expect(code({ ...PROBLEM, rows: 5, channels: 45, eps: 1e-6 })).toBe(code(PROBLEM));
  });

  it("folds large grids", () => {
    const workgroups = (variant: "row" | "workgroup") =>
      layerNorm.plan({ ...PROBLEM, rows: 70_000 }, BASELINE_CAPS, variant).dispatches[0]
        ?.workgroups;
    expect(workgroups("row")).toEqual([1094, 1, 1]);
    expect(workgroups("workgroup")).toEqual([35_000, 2, 1]);
  });
});

it("layerNorm.cost", () => {
  expect(layerNorm.cost({ ...PROBLEM, channels: 5 })).toEqual({
    flops: 77 * 5 * 9,
    bytesRead: 77 * 8 * 2 + 2 * 8 * 4,
    bytesWritten: 77 * 8 * 2,
  });
});
