import { describe, expect, it } from "vitest";
import { outputGeometry, paddedGeometry } from "../../../src/rcod/images/geometry.ts";
import type { GeometryOptions } from "../../../src/rcod/images/geometry.ts";

const reference: GeometryOptions = { upscale: 4, minSide: 128, multiple: 8, mode: "reference" };
const exact: GeometryOptions = { ...reference, mode: "exact" };

describe("reference geometry", () => {
  it("enlarges an even source once and keeps its size", () => {
    expect(outputGeometry(128, 200, reference)).toEqual({
      padded: null,
      prepare: [{ kind: "resize", filter: "bicubic", width: 512, height: 800 }],
      sourceWidth: 512,
      sourceHeight: 800,
      picture: { x: 0, y: 0, width: 512, height: 800 },
      workWidth: 512,
      workHeight: 800,
      finish: [],
      outWidth: 512,
      outHeight: 800,
    });
  });

  it.each([
    [128, 201],
    [201, 128],
  ])("does not resize the result of %i×%i, whose short side is just large enough", (w, h) => {
    const geometry = outputGeometry(w, h, reference);
    expect(geometry.finish).toEqual([]);
    const sides = [geometry.outWidth, geometry.outHeight];
    expect([Math.min(...sides), Math.max(...sides)]).toEqual([512, 800]);
  });

  it("loses four pixels of an odd side", () => {
    const geometry = outputGeometry(129, 130, reference);
    expect(geometry.prepare).toEqual([
      { kind: "resize", filter: "bicubic", width: 516, height: 520 },
      { kind: "resize", filter: "lanczos", width: 512, height: 520 },
    ]);
    expect([geometry.outWidth, geometry.outHeight]).toEqual([512, 520]);
    expect(geometry.finish).toEqual([]);
  });

  it("enlarges a small source first and resizes the result", () => {
    const geometry = outputGeometry(60, 80, reference);
    expect(geometry.prepare).toEqual([
      { kind: "resize", filter: "bicubic", width: 128, height: 170 },
      { kind: "resize", filter: "bicubic", width: 512, height: 680 },
    ]);
    expect(geometry.finish).toEqual([
      { kind: "resize", filter: "bicubic", width: 240, height: 320 },
    ]);
    expect([geometry.outWidth, geometry.outHeight]).toEqual([240, 320]);
  });

  it.each([
    [127, 200, 508, 800],
    [200, 127, 800, 508],
  ])("%i×%i: resizes the result back where one side alone is another", (w, h, width, height) => {
    const finish = [{ kind: "resize", filter: "bicubic", width, height }];
    expect(outputGeometry(w, h, reference).finish).toEqual(finish);
  });

  it.each([
    [1, 3],
    [3, 1],
  ])("refuses %i×%i, of which one side would be nothing", (width, height) => {
    expect(() => outputGeometry(width, height, { ...reference, minSide: 1 })).toThrow(
      `at least 8 pixels a side, got ${4 * width}×${4 * height}`,
    );
  });

  it("truncates to 127 for exactly the known short sides", () => {
    const truncated: number[] = [];
    for (let side = 1; side < 128; side++) {
      if (outputGeometry(side, side, reference).prepare[0]?.width === 127) truncated.push(side);
    }
    expect(truncated).toEqual([49, 98, 103, 107]);
    expect(outputGeometry(49, 60, reference).prepare).toEqual([
      { kind: "resize", filter: "bicubic", width: 127, height: 156 },
      { kind: "resize", filter: "bicubic", width: 508, height: 624 },
      { kind: "resize", filter: "lanczos", width: 504, height: 624 },
    ]);
  });
});

describe("exact geometry", () => {
  it("pads an odd side and crops the padding off", () => {
    const picture = { x: 0, y: 0, width: 516, height: 524 };
    expect(outputGeometry(129, 131, exact)).toEqual({
      padded: null,
      prepare: [{ kind: "resize", filter: "bicubic", width: 516, height: 524 }],
      sourceWidth: 516,
      sourceHeight: 524,
      picture,
      workWidth: 520,
      workHeight: 528,
      finish: [{ kind: "crop", ...picture }],
      outWidth: 516,
      outHeight: 524,
    });
  });

  it.each([
    [128, 200, null],
    [200, 128, null],
    [127, 200, { x: 0, y: 0, width: 128, height: 200 }],
    [200, 127, { x: 0, y: 0, width: 200, height: 128 }],
    [125, 200, { x: 1, y: 0, width: 128, height: 200 }],
  ])(
    "%i×%i: padded only below the least side, the odd pixel at the end",
    (width, height, padded) => {
      const geometry = outputGeometry(width, height, exact);
      expect(geometry.padded).toEqual(padded);
      expect(geometry.finish.length).toBe(padded ? 1 : 0); // nothing to cut off
    },
  );

  it("is exactly ×4 for every size, on multiples of 8, with a short side of at least 512", () => {
    for (let width = 1; width <= 140; width++) {
      for (const height of [1, 2, 49, 98, 127, 128, 129, 191]) {
        const geometry = outputGeometry(width, height, exact);
        expect([geometry.outWidth, geometry.outHeight]).toEqual([4 * width, 4 * height]);
        expect(geometry.workWidth % 8).toBe(0);
        expect(geometry.workHeight % 8).toBe(0);
        expect(geometry.workWidth - geometry.sourceWidth).toBeLessThan(8);
        expect(Math.min(geometry.sourceWidth, geometry.sourceHeight)).toBeGreaterThanOrEqual(512);
        let size = [geometry.workWidth, geometry.workHeight];
        for (const step of geometry.finish)
          if (step.kind !== "reduce") size = [step.width, step.height];
        expect(size).toEqual([4 * width, 4 * height]);
      }
    }
  });

  it("puts a narrow source into the middle of the least size, and cuts it out again", () => {
    expect(outputGeometry(1, 600, exact)).toEqual({
      padded: { x: 63, y: 0, width: 128, height: 600 },
      prepare: [{ kind: "resize", filter: "bicubic", width: 512, height: 2400 }],
      sourceWidth: 512,
      sourceHeight: 2400,
      picture: { x: 252, y: 0, width: 4, height: 2400 },
      workWidth: 512,
      workHeight: 2400,
      finish: [{ kind: "crop", x: 252, y: 0, width: 4, height: 2400 }],
      outWidth: 4,
      outHeight: 2400,
    });
    expect(outputGeometry(100, 31, exact).padded).toEqual({
      x: 14,
      y: 48,
      width: 128,
      height: 128,
    });
  });

  it("works in proportion to the pixels, whatever the shape", () => {
    for (const [width, height] of [
      [1, 2000],
      [2000, 1],
      [7, 8000],
      [127, 128],
    ] as const) {
      const { workWidth, workHeight } = outputGeometry(width, height, exact);
      const least = 16 * Math.max(width, 128) * Math.max(height, 128);
      expect(workWidth * workHeight).toBeLessThan(1.01 * least);
    }
  });

  it("works for a tiny model without a minimum side", () => {
    const geometry = outputGeometry(1, 1, { ...exact, minSide: 1 });
    expect(geometry.prepare).toEqual([{ kind: "resize", filter: "bicubic", width: 4, height: 4 }]);
    expect([geometry.workWidth, geometry.workHeight]).toEqual([8, 8]);
    expect(geometry.finish).toEqual([{ kind: "crop", x: 0, y: 0, width: 4, height: 4 }]);
    expect(() => outputGeometry(1, 1, { ...reference, minSide: 1 })).toThrow(
      "geometry: the enlarged image must have at least 8 pixels a side, got 4×4",
    );
  });
});

describe("refused sizes", () => {
  it.each([
    [0, 5],
    [5, -1],
    [NaN, 5],
    [5, Infinity],
    [2.5, 5],
    [100_001, 5],
  ])("%d × %d", (width, height) => {
    expect(() => outputGeometry(width, height, exact)).toThrow(
      `geometry: source side must be an integer in 1 … 100000, got ${width}×${height}`,
    );
  });

  it("takes the largest side and the most pixels, and refuses one more", () => {
    const plain = { ...exact, upscale: 1, minSide: 1, multiple: 1 };
    expect(outputGeometry(100_000, 1, plain).workWidth).toBe(100_000);
    expect(outputGeometry(32_768, 16_384, plain).workHeight).toBe(16_384); // 2²⁹ pixels
    expect(() => outputGeometry(32_768, 16_385, plain)).toThrow("536870912 pixels");
    expect(outputGeometry(25_000, 1, { ...plain, upscale: 4 }).workWidth).toBe(100_000);
    expect(() => outputGeometry(25_001, 1, { ...plain, upscale: 4 })).toThrow("got 100004×4");
    // What counts is the size after the source is padded.
    const wide = { ...exact, minSide: 8192 };
    expect(() => outputGeometry(1, 1, wide)).toThrow("got 32768×32768 (source 1×1)");
  });

  it("refuses results beyond any memory, and extreme aspect ratios", () => {
    expect(() => outputGeometry(50_000, 10, exact)).toThrow("sides of at most 100000");
    expect(() => outputGeometry(20_000, 20_000, exact)).toThrow(
      "got 80000×80000 (source 20000×20000). Cut the source into parts",
    );
    expect(() => outputGeometry(1, 10_000, reference)).toThrow("got 512×5120000 (source 1×10000)");
    expect(outputGeometry(1, 10_000, exact).workHeight).toBe(40_000);
    expect(() => outputGeometry(10, 10, { ...exact, upscale: 0 })).toThrow("upscale must be");
  });
});

describe("padded geometry", () => {
  it("pads the enlarged source to the multiple and crops to exactly ×4, whatever the size", () => {
    const options = { upscale: 4, multiple: 64 };
    const picture = { x: 0, y: 0, width: 64, height: 96 };
    expect(paddedGeometry(16, 24, options)).toEqual({
      padded: null,
      prepare: [],
      sourceWidth: 64,
      sourceHeight: 96,
      picture,
      workWidth: 64,
      workHeight: 128,
      finish: [{ kind: "crop", ...picture }],
      outWidth: 64,
      outHeight: 96,
    });
    expect(paddedGeometry(1, 17, options)).toMatchObject({ workWidth: 64, workHeight: 128 });
    expect(() => paddedGeometry(0, 4, options)).toThrow("geometry: source side");
  });
});
