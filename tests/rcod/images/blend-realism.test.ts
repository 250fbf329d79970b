import { describe, expect, it } from "vitest";
import type { RealismResult } from "../../../src/rcod/images/blend-realism.ts";
import { blendRealism } from "../../../src/rcod/images/blend-realism.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { uniformArray } from "../../support/random.ts";

/** Noise of every level, at some place of realism. */
function result(
  realism: number,
  [width, height, channels]: readonly [number, number, RawImage["channels"]],
  bits: 8 | 16,
): RealismResult {
  const levels = uniformArray(width * height * channels, realism * 100 + 1).map((value) =>
    Math.round(((value + 1) / 2) * (2 ** bits - 1)),
  );
  const data = bits === 8 ? Uint8Array.from(levels) : Uint16Array.from(levels);
  return { realism, image: { width, height, channels, data } };
}

/** In plain words: each value by itself, not rounded. */
function expected(from: RealismResult, to: RealismResult, realism: number): number[] {
  const share = (realism - from.realism) / (to.realism - from.realism);
  return Array.from(from.image.data, (value, i) => (1 - share) * value + share * to.image.data[i]!);
}

/** Half a level is rounding; a little more is arithmetic in another order, near the middle between two levels. */
const ROUNDING = 0.5 + 1e-9;

const worst = ({ data }: RawImage, values: readonly number[]): number =>
  Math.max(...values.map((value, i) => Math.abs(value - data[i]!)));

const CASES = [
  [[1, 1, 1], 8],
  [[7, 5, 3], 8],
  [[13, 3, 4], 16],
  [[64, 65, 2], 16],
] as const;

describe("blendRealism", () => {
  it.each(CASES)("is between two results of %j, %i bits", (size, bits) => {
    const [from, to] = [result(0, size, bits), result(1, size, bits)];
    for (const realism of [0.01, 0.3, 0.5, 0.99]) {
      const blend = blendRealism([from, to], realism);
      const { width, height, channels } = from.image;
      expect(blend).toMatchObject({ width, height, channels });
      expect(blend.data.BYTES_PER_ELEMENT).toBe(bits / 8);
      expect(blend.data.length).toBe(from.image.data.length);
      expect(worst(blend, expected(from, to, realism))).toBeLessThanOrEqual(ROUNDING);
    }
  });

  it("rounds to nearest", () => {
    const of = (realism: number, ...levels: number[]): RealismResult => ({
      realism,
      image: { width: 4, height: 1, channels: 1, data: Uint8Array.from(levels) },
    });
    const blend = blendRealism([of(0, 0, 0, 255, 9), of(1, 1, 3, 254, 9)], 0.5);
    expect([...blend.data]).toEqual([1, 2, 255, 9]);
  });

  it("takes the two nearest of many, in any order", () => {
    const [a, b, c, d] = [0, 0.25, 0.6, 1].map((place) => result(place, [7, 5, 3], 8)) as [
      RealismResult,
      RealismResult,
      RealismResult,
      RealismResult,
    ];
    for (const all of [
      [a, b, c, d],
      [d, b, a, c],
      [c, d, b, a],
    ]) {
      expect(worst(blendRealism(all, 0.5), expected(b, c, 0.5))).toBeLessThanOrEqual(ROUNDING);
      expect(worst(blendRealism(all, 0.1), expected(a, b, 0.1))).toBeLessThanOrEqual(ROUNDING);
      expect(worst(blendRealism(all, 0.9), expected(c, d, 0.9))).toBeLessThanOrEqual(ROUNDING);
    }
  });

  it("is a copy at the place of a result, which alone is enough", () => {
    const own = result(0.4, [7, 5, 3], 16);
    const others = [result(0, [7, 5, 3], 16), own, result(1, [7, 5, 3], 16)];
    for (const all of [others, [own]]) {
      const { data } = blendRealism(all, 0.4);
      expect(data).toEqual(own.image.data);
      expect(data.buffer).not.toBe(own.image.data.buffer);
    }
  });

  it("keeps alpha and colour space, and changes nothing that it was given", () => {
    const [from, to] = [result(0, [9, 3, 4], 8), result(1, [9, 3, 4], 8)];
    for (let i = 3; i < to.image.data.length; i += 4) to.image.data[i] = from.image.data[i]!;
    const before = [from, to].map(({ image }) => [...image.data]);
    const p3 = [from, to].map(({ realism, image }) => ({
      realism,
      image: { ...image, colorSpace: "display-p3" as const },
    }));
    const blend = blendRealism(p3, 0.7);
    expect(blend.colorSpace).toBe("display-p3");
    const alpha = (data: ArrayLike<number>): number[] =>
      Array.from(data).filter((_, i) => i % 4 === 3);
    expect(alpha(blend.data)).toEqual(alpha(from.image.data));
    expect([from, to].map(({ image }) => [...image.data])).toEqual(before);
  });

  it("gives bytes also where a result has clamped ones, which round otherwise", () => {
    const [from, to] = [result(0, [7, 5, 4], 8), result(1, [7, 5, 4], 8)];
    const clamped = [from, to].map(({ realism, image }) => ({
      realism,
      image: { ...image, data: Uint8ClampedArray.from(image.data) },
    }));
    expect(blendRealism(clamped, 0.5)).toEqual(blendRealism([from, to], 0.5));
  });

  it("says what it needs", () => {
    const [from, to] = [result(0, [7, 5, 3], 8), result(1, [7, 5, 3], 8)];
    const refused = (results: readonly RealismResult[], realism: unknown, text: string): void =>
      expect(() => blendRealism(results, realism as number)).toThrow(text);
    const range = "blendRealism: realism must be a number between those of two results, got ";
    refused([from, to], 1.5, `${range}1.5 and results at 0, 1. Upscale with realism: [0, 1]`);
    refused([from, to], NaN, `${range}NaN and`);
    refused([from, to], "neutral", `${range}"neutral" and`);
    refused([from], 0.5, `${range}0.5 and results at 0.`);
    refused([], 0.5, `${range}0.5 and results at none.`);
    expect(() => blendRealism([], 0)).toThrow(RangeError);
    refused(
      [from, result(1, [7, 6, 3], 8)],
      0.5,
      "blendRealism: results must be alike, got 7×5×3 of 8 bits in srgb and 7×6×3 of 8 bits in srgb. Take results of one",
    );
    refused([from, result(1, [7, 5, 4], 8)], 0.5, "got 7×5×3 of 8 bits in srgb and 7×5×4 of");
    refused([from, result(1, [7, 5, 3], 16)], 0.5, "and 7×5×3 of 16 bits in srgb");
    const p3 = { realism: 1, image: { ...to.image, colorSpace: "display-p3" as const } };
    refused([from, p3], 0.5, "and 7×5×3 of 8 bits in display-p3");
    const short = { realism: 1, image: { ...to.image, data: to.image.data.subarray(1) } };
    refused([from, short], 0.5, "image: 7×5×3 needs 105 values, got 104");
  });
});
