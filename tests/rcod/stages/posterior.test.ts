/** The posterior on the host: samples against doubles. */
import { describe, expect, it } from "vitest";
import { sampleLatents } from "../../../src/rcod/stages/posterior.ts";
import { normals, sample } from "../../reference/posterior.ts";
import { uniformSource } from "../../support/random.ts";

/** mulberry32 adds this to its seed first, and gives 0 at the state 0. */
const INCREMENT = 0x6d2b79f5;

const scaled = (scalingFactor: number) => ({ latentChannels: 1, pixelChannels: 0, scalingFactor });

describe("sampleLatents", () => {
  it.each([
    [0, 1],
    [-30, 0.18215],
    [20, 0.18215],
    [2.5, 3],
  ])("log-variance %d, scale %d: against doubles", (variance, scale) => {
    const count = 9; // odd: the last pair has one number too many
    const mean = Float32Array.from({ length: count }, (_, i) => (i - 4) / 8);
    const got = sampleLatents(mean, new Float32Array(count).fill(variance), scaled(scale), 7);
    normals(count, uniformSource(7)).forEach((normal, i) => {
      const expected = sample(mean[i] as number, variance, scale, normal);
      // Deviates are kept in f32, and so is the sample.
      expect(Math.abs((got[i] as number) - expected)).toBeLessThan(2e-7 * (1 + Math.abs(expected)));
    });
  });

  it("is finite for the seed whose first number is 0", () => {
    const none = new Float32Array(2);
    const [first] = sampleLatents(none, none, scaled(1), 2 ** 32 - INCREMENT);
    expect(first).toBeCloseTo(normals(1, uniformSource(2 ** 32 - INCREMENT))[0] as number, 6);
    expect(Math.abs(first as number)).toBeLessThan(7); // √(2 · 33 · ln 2) = 6.8
  });

  it("leaves the pixel path as it is", () => {
    const vae = { latentChannels: 2, pixelChannels: 3, scalingFactor: 0.5 };
    const mean = Float32Array.from({ length: 10 }, (_, i) => i);
    const logvar = Float32Array.of(0, 1, 2, 3);
    const got = sampleLatents(mean, logvar, vae, 7);
    expect([2, 3, 4, 7, 8, 9].map((i) => got[i])).toEqual([2, 3, 4, 7, 8, 9]);
    normals(4, uniformSource(7)).forEach((normal, i) => {
      const place = [0, 1, 5, 6][i] as number;
      expect(got[place]).toBeCloseTo(sample(place, i, 0.5, normal), 5);
    });
  });

  it("is normal, in both numbers of a pair", () => {
    const count = 20_000;
    const values = sampleLatents(new Float32Array(count), new Float32Array(count), scaled(1), 3);
    for (const parity of [0, 1]) {
      const half = [...values].filter((_, i) => i % 2 === parity);
      const mean = half.reduce((sum, value) => sum + value, 0) / half.length;
      const variance = half.reduce((sum, value) => sum + (value - mean) ** 2, 0) / half.length;
      // Four standard errors of 10,000 values: 4 / √n and 4·√(2 / n).
      expect(Math.abs(mean)).toBeLessThan(0.04);
      expect(Math.abs(variance - 1)).toBeLessThan(0.057);
    }
  });
});
