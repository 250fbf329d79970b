import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { activationByteLength } from "../../../src/graph/lowering/lower.ts";
import { channelMean } from "../../../src/kernels/norm/channel-mean.ts";
import { channelStats, channelStatsByteLength } from "../../../src/kernels/norm/channel-stats.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

/** [batch, height, width, channels, partials, offset]. */
const CASES: readonly (readonly [number, number, number, number, number, number])[] = [
  [1, 1, 1, 1, 1, 0],
  [1, 1, 5, 3, 1, 0],
  [2, 3, 3, 6, 9, 0], // a strip a pixel
  [3, 5, 7, 33, 4, 0], // strips of two lengths
  [1, 32, 32, 260, 8, 0.5],
  [1, 16, 16, 8, 3, 1000],
];

describe.each<DType>(["f32", "f16"])("channelMean %s", (dtype) => {
  it.each(CASES)(
    "[%i, %i, %i, %i] in %i strips at %d",
    async (batch, height, width, channels, partials, offset) => {
      const pixels = height * width;
      const x = uniformArray(batch * pixels * channels, 3, 1, offset).map((value) =>
        roundToDtype(value, dtype),
      );
      const region = { y0: 0, y1: height, x0: 0, x1: width };
      const statsProblem = { dtype, batch, height, width, channels, region, partials };
      const { stats } = await runKernel(
        setup.gpu,
        channelStats.plan(statsProblem, setup.caps),
        { x: packRows(x, channels, dtype) },
        { stats: channelStatsByteLength(batch, partials, channels) },
      );
      const { y } = await runKernel(
        setup.gpu,
        channelMean.plan(
          { dtype, batch, channels, partials, pixels, tiles: null, first: 0 },
          setup.caps,
        ),
        { stats: stats as Uint8Array<ArrayBuffer> },
        { y: activationByteLength([batch, channels], dtype) },
      );
      const expected = new Float64Array(batch * channels);
      x.forEach((value, i) => {
        const image = Math.floor(i / (pixels * channels));
        expected[image * channels + (i % channels)]! += value / pixels;
      });
      const got = unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype);
      expectClose(got, expected, [batch, channels], pointwise(dtype));
    },
  );
});

it("counts the tiles of a map, phase by phase", async () => {
  const counts = [128, 16, 16, 2, 128, 16, 16, 2]; // 9 × 18 pixels in tiles of 8 × 16, twice
  const tiles = { map: [9, 18], tile: [8, 16] } as const;
  const means = uniformArray(8 * 4, 5, 1, 3).map(Math.fround);
  const others = uniformArray(8, 6); // of another map, before these
  const stats = Float64Array.from([
    ...others,
    ...counts.flatMap((_, split) => [...means.subarray(4 * split, 4 * split + 4), 0, 0, 0, 0]),
  ]);
  const size = { batch: 1, channels: 4, partials: 8, pixels: 324 } as const;
  const problem = { dtype: "f32", ...size, tiles, first: 8 } as const;
  const { y } = await runKernel(
    setup.gpu,
    channelMean.plan(problem, setup.caps),
    { stats: packRows(stats, 8, "f32") },
    { y: 16 },
  );
  const expected = Float64Array.from({ length: 4 }, (_, c) =>
    counts.reduce((sum, count, split) => sum + (count * (means[4 * split + c] as number)) / 324, 0),
  );
  const got = unpackRows(y as Uint8Array<ArrayBuffer>, 4, "f32");
  expectClose(got, expected, [1, 4], pointwise("f32"));
});

it("refuses more strips than pixels", () => {
  const problem = {
    dtype: "f32",
    batch: 1,
    channels: 4,
    partials: 3,
    pixels: 2,
    tiles: null,
    first: 0,
  } as const;
  expect(() => channelMean.check(problem)).toThrow(
    "channelMean: needs sizes ≥ 1 and partials ≤ pixels, got batch 1, channels 4, partials 3, pixels 2",
  );
});
