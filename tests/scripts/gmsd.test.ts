import { describe, expect, it } from "vitest";
import { gmsd } from "../../scripts/gmsd.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { noiseBytes } from "../support/random.ts";

/** Grey, each level for all of its column. */
function columns(...levels: number[]): RawImage {
  const [width, height] = [levels.length, 8];
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    return levels[Math.floor(i / 3) % width]!;
  });
  return { width, height, channels: 3, data };
}

describe("gmsd", () => {
  it("is what the paper's formula gives by hand", () => {
    // Halved: 0 6 12 18 18 18 18 18, so gradients of 12 12 6 0 0 0 against none.
    const ramp = columns(0, 0, 6, 6, 12, 12, 18, 18, 18, 18, 18, 18, 18, 18, 18, 18);
    const similarity = [170 / 314, 170 / 314, 170 / 206, 1, 1, 1];
    const mean = similarity.reduce((sum, value) => sum + value) / 6;
    const variance = similarity.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 6;
    const flat = columns(...Array.from({ length: 16 }, () => 18));
    expect(gmsd(flat, ramp)).toBeCloseTo(Math.sqrt(variance), 12);
  });

  it("is 0 for equal edges, also of a brighter picture, and grows with what is done to them", () => {
    const image = { width: 20, height: 17, channels: 3, data: noiseBytes(20 * 17 * 3, 1) } as const;
    const brighter = { ...image, data: image.data.map((value) => (value >> 1) + 9) };
    const dark = { ...image, data: image.data.map((value) => value >> 1) };
    expect(gmsd(image, image)).toBe(0);
    expect(gmsd(dark, brighter)).toBeCloseTo(0, 12);
    expect(gmsd(image, dark)).toBeGreaterThan(0.02);
    const other = { ...image, data: noiseBytes(20 * 17 * 3, 2) };
    expect(gmsd(image, other)).toBeGreaterThan(gmsd(image, dark));
  });
});
