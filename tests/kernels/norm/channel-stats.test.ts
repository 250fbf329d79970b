import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { ChannelStatsProblem } from "../../../src/kernels/norm/channel-stats.ts";
import {
  channelStats,
  channelStatsByteLength,
  choosePartials,
  partialPixels,
} from "../../../src/kernels/norm/channel-stats.ts";

const PROBLEM: ChannelStatsProblem = {
  dtype: "f16",
  batch: 1,
  height: 8,
  width: 10,
  channels: 6,
  region: { y0: 1, y1: 7, x0: 2, x1: 9 },
  partials: 4,
};
const SOFTWARE = { ...BASELINE_CAPS, isSoftware: true };

describe("channelStats.check", () => {
  it.each([
    [{ channels: 0 }, "channelStats: sizes must be integers ≥ 1, got [1, 8, 10, 0]"],
    [
      { region: { y0: 0, y1: 9, x0: 0, x1: 10 } },
      "channelStats: region must be a non-empty rectangle within 8x10, got rows 0..9, columns 0..10",
    ],
    [{ region: { y0: 3, y1: 3, x0: 0, x1: 10 } }, "region must be a non-empty rectangle"],
    [{ region: { y0: -1, y1: 3, x0: 0, x1: 10 } }, "region must be a non-empty rectangle"],
    [{ region: { y0: 0, y1: 1.5, x0: 0, x1: 10 } }, "region must be a non-empty rectangle"],
    [
      { partials: 43 },
      "channelStats: partials must be an integer from 1 to the 42 pixels of the region, got 43",
    ],
    [{ partials: 0 }, "got 0"],
  ])("refuses %o", (change, message) => {
    expect(() => channelStats.check({ ...PROBLEM, ...change })).toThrow(message);
  });
});

describe("partialPixels", () => {
  it.each([
    [1, 1],
    [7, 3],
    [42, 4],
    [42, 42],
    [4096, 129],
  ])("deals %i pixels into %i strips", (pixels, partials) => {
    const strips = Array.from({ length: partials }, (_, split) =>
      partialPixels({ partials, pixels, tiles: null }, split),
    );
    expect(strips.reduce((sum, strip) => sum + strip, 0)).toBe(pixels);
    expect(Math.max(...strips) - Math.min(...strips)).toBeLessThanOrEqual(1);
    expect(strips).toEqual(strips.toSorted((a, b) => b - a));
  });

  it("counts the tiles of a map, phase by phase", () => {
    const tiles = { map: [9, 18], tile: [8, 16] } as const;
    const counts = Array.from({ length: 8 }, (_, split) =>
      partialPixels({ partials: 8, pixels: 2 * 9 * 18, tiles }, split),
    );
    expect(counts).toEqual([128, 16, 16, 2, 128, 16, 16, 2]);
  });
});

describe("choosePartials", () => {
  it.each([
    [1, 4, 1],
    [64, 1280, 2],
    [1024, 640, 32],
    [4096, 320, 128],
    [262_144, 128, 1024],
  ])("%i pixels, %i channels: %i strips on a GPU", (pixels, channels, partials) => {
    expect(choosePartials(pixels, channels, BASELINE_CAPS)).toBe(partials);
  });

  it("makes fewer strips on a CPU", () => {
    expect(choosePartials(4096, 320, SOFTWARE)).toBe(13);
  });
});

describe("channelStats.plan", () => {
  it("shares one pipeline between resolutions and regions", () => {
    const code = (change: Partial<ChannelStatsProblem>) =>
      channelStats.plan({ ...PROBLEM, ...change }, BASELINE_CAPS).dispatches[0]?.code;
    expect(code({ height: 16, width: 16, channels: 320, partials: 2 })).toBe(code({}));
    expect(code({ dtype: "f32" })).not.toBe(code({}));
  });

  it("folds large grids", () => {
    const problem = {
      ...PROBLEM,
      batch: 2,
      height: 1024,
      width: 1024,
      channels: 32,
      partials: 1 << 19,
    };
    const region = { y0: 0, y1: 1024, x0: 0, x1: 1024 };
    const { dispatches } = channelStats.plan({ ...problem, region }, BASELINE_CAPS);
    expect(dispatches[0]?.workgroups).toEqual([43_691, 3, 1]);
  });
});

it("channelStats.cost counts the region once", () => {
  expect(channelStats.cost(PROBLEM)).toEqual({
    flops: 42 * 8 * 5,
    bytesRead: 42 * 8 * 2,
    bytesWritten: 4 * 2 * 32,
  });
  expect(channelStatsByteLength(1, 4, 6)).toBe(4 * 2 * 32);
});
