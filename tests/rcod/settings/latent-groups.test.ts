import { describe, expect, it } from "vitest";
import {
  LATENT_GROUPS,
  cosineSimilarity,
  groupOfMetric,
  timestepOfGroups,
} from "../../../src/rcod/settings/latent-groups.ts";

describe("the released tables", () => {
  it.each([
    [-1, 749, 999],
    [0, 749, 999],
    [0.2999999, 749, 999],
    [0.3, 749, 749],
    [0.5, 499, 499],
    [0.69999999, 249, 249], // 0.7 in f32
    [0.6999999, 499, 499],
    [0.7, 249, 249],
    [1, 249, 249],
    [Infinity, 249, 249],
    [NaN, 499, 499],
  ])("M_L %d: %i of three groups, %i of four", (metric, three, four) => {
    expect(timestepOfGroups(metric, LATENT_GROUPS[3])).toBe(three);
    expect(timestepOfGroups(metric, LATENT_GROUPS[4])).toBe(four);
  });

  it("groups count from the most degraded", () => {
    expect([0.1, 0.4, 0.6, 0.8].map((m) => groupOfMetric(m, LATENT_GROUPS[4]))).toEqual([
      0, 1, 2, 3,
    ]);
  });
});

describe("cosineSimilarity", () => {
  it("is 1 along, −1 against and 0 across", () => {
    expect(cosineSimilarity([1, 2, -3], [2, 4, -6])).toBeCloseTo(1, 12);
    expect(cosineSimilarity([1, 2], [-2, -4])).toBeCloseTo(-1, 12);
    expect(cosineSimilarity([1, 0], [0, 5])).toBe(0);
    expect(cosineSimilarity([3, 4], [4, 3])).toBeCloseTo(24 / 25, 12);
  });

  it("floors each norm at 1e-8", () => {
    expect(cosineSimilarity([0, 0], [1, 1])).toBe(0);
    expect(cosineSimilarity([1e-9], [1])).toBeCloseTo(0.1, 12);
  });

  it("refuses unequal and empty latents", () => {
    expect(() => cosineSimilarity([1], [1, 2])).toThrow("got 1 and 2");
    expect(() => cosineSimilarity([], [])).toThrow(RangeError);
  });
});
