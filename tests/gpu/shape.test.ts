import { describe, expect, it } from "vitest";
import {
  ShapeError,
  elementCount,
  isShape,
  paddedChannels,
  quadCount,
} from "../../src/gpu/shape.ts";

describe("shapes", () => {
  it.each([
    [1, 1, 4],
    [3, 1, 4],
    [4, 1, 4],
    [5, 2, 8],
    [320, 80, 320],
    [321, 81, 324],
  ])("%i channels are %i quads, %i with padding", (channels, quads, padded) => {
    expect(quadCount(channels)).toBe(quads);
    expect(paddedChannels(channels)).toBe(padded);
  });

  it.each([
    [[1, 2, 3], true],
    [[], true],
    [[0, 2], false],
    [[-1], false],
    [[1.5], false],
    [[NaN], false],
    [[Infinity], false],
    [[2 ** 53], false],
  ])("%j is a shape: %s", (shape, valid) => {
    expect(isShape(shape)).toBe(valid);
  });

  it.each([
    [[2, 3, 4], 24],
    [[7], 7],
    [[], 1],
  ])("%j has %i elements", (shape, count) => {
    expect(elementCount(shape)).toBe(count);
  });

  it("has an error class with a name of its own", () => {
    const error = new ShapeError("conv2d: no");
    expect(error).toBeInstanceOf(Error);
    expect(`${error.name}: ${error.message}`).toBe("ShapeError: conv2d: no");
  });
});
