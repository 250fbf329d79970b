/** Shape rules, selection and cost of the copying kernels; no GPU. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import { concatChannels } from "../../../src/kernels/pointwise/concat-channels.ts";
import { sliceChannels } from "../../../src/kernels/pointwise/slice-channels.ts";
import { tokenEmbeddings } from "../../../src/kernels/pointwise/token-embeddings.ts";
import { upsampleNearest } from "../../../src/kernels/pointwise/upsample-nearest.ts";

describe("concatChannels", () => {
  const problem = { dtype: "f16", rows: 10, channels: [6, 3] } as const;
  it("copies whole quads where the seam allows", () => {
    expect(concatChannels.select({ ...problem, channels: [320, 4] }, BASELINE_CAPS)).toBe("quads");
    expect(concatChannels.select(problem, BASELINE_CAPS)).toBe("shifted");
    expect(() => concatChannels.plan(problem, BASELINE_CAPS, "quads")).toThrow(
      "concat-channels: variant quads needs channels[0] divisible by 4, got 6",
    );
  });
  it("refuses empty tensors", () => {
    expect(() => concatChannels.check({ ...problem, channels: [4, 0] })).toThrow(ShapeError);
    expect(() => concatChannels.check({ ...problem, rows: 0 })).toThrow(
      "concatChannels: rows and channels must be integers ≥ 1, got 0 and 6 + 3",
    );
  });
  it("counts padded bytes", () => {
    expect(concatChannels.cost(problem)).toEqual({
      flops: 0,
      bytesRead: 10 * (8 + 4) * 2,
      bytesWritten: 10 * 12 * 2,
    });
  });
  it("folds grids beyond 65,535 workgroups", () => {
    const large = { dtype: "f16", rows: 2 ** 20, channels: [4, 16] } as const;
    const [x = 0, y = 0] =
      concatChannels.plan(large, BASELINE_CAPS).dispatches[0]?.workgroups ?? [];
    expect(x).toBeLessThanOrEqual(65_535);
    expect(x * y * 64).toBeGreaterThanOrEqual(2 ** 20 * 5);
  });
});

describe("sliceChannels", () => {
  const problem = {
    dtype: "f32",
    rows: 2,
    channels: 8,
    offset: 4,
    count: 4,
    scale: 1,
    clamp: null,
  } as const;
  it("accepts the last channels", () => {
    expect(() => sliceChannels.check(problem)).not.toThrow();
  });
  it.each([
    [{ offset: 5 }, "window must lie within the 8 channels, got offset 5, count 4"],
    [{ offset: -1 }, "window must lie within the 8 channels, got offset -1, count 4"],
    [{ count: 0 }, "rows, channels and count must be integers ≥ 1, got 2, 8 and 0"],
    [{ clamp: [2, 1] as const }, "clamp must be [low, high], got [2, 1]"],
  ])("refuses %o", (change, message) => {
    expect(() => sliceChannels.plan({ ...problem, ...change }, BASELINE_CAPS)).toThrow(message);
  });
  it("counts the window", () => {
    expect(sliceChannels.cost({ ...problem, clamp: [0, 1] })).toEqual({
      flops: 16,
      bytesRead: 32,
      bytesWritten: 32,
    });
  });
});

describe("upsampleNearest", () => {
  const problem = {
    dtype: "f32",
    batch: 1,
    inHeight: 2,
    inWidth: 3,
    outHeight: 4,
    outWidth: 6,
    channels: 5,
  } as const;
  it("refuses sizes out of range", () => {
    expect(() => upsampleNearest.check({ ...problem, outHeight: 0 })).toThrow(
      "upsampleNearest: sizes must be integers from 1 to 65535, got [1, 2, 3, 5] to 0×6",
    );
    expect(() => upsampleNearest.check({ ...problem, outWidth: 65_536 })).toThrow(ShapeError);
    expect(() => upsampleNearest.check({ ...problem, outWidth: 65_535, channels: 320 })).toThrow(
      "a row must have at most 4194240 quads",
    );
  });
  it("counts each pixel once", () => {
    expect(upsampleNearest.cost(problem)).toEqual({
      flops: 0,
      bytesRead: 6 * 8 * 4,
      bytesWritten: 24 * 8 * 4,
    });
  });
});

describe("tokenEmbeddings", () => {
  const problem = { dtype: "f16", batch: 2, patches: 3, channels: 5 } as const;
  it("refuses empty tensors and oversized grids", () => {
    expect(() => tokenEmbeddings.check({ ...problem, patches: 0 })).toThrow(
      "tokenEmbeddings: batch, patches and channels must be integers ≥ 1, got [2, 0, 5]",
    );
    expect(() => tokenEmbeddings.check({ ...problem, batch: 65_536 })).toThrow(ShapeError);
  });
  it("counts the tables as f32", () => {
    expect(tokenEmbeddings.cost(problem)).toEqual({
      flops: 2 * 4 * 5,
      bytesRead: 2 * 3 * 8 * 2 + 5 * 8 * 4,
      bytesWritten: 2 * 4 * 8 * 2,
    });
  });
});
