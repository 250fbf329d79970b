import { describe, expect, test } from "vitest";
import {
  channelsLastShape,
  toChannelsFirst,
  toChannelsLast,
} from "../../../src/verify/runner/axis-order.ts";
import { compareOutput, floatLimit } from "../../../src/verify/runner/compare.ts";
import type { GoldenCase } from "../../../src/verify/runner/golden-file.ts";
import { compareResults } from "../../../src/verify/runner/run-case.ts";

const EXACT = { on: "maxAbs", value: 0 } as const;

describe("compareOutput", () => {
  test("errors by hand", () => {
    const { maxAbs, relRms, pass } = compareOutput("y", [3, 4.5], [3, 4], {
      on: "relRms",
      value: 0.1,
    });
    expect(maxAbs).toBe(0.5);
    expect(relRms).toBeCloseTo(0.1, 12);
    expect(pass).toBe(true);
  });

  test.each([
    ["NaN", [1, NaN, 3]],
    ["infinity", [1, Infinity, 3]],
    ["a missing value", [1, 2]],
    ["a value too many", [1, 2, 3, 4]],
    ["nothing", []],
  ])("%s fails under any limit", (_name, got) => {
    expect(compareOutput("y", got, [1, 2, 3], { on: "relRms", value: 1e30 }).pass).toBe(false);
    expect(compareOutput("y", got, [1, 2, 3], { on: "maxAbs", value: 1e30 }).pass).toBe(false);
  });

  test("NaN is not hidden by a later value", () => {
    expect(compareOutput("y", [NaN, 5], [1, 2], EXACT).maxAbs).toBeNaN();
  });

  test("an output of zeros must be zeros", () => {
    expect(compareOutput("y", [0, 0], [0, 0], { on: "relRms", value: 1e-5 }).pass).toBe(true);
    expect(compareOutput("y", [0, 1e-30], [0, 0], { on: "relRms", value: 1e-5 }).pass).toBe(false);
  });

  test("levels are judged by the largest difference", () => {
    expect(compareOutput("image", [1, 0], [0, 0], { on: "maxAbs", value: 1 }).pass).toBe(true);
    expect(compareOutput("image", [2, 0], [0, 0], { on: "maxAbs", value: 1 }).pass).toBe(false);
  });

  test("limits", () => {
    const metrics = { fp32_vs_fp64: { rel_rms: 1e-6 }, fp16_storage_vs_ref: { rel_rms: 1e-3 } };
    expect(floatLimit(metrics, "f32").value).toBeCloseTo(3e-5, 12);
    expect(floatLimit(metrics, "f16").value).toBeCloseTo(4e-3, 12);
    expect(floatLimit(undefined, "f32").value).toBe(1e-5);
    expect(floatLimit(undefined, "f16").value).toBe(5e-4);
  });
});

test("channels move behind the pixels and back", () => {
  const shape = [2, 3, 2, 2];
  const data = Float32Array.from({ length: 24 }, (_, i) => i);
  const last = toChannelsLast(data, shape);
  expect(channelsLastShape(shape)).toEqual([2, 2, 2, 3]);
  expect([...last.subarray(0, 6)]).toEqual([0, 4, 8, 1, 5, 9]);
  expect(toChannelsFirst(last, [2, 2, 2, 3])).toEqual(data);
});

test("an output without stored errors shares the limits of its relatives, one with them does not", async () => {
  const metrics = {
    own: { fp16_storage_vs_ref: { rel_rms: 1e-3 } },
    wide: { fp16_storage_vs_ref: { rel_rms: 1e-2 } },
  };
  const golden = {
    metrics,
    outputs: ["own", "bare"],
    output: async () => ({ dtype: "F32", shape: [1], data: new Float32Array([1]) }),
  } as unknown as GoldenCase;
  const value = { shape: [1], data: new Float32Array([1]) };
  const results = { own: value, bare: value, unstored: value };
  const limits = async (relatives?: Record<string, string[]>) =>
    (await compareResults(golden, "f16", results, relatives)).map(({ limit }) => limit.value);
  expect(await limits()).toEqual([4e-3, 5e-4]);
  expect(await limits({ own: ["wide"], bare: ["own", "wide"] })).toEqual([4e-3, 4e-2]);
});
