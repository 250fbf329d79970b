/** Guards, size limits and stripes of the image kernels, without a GPU. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import {
  adainColorFix,
  waveletColorFix,
  waveletStripes,
} from "../../../src/kernels/image/color-fix.ts";
import { mapGrid } from "../../../src/kernels/image/image-layout.ts";
import { imageToTensor } from "../../../src/kernels/image/image-to-tensor.ts";
import {
  pillowResizePasses,
  resizeStripes,
  resizeU8,
} from "../../../src/kernels/image/resize-u8.ts";
import { tensorToImage } from "../../../src/kernels/image/tensor-to-image.ts";

const BINDING = BASELINE_CAPS.limits.maxStorageBufferBindingSize;

describe("pillowResizePasses", () => {
  it("skips a side that keeps its length, horizontal first", () => {
    const axes = (...sizes: [number, number, number, number]) =>
      pillowResizePasses(...sizes, "bicubic").map(({ problem }) => problem.axis);
    expect(axes(8, 9, 8, 9)).toEqual([]);
    expect(axes(8, 9, 16, 9)).toEqual(["horizontal"]);
    expect(axes(8, 9, 8, 3)).toEqual(["vertical"]);
    expect(axes(8, 9, 16, 3)).toEqual(["horizontal", "vertical"]);
  });

  it("names the limit of a device for an image that is too large", () => {
    const [vertical] = pillowResizePasses(6000, 1500, 6000, 6000, "bicubic").map(
      ({ problem }) =>
        () =>
          resizeU8.plan(problem, BASELINE_CAPS),
    );
    expect(vertical).toThrow(
      'resizeU8: operand "dst" must fit one binding of 134217728 bytes (maxStorageBufferBindingSize), ' +
        "got 144000000 bytes. Run it in stripes of rows, see resizeStripes",
    );
  });
});

describe("resizeStripes", () => {
  it.each([
    [20_000, 3_000, 80_000, 12_000, BINDING],
    [6_000, 6_000, 5_000, 5_000, 50_000_000],
    [7, 100, 7, 100, 7 * 4 * 13],
    [100, 5_000, 3, 50, 100 * 4 * 900],
    [10, 10, 40, 40, BINDING],
  ])("%i×%i → %i×%i within %i bytes", (inWidth, inHeight, outWidth, outHeight, maxBytes) => {
    const stripes = resizeStripes(inWidth, inHeight, outWidth, outHeight, "lanczos", maxBytes);
    let next = 0;
    for (const { outFrom, outTo, inFrom, inTo } of stripes) {
      expect(outFrom).toBe(next);
      expect(outTo).toBeGreaterThan(outFrom);
      expect((outTo - outFrom) * outWidth * 4).toBeLessThanOrEqual(maxBytes);
      expect((inTo - inFrom) * Math.max(inWidth, outWidth) * 4).toBeLessThanOrEqual(maxBytes);
      expect(inFrom).toBeGreaterThanOrEqual(0);
      expect(inTo).toBeLessThanOrEqual(inHeight);
      next = outTo;
    }
    expect(next).toBe(outHeight);
  });

  it("refuses a row that does not fit", () => {
    expect(() => resizeStripes(100, 10, 400, 40, "bicubic", 1000)).toThrow(
      "resizeU8: one output row must fit 1000 bytes with the rows it reads, got 100×10 → 400×40 (4 rows)",
    );
  });
});

describe("waveletStripes", () => {
  it.each([
    [2048, 2048, BINDING, 1],
    [4096, 4096, BINDING, 1],
    [4097, 4096, BINDING, 2],
    [12_000, 9_000, BINDING, 7],
    [1, 1_000_000, BINDING, 1],
  ])("height %i, width %i, %i bytes: %i stripes", (height, width, maxBytes, count) => {
    const stripes = waveletStripes(height, width, maxBytes);
    expect(stripes.length).toBe(count);
    let next = 0;
    for (const { inFrom, inTo, outFrom, outTo } of stripes) {
      expect(outFrom).toBe(next);
      expect((inTo - inFrom) * width * 8).toBeLessThanOrEqual(maxBytes);
      expect(inFrom === 0 || outFrom - inFrom >= 31).toBe(true);
      expect(inTo === height || inTo - outTo >= 31).toBe(true);
      next = outTo;
    }
    expect(next).toBe(height);
  });

  it("refuses a width whose halo does not fit", () => {
    expect(() => waveletStripes(1000, 100, 62 * 800)).toThrow(
      "waveletColorFix: a stripe of width 100 must fit 50400 bytes, got maxBytes 49600",
    );
  });
});

describe("guards", () => {
  it("name the limit and what to do", () => {
    const wavelet = {
      width: 5000,
      height: 5000,
      firstRow: 0,
      rows: 5000,
      rounding: "nearest",
    } as const;
    expect(() => waveletColorFix.plan(wavelet, BASELINE_CAPS)).toThrow("see waveletStripes");
    expect(() => waveletColorFix.check({ ...wavelet, firstRow: 1 })).toThrow(
      "waveletColorFix: result rows must lie inside 0 … 5000, got offset 1 and length 5000",
    );
    expect(() =>
      adainColorFix.plan({ pixels: 6000 * 6000, rounding: "nearest" }, BASELINE_CAPS),
    ).toThrow("by stripes");
    expect(() => adainColorFix.check({ pixels: 0, rounding: "nearest" })).toThrow("got 0");
  });

  it("refuse rectangles and sides that make no sense", () => {
    const rectangle = {
      dtype: "f32",
      imageWidth: 4,
      imageHeight: 4,
      x0: 0,
      y0: 0,
      width: 4,
      height: 4,
    } as const;
    expect(() => imageToTensor.check({ ...rectangle, width: 0, scale: 2, offset: -1 })).toThrow(
      "imageToTensor: width must be an integer in 1 … 1000000, got 0",
    );
    expect(() => imageToTensor.check({ ...rectangle, x0: NaN, scale: 2, offset: -1 })).toThrow(
      "got NaN",
    );
    const target = { srcWidth: 8, srcHeight: 8, srcX: 0, srcY: 0, width: 8, height: 8 };
    expect(() =>
      tensorToImage.check({
        dtype: "f32",
        ...target,
        dstWidth: 8,
        dstHeight: 12,
        dstX: 0,
        dstY: 5,
        rounding: "nearest",
      }),
    ).toThrow("tensorToImage: image rows must lie inside 0 … 12, got offset 5 and length 8");
  });

  it("grids stay within 65,535 groups a side", () => {
    expect(mapGrid(1, 1)).toEqual([1, 1, 1]);
    const [x, y, z] = mapGrid(1_000_000, 1_000_000);
    expect(Math.max(x, y, z)).toBeLessThanOrEqual(65_535);
    expect(x * 16).toBeGreaterThanOrEqual(1_000_000);
    expect(y * z * 4).toBeGreaterThanOrEqual(1_000_000);
    expect(() => mapGrid(1_048_561, 1)).toThrow("at most 1048560 positions");
  });
});
