import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import type { ChannelStatsProblem, PixelRegion } from "../../../src/kernels/norm/channel-stats.ts";
import { channelStats, channelStatsByteLength } from "../../../src/kernels/norm/channel-stats.ts";
import { channelStats as channelStatsReference } from "../../reference/channel-stats.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

interface Case {
  readonly shape: readonly [batch: number, height: number, width: number, channels: number];
  readonly partials: number;
  readonly region?: PixelRegion;
  readonly scale?: number;
  readonly offset?: number;
  readonly only?: DType;
}

const CASES: readonly Case[] = [
  { shape: [1, 1, 1, 1], partials: 1 },
  { shape: [1, 1, 1, 4], partials: 1 },
  { shape: [1, 2, 2, 4], partials: 1 },
  { shape: [1, 1, 5, 4], partials: 1 },
  { shape: [1, 3, 3, 6], partials: 2 },
  { shape: [1, 3, 3, 6], partials: 9 },
  { shape: [2, 5, 7, 45], partials: 4 },
  { shape: [1, 4, 4, 256], partials: 1 },
  { shape: [1, 4, 4, 260], partials: 1 },
  { shape: [1, 32, 32, 320], partials: 32 },
  { shape: [2, 9, 11, 33], partials: 5, region: { y0: 2, y1: 7, x0: 3, x1: 10 } },
  { shape: [1, 9, 11, 8], partials: 3, region: { y0: 8, y1: 9, x0: 0, x1: 11 } },
  { shape: [1, 9, 11, 8], partials: 4, region: { y0: 0, y1: 9, x0: 10, x1: 11 } },
  { shape: [1, 8, 8, 8], partials: 3, scale: 0, offset: 0.75 },
  { shape: [1, 64, 64, 8], partials: 1, scale: 1, offset: 1000, only: "f32" },
  { shape: [1, 64, 64, 8], partials: 7, scale: 1, offset: -1000, only: "f32" },
  { shape: [1, 64, 64, 8], partials: 1, scale: 0.5, offset: 100 },
  { shape: [1, 16, 16, 8], partials: 2, scale: 65504 },
  { shape: [1, 16, 16, 8], partials: 2, scale: 4e-5, offset: 1.5e-4 },
];

const DTYPES: readonly DType[] = ["f32", "f16"];

const TABLE = CASES.flatMap(({ shape, partials, region, scale = 2, offset = 0, only }) => {
  const [batch, height, width, channels] = shape;
  const counted = region ?? { y0: 0, y1: height, x0: 0, x1: width };
  return DTYPES.filter((dtype) => only === undefined || dtype === only).map((dtype) => {
    const problem: ChannelStatsProblem = {
      dtype,
      batch,
      height,
      width,
      channels,
      region: counted,
      partials,
    };
    const values = `${offset} ± ${scale}`;
    const part = region
      ? ` rows ${region.y0}..${region.y1} columns ${region.x0}..${region.x1}`
      : "";
    const name = `channelStats ${dtype} [${shape.join(",")}]${part} partials=${partials}, ${values}`;
    return [name, { shape, problem, scale, offset }] as const;
  });
});

describe("channelStats", () => {
  it.each(TABLE)("%s", async (_, { shape, problem, scale, offset }) => {
    const { dtype, batch, channels, region, partials } = problem;
    const count = shape.reduce((product, size) => product * size, 1);
    // Every channel around its own value: a swapped index must not look right.
    const x = uniformArray(count, 7, scale, offset).map((value, i) =>
      roundToDtype(value + scale * Math.sin(i % channels), dtype),
    );
    const { stats } = await runKernel(
      setup.gpu,
      channelStats.plan(problem, setup.caps),
      { x: packRows(x, channels, dtype) },
      { stats: channelStatsByteLength(batch, partials, channels) },
    );
    const [mean, m2] = separate(stats as Uint8Array<ArrayBuffer>, channels);
    const expected = channelStatsReference(x, shape, region, partials);
    // Tighter than the table: the mean to a few roundings of the largest value, M2 relative to itself.
    const tolerance = pointwise("f32");
    const largest = Math.abs(offset) + 2 * scale;
    const rounding = { ...tolerance, rtol: 2 ** -23, atol: largest * 2 ** -22 };
    expectClose(mean, expected.mean, [batch, partials, channels], rounding);
    expectClose(m2, expected.m2, [batch, partials, channels], { ...tolerance, atol: 0 });
  });

  it("replays bit for bit", async () => {
    const shape = [1, 16, 16, 12] as const;
    const [batch, height, width, channels] = shape;
    const problem: ChannelStatsProblem = {
      dtype: "f32",
      batch,
      height,
      width,
      channels,
      partials: 5,
      region: { y0: 0, y1: height, x0: 0, x1: width },
    };
    const x = packRows(uniformArray(256 * channels, 3), channels, "f32");
    const run = () =>
      runKernel(
        setup.gpu,
        channelStats.plan(problem, setup.caps),
        { x },
        {
          stats: channelStatsByteLength(batch, problem.partials, channels),
        },
      );
    expect(await run()).toEqual(await run());
  });
});

/** (mean, M2) from pairs of quads; fails where padding is not zero. */
function separate(stats: Uint8Array<ArrayBuffer>, channels: number): [Float64Array, Float64Array] {
  const quads = new Float32Array(stats.buffer, stats.byteOffset, stats.byteLength / 4);
  const pick = (part: number) =>
    unpackRows(
      new Uint8Array(quads.filter((_, i) => Math.floor(i / 4) % 2 === part).buffer),
      channels,
      "f32",
    );
  return [pick(0), pick(1)];
}
