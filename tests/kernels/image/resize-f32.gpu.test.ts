import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { paddedChannels } from "../../../src/gpu/shape.ts";
import { bilinearPasses, resizeF32 } from "../../../src/kernels/image/resize-f32.ts";
import { resize } from "../../reference/resample.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { imageFixture } from "../../support/image-fixture.ts";
import { uniformArray, uniformSource } from "../../support/random.ts";
import { contraction } from "../../support/tolerance.ts";

const setup = useGpu();

const asBytes = (array: Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>) =>
  new Uint8Array(array.buffer);

async function bilinear(
  src: Uint8Array<ArrayBuffer>,
  srcType: DType | "rgba8",
  [width, height, channels]: readonly [number, number, number],
  dstDType: DType,
  [outWidth, outHeight]: readonly [number, number],
): Promise<Float64Array> {
  const passes = bilinearPasses(
    { srcType, width, height },
    { dstDType, width: outWidth, height: outHeight },
    channels,
  );
  let current = src;
  for (const { problem, table } of passes) {
    const rows = problem.axis === "horizontal" ? problem.height : problem.outSize;
    const { dst } = await runKernel(
      setup.gpu,
      resizeF32.plan(problem, setup.caps),
      { src: current, starts: asBytes(table.starts), weights: asBytes(table.weights) },
      { dst: rows * outWidth * paddedChannels(channels) * (problem.dstDType === "f32" ? 4 : 2) },
    );
    current = dst as Uint8Array<ArrayBuffer>;
  }
  return unpackRows(current, channels, dstDType);
}

const CASES: readonly (readonly [string, number, number, number, number, number])[] = [
  ["1×1 up", 1, 1, 3, 5, 3],
  ["3×5 to 1×1", 3, 5, 3, 1, 1],
  ["same size", 6, 4, 3, 6, 4],
  ["up", 7, 9, 3, 22, 31],
  ["down", 61, 47, 3, 14, 9],
  ["one pixel wide, one channel", 1, 33, 1, 4, 16],
  ["five channels", 10, 6, 5, 7, 13],
  ["nine channels, mixed", 5, 40, 9, 21, 6],
];
const TYPES: readonly (readonly [DType, DType])[] = [
  ["f32", "f32"],
  ["f16", "f16"],
  ["f16", "f32"],
  ["f32", "f16"],
];

describe.each(TYPES)("resizeF32 %s → %s", (srcType, dstDType) => {
  it.each(CASES)("%s", async (_, width, height, channels, outWidth, outHeight) => {
    // A channel offset of 1000 shows weights that do not sum to one.
    const src = uniformArray(width * height * channels, width + height, 3)
      .map((v, i) => (i % channels === channels - 1 ? v + 1000 : v))
      .map((v) => roundToDtype(v, srcType));
    const got = await bilinear(
      packRows(src, channels, srcType),
      srcType,
      [width, height, channels],
      dstDType,
      [outWidth, outHeight],
    );
    const expected = resize(
      src,
      [width, height, channels],
      [outWidth, outHeight],
      "triangle",
      "double",
    );
    const tolerance = contraction(dstDType, 12, 3);
    expectClose(got, expected, [outHeight, outWidth, channels], { ...tolerance, nmse: 1e-6 });
  });
});

it("reads packed pixels as 2·p/255 − 1", async () => {
  const [width, height] = [13, 6];
  const next = uniformSource(3);
  const image = Uint8Array.from({ length: width * height * 4 }, () => Math.floor(next() * 256));
  const got = await bilinear(image, "rgba8", [width, height, 3], "f32", [5, 9]);
  const values = Array.from({ length: width * height * 3 }, (_, i) => {
    const level = image[Math.floor(i / 3) * 4 + (i % 3)] as number;
    return (2 * level) / 255 - 1;
  });
  const expected = resize(values, [width, height, 3], [5, 9], "triangle", "double");
  expectClose(got, expected, [9, 5, 3], contraction("f32", 12, 1));
});

it("equals PyTorch's antialiased bilinear resize to 224 × 224", async () => {
  const { shape, data } = imageFixture("clip_resize_64x64/inputs/x");
  const [, , height, width] = shape as [number, number, number, number];
  const pixels = Float64Array.from({ length: data.length }, (_, i) => {
    return data[(i % 3) * height * width + Math.floor(i / 3)] as number;
  });
  const got = await bilinear(
    packRows(pixels, 3, "f32"),
    "f32",
    [width, height, 3],
    "f32",
    [224, 224],
  );
  const rows = [0, 32, 64, 96, 128, 160, 192, 223];
  const expected = imageFixture("clip_resize_64x64/outputs/rows").data;
  const chosen = [0, 1, 2].flatMap((c) =>
    rows.flatMap((row) =>
      Array.from({ length: 224 }, (_, x) => got[(row * 224 + x) * 3 + c] as number),
    ),
  );
  // PyTorch computes the weights themselves in f32: measured 5e-6.
  expectClose(chosen, expected, [3, rows.length, 224], { rtol: 0, atol: 1e-5, nmse: 1e-10 });
});

it("refuses a packed image with other than three channels", () => {
  const [{ problem }] = bilinearPasses(
    { srcType: "rgba8", width: 4, height: 4 },
    { dstDType: "f32", width: 2, height: 2 },
    3,
  );
  expect(() => resizeF32.check({ ...problem, channels: 4 })).toThrow(
    "resizeF32: channels must be 3 for an rgba8 source, got 4",
  );
  expect(() => resizeF32.check({ ...problem, taps: 5 })).toThrow(
    "resizeF32: taps must be an integer in 1 … 4, got 5",
  );
});
