import { describe, expect, it } from "vitest";
import type { PillowFilter } from "../../../src/kernels/image/resample-weights.ts";
import { pillowResizePasses, resizeU8 } from "../../../src/kernels/image/resize-u8.ts";
import { resize } from "../../reference/resample.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import {
  byteDifference,
  imageFixture,
  rgbaFromRgb,
  rgbFromRgba,
} from "../../support/image-fixture.ts";
import { uniformSource } from "../../support/random.ts";

const setup = useGpu();

const asBytes = (array: Int32Array<ArrayBuffer>) => new Uint8Array(array.buffer);

async function resizeOnGpu(
  image: Uint8Array<ArrayBuffer>,
  [width, height]: readonly [number, number],
  [outWidth, outHeight]: readonly [number, number],
  filter: PillowFilter,
): Promise<Uint8Array<ArrayBuffer>> {
  let current = image;
  for (const { problem, table } of pillowResizePasses(width, height, outWidth, outHeight, filter)) {
    const isAcross = problem.axis === "horizontal";
    const { dst } = await runKernel(
      setup.gpu,
      resizeU8.plan(problem, setup.caps),
      { src: current, starts: asBytes(table.starts), weights: asBytes(table.weights) },
      { dst: problem.outSize * (isAcross ? problem.height : problem.width) * 4 },
    );
    current = dst as Uint8Array<ArrayBuffer>;
  }
  return current;
}

/** Hard edges and extremes in all four channels: overshoot must clamp. */
function noise(width: number, height: number, seed: number): Uint8Array<ArrayBuffer> {
  const next = uniformSource(seed);
  return Uint8Array.from({ length: width * height * 4 }, () => {
    const value = next();
    return value < 0.3 ? 0 : value > 0.7 ? 255 : Math.floor(next() * 256);
  });
}

const GOLDENS = [
  ["pillow_bicubic_17x9_to_68x36", "bicubic"],
  ["pillow_bicubic_49x60_to_127x155", "bicubic"],
  ["pillow_bicubic_61x75_to_50x40", "bicubic"],
  ["pillow_lanczos_100x76_to_96x72", "lanczos"],
] as const;

describe("resizeU8 equals Pillow bit for bit", () => {
  it.each(GOLDENS)("%s", async (name, filter) => {
    const image = imageFixture(`${name}/inputs/image`);
    const expected = imageFixture(`${name}/outputs/image`);
    const [height, width] = image.shape as [number, number];
    const [outHeight, outWidth] = expected.shape as [number, number];
    const got = await resizeOnGpu(
      rgbaFromRgb(image.data, 200),
      [width, height],
      [outWidth, outHeight],
      filter,
    );
    expect(byteDifference(rgbFromRgba(got), expected.data).count).toBe(0);
    // A constant channel stays constant: the weights sum to one after quantisation.
    expect(got.filter((_, i) => i % 4 === 3).every((alpha) => alpha === 200)).toBe(true);
  });
});

const CASES: readonly (readonly [string, number, number, number, number, PillowFilter])[] = [
  ["1×1 to 1×1", 1, 1, 1, 1, "bicubic"],
  ["1×1 up", 1, 1, 4, 7, "bicubic"],
  ["3×5 up", 3, 5, 12, 20, "bicubic"],
  ["3×5 to one pixel", 3, 5, 1, 1, "lanczos"],
  ["one pixel wide", 1, 37, 4, 148, "bicubic"],
  ["one pixel high", 37, 1, 33, 1, "lanczos"],
  ["width only", 20, 9, 16, 9, "lanczos"],
  ["height only", 20, 9, 20, 8, "lanczos"],
  ["across down, down up", 65, 17, 16, 67, "bicubic"],
  ["shrink by 50", 200, 3, 4, 2, "bicubic"],
];

describe("resizeU8 of RGBA noise equals integer arithmetic", () => {
  it.each(CASES)("%s", async (_, width, height, outWidth, outHeight, filter) => {
    const image = noise(width, height, width * 1000 + height);
    const got = await resizeOnGpu(image, [width, height], [outWidth, outHeight], filter);
    const expected = resize(image, [width, height, 4], [outWidth, outHeight], filter, "integer");
    expect(byteDifference(got, expected)).toEqual({ count: 0, largest: 0 });
  });
});
