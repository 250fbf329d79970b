import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { GroupNormAffineProblem } from "../../../src/kernels/norm/group-norm-affine.ts";
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../../src/kernels/norm/group-norm-affine.ts";

const FIRST = {
  channels: 8,
  partials: 2,
  pixels: 9,
  tiles: null,
  channelsPerEntry: 1,
  first: 0,
} as const;
const PROBLEM: GroupNormAffineProblem = {
  batch: 1,
  sources: [
    FIRST,
    { channels: 10, partials: 3, pixels: 9, tiles: null, channelsPerEntry: 1, first: 0 },
  ],
  numGroups: 3,
  eps: 1e-5,
  isStacked: false,
};

describe("groupNormAffine.check", () => {
  it.each<[Partial<GroupNormAffineProblem>, string]>([
    [{ numGroups: 4 }, "groupNorm: channels must be divisible by numGroups, got 18 and 4"],
    [{ numGroups: 0 }, "groupNorm: batch and numGroups must be integers ≥ 1, got 1 and 0"],
    [
      { sources: [{ ...FIRST, channels: 18, channelsPerEntry: 4 }] },
      "groupNorm: statistics must not span groups, got entries of 4 in groups of 6 channels",
    ],
    [{ eps: 0 }, "groupNorm: eps must be a positive number, got 0"],
    [{ eps: NaN }, "groupNorm: eps must be a positive number, got NaN"],
    [
      {
        sources: [
          { channels: 6, partials: 10, pixels: 9, tiles: null, channelsPerEntry: 1, first: 0 },
        ],
      },
      "groupNorm: a source needs channels ≥ 1 and 1 ≤ partials ≤ pixels, got channels 6, partials 10, pixels 9",
    ],
    [
      {
        sources: [
          FIRST,
          { channels: 10, partials: 3, pixels: 8, tiles: null, channelsPerEntry: 1, first: 0 },
        ],
      },
      "groupNorm: both sources must count the same pixels, got 9 and 8",
    ],
    [
      { sources: [{ ...FIRST, channels: 6 }, FIRST] },
      "groupNorm: the first of two sources must have a multiple of 4 channels, got 6. Concatenate by a copy instead",
    ],
  ])("refuses %o", (change, message) => {
    expect(() => groupNormAffine.check({ ...PROBLEM, ...change })).toThrow(message);
  });
});

describe("groupNormAffine.plan", () => {
  const dispatchOf = (problem: GroupNormAffineProblem) =>
    groupNormAffine.plan(problem, BASELINE_CAPS).dispatches[0];

  it("one source is bound twice, so that both cases are one shader", () => {
    const names = (problem: GroupNormAffineProblem) =>
      dispatchOf(problem)?.operands.map(({ name }) => name);
    expect(names(PROBLEM)).toEqual(["stats0", "stats1", "gamma", "beta", "affine"]);
    expect(names({ ...PROBLEM, sources: [FIRST], numGroups: 2 })).toEqual([
      "stats0",
      "stats0",
      "gamma",
      "beta",
      "affine",
    ]);
  });

  it("shares one pipeline between sizes, of one and of two sources", () => {
    const other: GroupNormAffineProblem = {
      batch: 2,
      sources: [
        { channels: 640, partials: 4, pixels: 64, tiles: null, channelsPerEntry: 1, first: 0 },
        { channels: 320, partials: 8, pixels: 64, tiles: null, channelsPerEntry: 1, first: 0 },
      ],
      numGroups: 32,
      eps: 1e-6,
      isStacked: false,
    };
    expect(dispatchOf(other)?.code).toBe(dispatchOf(PROBLEM)?.code);
    const single = dispatchOf({ ...PROBLEM, sources: [FIRST], numGroups: 2 });
    expect(single?.code).toBe(dispatchOf(PROBLEM)?.code);
    expect(dispatchOf(other)?.workgroups).toEqual([64, 1, 1]);
  });
});

it("groupNormAffine.cost counts every operand once", () => {
  expect(groupNormAffine.cost(PROBLEM)).toEqual({
    flops: (2 * 8 + 3 * 10) * 9 + 18 * 3,
    bytesRead: 2 * 2 * 32 + 3 * 3 * 32 + 2 * 20 * 4,
    bytesWritten: groupNormAffineByteLength(1, 18),
  });
  expect(groupNormAffineByteLength(2, 18)).toBe(2 * 2 * 20 * 4);
});
