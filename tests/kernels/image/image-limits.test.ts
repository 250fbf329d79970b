/** Guards and size limits of the image kernels, without a GPU. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { adainColorFix, waveletColorFix } from "../../../src/kernels/image/color-fix.ts";
import { mapGrid } from "../../../src/kernels/image/image-layout.ts";
import { imageToTensor } from "../../../src/kernels/image/image-to-tensor.ts";
import { pillowResizePasses, resizeU8 } from "../../../src/kernels/image/resize-u8.ts";
import { tensorToImage } from "../../../src/kernels/image/tensor-to-image.ts";

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
        "got 144000000 bytes. Use a smaller image",
    );
  });
});

describe("guards", () => {
  it("name the limit and what to do", () => {
    const wavelet = {
      width: 5000,
      height: 5000,
      rounding: "nearest",
    } as const;
    expect(() => waveletColorFix.plan(wavelet, BASELINE_CAPS)).toThrow(
      'Use colorFix "adain" or a smaller image',
    );
    expect(() => waveletColorFix.check({ ...wavelet, height: 0 })).toThrow(
      "waveletColorFix: height must be an integer in 1 … 1000000, got 0",
    );
    expect(() =>
      adainColorFix.plan({ pixels: 6000 * 6000, rounding: "nearest" }, BASELINE_CAPS),
    ).toThrow("Use a smaller image");
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
