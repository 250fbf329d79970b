import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { paddedChannels } from "../../../src/gpu/shape.ts";
import { crop } from "../../../src/kernels/image/crop.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { uniformSource } from "../../support/random.ts";

const setup = useGpu();

const CASES = [
  {
    name: "1×1",
    channels: 4,
    srcWidth: 1,
    srcHeight: 1,
    srcX: 0,
    srcY: 0,
    width: 1,
    height: 1,
    dstWidth: 1,
    dstHeight: 1,
    dstX: 0,
    dstY: 0,
  },
  {
    name: "cut a tile out",
    channels: 4,
    srcWidth: 23,
    srcHeight: 17,
    srcX: 7,
    srcY: 1,
    width: 16,
    height: 16,
    dstWidth: 16,
    dstHeight: 16,
    dstX: 0,
    dstY: 0,
  },
  {
    name: "put a part of a tile back",
    channels: 9,
    srcWidth: 8,
    srcHeight: 5,
    srcX: 2,
    srcY: 1,
    width: 5,
    height: 3,
    dstWidth: 21,
    dstHeight: 9,
    dstX: 16,
    dstY: 6,
  },
  {
    name: "one column",
    channels: 3,
    srcWidth: 3,
    srcHeight: 40,
    srcX: 2,
    srcY: 0,
    width: 1,
    height: 40,
    dstWidth: 2,
    dstHeight: 41,
    dstX: 1,
    dstY: 1,
  },
] as const;

describe.each<DType>(["f32", "f16"])("crop %s", (dtype) => {
  it.each(CASES)("$name", async (problem) => {
    const { channels, srcWidth, srcX, srcY, width, height, dstWidth, dstHeight, dstX, dstY } =
      problem;
    const pixelBytes = paddedChannels(channels) * (dtype === "f32" ? 4 : 2);
    // Any bits, NaNs and denormals among them: a copy must not touch them.
    const next = uniformSource(1);
    const bytes = (pixels: number) =>
      Uint8Array.from({ length: pixels * pixelBytes }, () => Math.floor(next() * 256));
    const src = bytes(srcWidth * problem.srcHeight);
    const before = bytes(dstWidth * dstHeight);
    const { dst } = await runKernel(
      setup.gpu,
      crop.plan({ dtype, ...problem }, setup.caps),
      { src, dst: before },
      { dst: before.byteLength },
    );
    const expected = before.slice();
    for (let y = 0; y < height; y++) {
      const from = ((srcY + y) * srcWidth + srcX) * pixelBytes;
      const to = ((dstY + y) * dstWidth + dstX) * pixelBytes;
      expected.set(src.subarray(from, from + width * pixelBytes), to);
    }
    expect(dst).toEqual(expected);
  });
});

it("refuses rectangles that leave a map", () => {
  const problem = { dtype: "f32", ...CASES[1] } as const;
  expect(() => crop.check({ ...problem, srcX: 8 })).toThrow(
    "crop: source columns must lie inside 0 … 23, got offset 8 and length 16",
  );
  expect(() => crop.check({ ...problem, dstY: 1 })).toThrow(
    "crop: destination rows must lie inside 0 … 16, got offset 1 and length 16",
  );
});
