import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { upsampleNearest } from "../../../src/kernels/pointwise/upsample-nearest.ts";
import { upsampleNearest as reference } from "../../reference/upsample-nearest.ts";
import { packRows, runKernel, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();

/** [batch, inHeight, inWidth, channels], outHeight, outWidth */
type Case = readonly [readonly [number, number, number, number], number, number];

const CASES: readonly Case[] = [
  [[1, 1, 1, 1], 1, 1],
  [[1, 1, 1, 3], 5, 7],
  [[2, 3, 5, 6], 6, 10],
  [[1, 3, 5, 4], 7, 8],
  [[1, 2, 2, 4], 82, 94], // where an f32 scale picks another row
  [[1, 7, 9, 4], 3, 4],
  [[1, 4, 4, 4], 4, 4],
  [[1, 8, 8, 1280], 16, 16], // UNet
  [[1, 9, 13, 1280], 17, 25], // UNet at a size that is no multiple of 64
];

describe.each<DType>(["f32", "f16"])("upsampleNearest %s", (dtype) => {
  it.each(CASES)("[%s] to %i×%i", async (...[shape, outHeight, outWidth]) => {
    const [batch, inHeight, inWidth, channels] = shape;
    const x = uniformArray(batch * inHeight * inWidth * channels, 1, 100).map((value) =>
      roundToDtype(value, dtype),
    );
    const expected = packRows(reference(x, shape, outHeight, outWidth), channels, dtype);
    const { y } = await runKernel(
      setup.gpu,
      upsampleNearest.plan(
        { dtype, batch, inHeight, inWidth, outHeight, outWidth, channels },
        setup.caps,
      ),
      { x: packRows(x, channels, dtype) },
      { y: expected.byteLength },
    );
    expect(y).toEqual(expected);
  });
});
