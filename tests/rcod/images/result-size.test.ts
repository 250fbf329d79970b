/** Sizes of results and of what networks get. */
import { describe, expect, it } from "vitest";
import { callSizes } from "../../../src/rcod/images/result-size.ts";
import type { UpscaleOptions } from "../../../src/rcod/settings/options.ts";

type Asked = Pick<UpscaleOptions, "scale" | "size" | "reference">;
type Size = readonly [width: number, height: number];

const sizesOf = ([width, height]: Size, asked: Asked): readonly [result: Size, input: Size] => {
  const { result, input } = callSizes({ width, height }, asked, 4);
  return [
    [result.width, result.height],
    [input.width, input.height],
  ];
};

it.each<[Size, Asked, Size]>([
  [[100, 75], {}, [400, 300]],
  [[100, 75], { scale: 4 }, [400, 300]],
  [[100, 75], { scale: 1 }, [100, 75]],
  [[101, 75], { scale: 1.5 }, [152, 113]], // halves up
  [[3, 1], { scale: 3.999 }, [12, 4]],
  [[1, 1], { scale: 1.4 }, [1, 1]],
  [[100, 75], { size: { width: 300 } }, [300, 225]],
  [[100, 75], { size: { height: 100 } }, [133, 100]],
  [[100, 75], { size: { width: 200, height: 200 } }, [200, 150]],
  [[100, 75], { size: { width: 200, height: 100 } }, [133, 100]],
  [[100, 75], { size: { width: 200, height: 200, fit: "outside" } }, [267, 200]],
  [[100, 75], { size: { width: 200, height: 100, fit: "outside" } }, [200, 150]],
  [[100, 75], { size: { width: 200, height: 77, fit: "fill" } }, [200, 77]],
  [[100, 75], { size: { width: 400, height: 300 } }, [400, 300]],
  [[1000, 1], { size: { width: 1000 } }, [1000, 1]],
])("of %j, %j gives %j of all of it", (picture, asked, result) => {
  expect(sizesOf(picture, asked)).toEqual([result, picture]);
});

it.each<[Size, Asked, Size, Size]>([
  [[100, 75], { size: { width: 50 } }, [50, 38], [50, 38]],
  [[1000, 1], { size: { width: 10 } }, [10, 1], [10, 1]],
  [[100, 75], { size: { width: 1, height: 1 } }, [1, 1], [1, 1]],
  [[100, 75], { size: { width: 400, height: 30, fit: "fill" } }, [400, 30], [100, 30]],
])("a smaller result of %j, %j is %j, of %j", (picture, asked, result, input) => {
  expect(sizesOf(picture, asked)).toEqual([result, input]);
});

it("keeps the sides that are asked for and the shape, up to rounding", () => {
  for (const [width, height] of [
    [7, 1000],
    [999, 998],
    [4000, 3000],
  ] as const) {
    for (let side = 1; side <= 4 * width; side += Math.ceil(width / 50)) {
      const { result } = callSizes({ width, height }, { size: { width: side } }, 4);
      expect(result.width).toBe(side);
      expect(Math.abs(result.height - Math.max(1, (height * side) / width))).toBeLessThanOrEqual(
        0.5,
      );
    }
  }
});

describe("refuses", () => {
  it.each<[Asked, string]>([
    [{ scale: 0.5 }, "scale: must be a number in 1 … 4, got 0.5. Ask for less by size"],
    [{ scale: 4.001 }, "got 4.001"],
    [{ scale: NaN }, "got NaN"],
    [{ scale: Infinity }, "got Infinity"],
    [{ scale: -2 }, "got -2"],
    [{ size: {} }, "size: needs width or height, got neither"],
    [{ scale: 2, size: { width: 10 } }, "scale: not together with size"],
    [{ size: { width: 401 } }, "at most 4 times the picture, 400×300 for 100×75, got 401×301"],
    [{ size: { width: 300, height: 301, fit: "outside" } }, "got 401×301"],
    [{ size: { width: 10, height: 301, fit: "fill" } }, "got 10×301"],
    [{ scale: 2, reference: true }, "reference: reproduces the released program"],
    [{ size: { width: 400 }, reference: true }, "got size"],
  ])("%j", (asked, message) => {
    const call = (): unknown => sizesOf([100, 75], asked);
    expect(call).toThrow(RangeError);
    expect(call).toThrow(message);
  });

  it("nothing of a reference that enlarges as the released program does", () => {
    expect(sizesOf([5, 6], { reference: true, scale: 4 })).toEqual([
      [20, 24],
      [5, 6],
    ]);
  });
});
