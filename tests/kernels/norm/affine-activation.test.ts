import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { AffineActivationProblem } from "../../../src/kernels/norm/affine-activation.ts";
import { affineActivation } from "../../../src/kernels/norm/affine-activation.ts";

const PROBLEM: AffineActivationProblem = {
  dtype: "f16",
  batch: 1,
  pixels: 10,
  channels: 6,
  channelOffset: 8,
  totalChannels: 14,
  activation: "silu",
};

describe("affineActivation.check", () => {
  it("accepts an incomplete quad at the end", () => {
    expect(() => affineActivation.check(PROBLEM)).not.toThrow();
  });

  it.each([
    [
      { pixels: 0 },
      "affineActivation: sizes must be integers ≥ 1, got batch 1, pixels 0, channels 6, totalChannels 14",
    ],
    [
      { channelOffset: 6 },
      "affineActivation: channelOffset must be a multiple of 4 that leaves room for 6 of 14 channels, got 6",
    ],
    [{ channelOffset: -4 }, "got -4"],
    [{ channelOffset: NaN }, "got NaN"],
    [{ channelOffset: 12 }, "got 12"],
    [
      { channelOffset: 4 },
      "affineActivation: only the last source may have an incomplete quad, got channels 4..10 of 14",
    ],
  ])("refuses %o", (change, message) => {
    expect(() => affineActivation.check({ ...PROBLEM, ...change })).toThrow(message);
  });
});

it("affineActivation.plan shares one pipeline between sizes and folds large grids", () => {
  const large = {
    ...PROBLEM,
    pixels: 1 << 22,
    channels: 128,
    channelOffset: 0,
    totalChannels: 128,
  };
  const [small, big] = [PROBLEM, large].map(
    (p) => affineActivation.plan(p, BASELINE_CAPS).dispatches[0],
  );
  expect(big?.code).toBe(small?.code);
  expect(big?.workgroups).toEqual([58_255, 9, 1]);
});

it("affineActivation.cost", () => {
  expect(affineActivation.cost(PROBLEM)).toEqual({
    flops: 10 * 8 * 5,
    bytesRead: 10 * 8 * 2 + 2 * 32,
    bytesWritten: 10 * 8 * 2,
  });
});
