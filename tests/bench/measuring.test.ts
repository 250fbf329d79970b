/** Samples, quantiles, classes and bounds: everything of the benchmark that needs no device. */
import { describe, expect, it } from "vitest";
import { compareSamples, samplePoints } from "../../src/bench/check.ts";
import { groupByClass } from "../../src/bench/model-suite.ts";
import { rooflineMs, rooflineOf } from "../../src/bench/roofline.ts";
import { elementReader } from "../../src/bench/workloads/test-data.ts";
import { roundToDtype } from "../../src/gpu/dtype.ts";
import { quantile, sampleInTurn } from "../../src/graph/measure/sampling.ts";

describe("samplePoints", () => {
  it.each([
    { rows: 1, channels: 4, groupChannels: 1 },
    { rows: 7, channels: 3, groupChannels: 1 },
    { rows: 4096, channels: 320, groupChannels: 64 },
    { rows: 262_144, channels: 128, groupChannels: 4 },
  ])("spreads over $rows × $channels", (output) => {
    const points = samplePoints({ dtype: "f32", ...output });
    const keys = points.map(({ row, channel }) => `${row} ${channel}`);
    expect(new Set(keys).size).toBe(points.length);
    for (const { row, channel } of points) {
      expect(row >= 0 && row < output.rows && channel >= 0 && channel < output.channels).toBe(true);
    }
    expect(points.some(({ row }) => row === 0)).toBe(true);
    expect(points.at(-1)).toEqual({ row: output.rows - 1, channel: output.channels - 1 });
    if (output.rows >= 16) {
      const sixteenths = new Set(points.map(({ row }) => Math.floor((16 * row) / output.rows)));
      expect(sixteenths.size).toBe(16);
      expect(points.length).toBeGreaterThanOrEqual(64);
    }
  });
});

describe("compareSamples", () => {
  const points = [
    { row: 0, channel: 0 },
    { row: 1, channel: 2 },
  ];
  const limits = { rtol: 0.01, atol: 0.1 };

  it("measures errors in what rounding may explain", () => {
    expect(compareSamples(points, [1, 10.1], [1, 10], limits)).toMatchObject({
      pass: true,
      samples: 2,
    });
    expect(compareSamples(points, [1, 10.1], [1, 10], limits).worstShare).toBeCloseTo(0.5);
  });

  it.each([[10.3], [NaN], [Infinity], [-10]])("names the element where %d stands for 10", (got) => {
    const result = compareSamples(points, [1, got], [1, 10], limits);
    expect(result.pass).toBe(false);
    expect(result.worst).toEqual({ row: 1, channel: 2, got, expected: 10 });
  });

  it("accepts nothing but equality without a limit", () => {
    expect(compareSamples(points, [1, 2], [1, 2], { rtol: 0, atol: 0 }).pass).toBe(true);
    expect(compareSamples(points, [1, 2 + 2 ** -20], [1, 2], { rtol: 0, atol: 0 }).pass).toBe(
      false,
    );
  });
});

describe("test data", () => {
  it("is exact in f16, spread over its range, and different for every seed", () => {
    const read = elementReader({ scale: 4, seed: 1 });
    const other = elementReader({ scale: 4, seed: 2 });
    const values = Array.from({ length: 4096 }, (_, i) => read(i));
    for (const value of values) expect(roundToDtype(value, "f16")).toBe(value);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.15);
    expect(variance).toBeCloseTo(16 / 3, 0);
    const products = values.reduce((sum, v, i) => sum + v * other(i), 0) / values.length;
    expect(Math.abs(products)).toBeLessThan(0.3);
  });
});

describe("quantile", () => {
  it("interpolates between sorted values", () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 2, 3], 0.5)).toBe(2.5);
    expect(quantile([10, 20], 0.1)).toBe(11);
    expect(quantile([5], 0.9)).toBe(5);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe("rooflineMs", () => {
  const roofline = { copyGbps: 100, fmaGflops: 1000 };
  it("is bound by memory or by arithmetic", () => {
    expect(rooflineMs({ flops: 1e9, bytesRead: 1e6, bytesWritten: 1e6 }, roofline)).toBeCloseTo(1);
    expect(rooflineMs({ flops: 1e6, bytesRead: 1e8, bytesWritten: 1e8 }, roofline)).toBeCloseTo(2);
  });
});

it("rooflineOf: the peak of matrix units bounds what is built on them alone", () => {
  const roofline = { copyGbps: 100, fmaGflops: 1000, matrixGflops: 8000 };
  expect(rooflineOf("matrix-split", roofline).fmaGflops).toBe(8000);
  expect(rooflineOf("tiled", roofline).fmaGflops).toBe(1000);
  expect(rooflineOf("matrix", { copyGbps: 100, fmaGflops: 1000 }).fmaGflops).toBe(1000);
});

describe("groupByClass", () => {
  it("sums steps by label, the largest first", () => {
    const step = (shader: string, durationMs: number) => ({
      shader,
      durationMs,
      flops: 2e9,
      bytes: 1e9,
    });
    expect(groupByClass([step("a", 1), step("b", 5), step("a", 3)])).toEqual([
      { label: "b", steps: 1, durationMs: 5, gflops: 400, gbps: 200 },
      { label: "a", steps: 2, durationMs: 4, gflops: 1000, gbps: 500 },
    ]);
  });
});

describe("sampleInTurn", () => {
  it("times runs one by one, whatever a sample repeats, and takes turns", async () => {
    const order: string[] = [];
    const measure = (name: string, ms: number) => async (repeats: number) => {
      order.push(name);
      return ms * repeats;
    };
    const options = { minMs: 10, samples: 4, maxSeriesMs: 1000 };
    const timings = await sampleInTurn([measure("a", 20), measure("b", 2)], options);
    expect(timings).toMatchObject([
      { medianMs: 20, samples: 4, repeats: 1 },
      { medianMs: 2, samples: 4 },
    ]);
    expect(timings[1]?.repeats).toBeGreaterThanOrEqual(5);
    expect(order.slice(-8).join("")).toBe("abababab");
  });
});
