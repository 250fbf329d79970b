import { describe, expect, it } from "vitest";
import {
  channelStats,
  channelStatsByteLength,
  partialPixels,
} from "../../../src/kernels/norm/channel-stats.ts";
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../../src/kernels/norm/group-norm-affine.ts";
import { mergeStats } from "../../../src/kernels/norm/merge-stats.ts";
import { mergedStats } from "../../reference/channel-stats.ts";
import { affineTable, groupStatistics } from "../../reference/group-norm.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { storedEntries } from "../../support/statistics.ts";

const setup = useGpu();

/** [channels, partials, pixels, mean, spread of the means]. */
const CASES = [
  [1, 1, 1, 0, 1],
  [3, 2, 3, 0, 1], // strips of 2 and 1 pixels
  [4, 63, 63, 0, 1], // a strip a pixel
  [5, 64, 1000, 1, 1], // as many strips as lanes
  [33, 65, 4099, -2, 3], // one more, some of them a pixel longer
  [512, 1024, 262_144, 0.5, 1],
  [8, 130, 70_001, 1000, 1], // a large common offset
  [8, 70, 70, 5, 0], // constant
  [6, 9, 900, 0, 6e4],
] as const;

describe("mergeStats", () => {
  it.each(CASES)(
    "%i channels, %i partials of %i pixels, %d ± %d",
    async (channels, partials, pixels, mean, spread) => {
      const counts = { partials, pixels, tiles: null };
      const count = partials * channels;
      const entries = {
        mean: uniformArray(count, 1, spread, mean).map(Math.fround),
        m2: uniformArray(count, 2, spread * spread, spread * spread).map(Math.fround),
      };
      const bytes = new Uint8Array(storedEntries(entries, partials, channels, 1).buffer);
      const row = channelStatsByteLength(1, 1, channels);
      const problem = { ...counts, channels, first: row / 4 };
      const before = new Uint8Array(3 * row).fill(7);
      const { stats } = await runKernel(
        setup.gpu,
        mergeStats.plan(problem, setup.caps),
        { partials: bytes as Uint8Array<ArrayBuffer>, stats: before },
        { stats: 3 * row },
      );
      const got = new Float32Array((stats as Uint8Array<ArrayBuffer>).buffer);
      const weights = Array.from({ length: partials }, (_, s) => partialPixels(counts, s));
      const expected = mergedStats(entries, weights, channels);
      const at = (c: number): number => row / 4 + Math.floor(c / 4) * 8 + (c % 4);
      const channelsOf = (offset: number) =>
        Float64Array.from({ length: channels }, (_, c) => got[at(c) + offset] as number);
      // A mean is rounded at its own size and summed at that of the spread.
      const atol = 1e-6 * (Math.abs(mean) + spread);
      expectClose(channelsOf(0), expected.mean, [channels], { rtol: 1e-6, atol, nmse: 1e-12 });
      const m2 = { rtol: 1e-5, atol: 1e-6 * pixels * spread ** 2 + 1e-12, nmse: 1e-10 };
      expectClose(channelsOf(4), expected.m2, [channels], m2);
      // The rows before and behind are other tiles'.
      const others = [
        ...(stats as Uint8Array).subarray(0, row),
        ...(stats as Uint8Array).subarray(2 * row),
      ];
      expect(others.every((byte) => byte === 7)).toBe(true);
    },
  );

  it.each([
    [{ channels: 0 }, "mergeStats: needs channels ≥ 1 and 1 ≤ partials ≤ pixels, got channels 0"],
    [{ partials: 9 }, "got channels 4, partials 9, pixels 8"],
    [{ first: 4 }, "mergeStats: first must be a multiple of 8 from 0 on, got 4"],
  ])("refuses %o", (change, message) => {
    const problem = { channels: 4, partials: 2, pixels: 8, tiles: null, first: 0 };
    expect(() => mergeStats.check({ ...problem, ...change })).toThrow(message);
  });
});

it("tiles of unequal size give the GroupNorm of the whole map, whatever lies in their margins", async () => {
  const [height, width, channels, groups, eps] = [12, 10, 24, 4, 1e-5];
  const [side, margin] = [7, 2]; // cores of 7 × 7, 7 × 3, 5 × 7 and 5 × 3
  const x = uniformArray(height * width * channels, 5, 3, 1000).map(Math.fround);
  const rows = [0, side].map((y0) => [y0, Math.min(height, y0 + side)] as const);
  const columns = [0, side].map((x0) => [x0, Math.min(width, x0 + side)] as const);
  const row = channelStatsByteLength(1, 1, channels);
  let stats: Uint8Array<ArrayBuffer> = new Uint8Array(4 * row);
  let index = 0;
  for (const [y0, y1] of rows) {
    for (const [x0, x1] of columns) {
      const [top, bottom] = [Math.max(0, y0 - margin), Math.min(height, y1 + margin)];
      const [left, right] = [Math.max(0, x0 - margin), Math.min(width, x1 + margin)];
      const tile = x.filter((_, i) => {
        const [px, py] = [Math.floor(i / channels) % width, Math.floor(i / channels / width)];
        return px >= left && px < right && py >= top && py < bottom;
      });
      const size = { batch: 1, height: bottom - top, width: right - left, channels };
      const region = { y0: y0 - top, y1: y1 - top, x0: x0 - left, x1: x1 - left };
      const measured = await runKernel(
        setup.gpu,
        channelStats.plan({ dtype: "f32", ...size, region, partials: 3 }, setup.caps),
        { x: packRows(tile, channels, "f32") },
        { stats: 3 * row },
      );
      const counts = { partials: 3, pixels: (y1 - y0) * (x1 - x0), tiles: null };
      const problem = { ...counts, channels, first: (index++ * row) / 4 };
      const merged = await runKernel(
        setup.gpu,
        mergeStats.plan(problem, setup.caps),
        { partials: measured["stats"] as Uint8Array<ArrayBuffer>, stats },
        { stats: 4 * row },
      );
      stats = merged["stats"] as Uint8Array<ArrayBuffer>;
    }
  }
  const gamma = uniformArray(channels, 12, 0.5, 1).map(Math.fround);
  const beta = uniformArray(channels, 13, 0.5).map(Math.fround);
  const tiles = { map: [height, width], tile: [side, side] } as const;
  const pixels = height * width;
  const plan = groupNormAffine.plan(
    {
      batch: 1,
      sources: [{ channels, partials: 4, pixels, tiles, channelsPerEntry: 1, first: 0 }],
      numGroups: groups,
      eps,
      isStacked: false,
    },
    setup.caps,
  );
  const operands = {
    stats0: stats,
    gamma: packRows(gamma, channels, "f32"),
    beta: packRows(beta, channels, "f32"),
  };
  const { affine } = await runKernel(setup.gpu, plan, operands, {
    affine: groupNormAffineByteLength(1, channels),
  });
  const { mean, variance } = groupStatistics(x, 1, pixels, channels, groups);
  const expected = affineTable(mean, variance, gamma, beta, groups, eps);
  const got = new Float32Array((affine as Uint8Array<ArrayBuffer>).buffer);
  // b is about 1000·rstd, in f32.
  expectClose(got, expected, [2, channels], { rtol: 1e-5, atol: 2e-5, nmse: 1e-9 });
});
