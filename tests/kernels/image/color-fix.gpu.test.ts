import { describe, expect, it } from "vitest";
import { adainColorFix, waveletColorFix } from "../../../src/kernels/image/color-fix.ts";
import {
  colorMerge,
  colorMoments,
  MOMENTS_BYTES,
  momentBlocks,
} from "../../../src/kernels/image/color-moments.ts";
import { adain, channelStatistics, toLevel, wavelet } from "../../reference/color-fix.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import {
  byteDifference,
  imageFixture,
  rgbaFromRgb,
  rgbFromRgba,
} from "../../support/image-fixture.ts";
import { uniformSource } from "../../support/random.ts";

const setup = useGpu();

function noise(width: number, height: number, seed: number, low = 0, high = 255) {
  const next = uniformSource(seed);
  const level = () => low + Math.floor(next() * (high - low + 1));
  return Uint8Array.from({ length: width * height * 4 }, level);
}

const constant = (pixels: number, r: number, g: number, b: number) =>
  Uint8Array.from({ length: pixels * 4 }, (_, i) => [r, g, b, 255][i % 4] as number);

async function runAdain(
  source: Uint8Array<ArrayBuffer>,
  decoded: Uint8Array<ArrayBuffer>,
  rounding: "truncate" | "nearest",
) {
  const plan = adainColorFix.plan({ pixels: source.length / 4, rounding }, setup.caps);
  const { result } = await runKernel(
    setup.gpu,
    plan,
    { source, decoded },
    { result: source.length },
  );
  return result as Uint8Array<ArrayBuffer>;
}

async function runWavelet(
  source: Uint8Array<ArrayBuffer>,
  decoded: Uint8Array<ArrayBuffer>,
  [width, height]: readonly [number, number],
  rounding: "truncate" | "nearest",
) {
  const plan = waveletColorFix.plan({ width, height, rounding }, setup.caps);
  const { result } = await runKernel(
    setup.gpu,
    plan,
    { source, decoded },
    { result: source.length },
  );
  return result as Uint8Array<ArrayBuffer>;
}

/** Every colour equals the exact value's level, or the neighbour where that is within `slack` of a step. */
function expectLevels(
  got: Uint8Array,
  exact: readonly number[],
  rounding: "truncate" | "nearest",
  slack: number,
): void {
  const wrong = Array.from(rgbFromRgba(got), (level, i) => {
    const value = exact[i] as number;
    const isRight =
      level === toLevel(value - slack, rounding) || level === toLevel(value + slack, rounding);
    return isRight ? "" : `value ${i}: ${level}, exact ${value}`;
  });
  expect(wrong.filter((line) => line !== "")).toEqual([]);
}

const FIXES = ["adain", "wavelet"] as const;

describe("golden colour fixes", () => {
  it.each(FIXES)("%s: at most one level from the reference", async (fix) => {
    const source = rgbaFromRgb(imageFixture("adain_64x64/inputs/source").data);
    const decoded = rgbaFromRgb(imageFixture("adain_64x64/inputs/target").data);
    const expected = imageFixture(`${fix}_64x64/outputs/image`).data;
    const got =
      fix === "adain"
        ? await runAdain(source, decoded, "truncate")
        : await runWavelet(source, decoded, [64, 64], "truncate");
    const { count, largest } = byteDifference(rgbFromRgba(got), expected);
    expect(largest).toBeLessThanOrEqual(1);
    // Measured 0 and 2 of 12,288; a level next to a step may fall either way.
    expect(count).toBeLessThanOrEqual(20);
  });
});

const SIZES = [
  [1, 1],
  [3, 5],
  [1, 70],
  [65, 1],
  [67, 63], // more than one block of statistics
] as const;

describe.each(["truncate", "nearest"] as const)("colour fixes, %s", (rounding) => {
  it.each(SIZES)("adain %i × %i", async (width, height) => {
    const source = noise(width, height, 1, 20, 90);
    const decoded = noise(width, height, 2, 60, 255);
    const got = await runAdain(source, decoded, rounding);
    expectLevels(got, adain(rgbFromRgba(source), rgbFromRgba(decoded)), rounding, 1e-3);
    expect(got.filter((_, i) => i % 4 === 3)).toEqual(decoded.filter((_, i) => i % 4 === 3));
  });

  it.each(SIZES)("wavelet %i × %i", async (width, height) => {
    const source = noise(width, height, 3);
    const decoded = noise(width, height, 4);
    const got = await runWavelet(source, decoded, [width, height], rounding);
    const exact = wavelet(rgbFromRgba(source), rgbFromRgba(decoded), width, height);
    expectLevels(got, exact, rounding, 1e-3);
    expect(got.filter((_, i) => i % 4 === 3)).toEqual(decoded.filter((_, i) => i % 4 === 3));
  });

  it("constant images take the source's colour exactly", async () => {
    const [width, height] = [70, 65];
    const source = constant(width * height, 0, 17, 255);
    const decoded = constant(width * height, 255, 200, 1);
    expect(await runAdain(source, decoded, rounding)).toEqual(source);
    expect(await runWavelet(source, decoded, [width, height], rounding)).toEqual(source);
  });

  it("an image with its own colours stays as it is", async () => {
    const image = noise(40, 30, 9);
    expect(await runWavelet(image, image, [40, 30], rounding)).toEqual(image);
  });
});

it("wavelet at exactly half a level: up with nearest, down with truncate", async () => {
  // The five blurs take a half of the difference each: 32 / 64 of a level is left on both sides of 16.
  const [source, decoded] = [
    [100, 132],
    [100, 100],
  ].map(([a = 0, b = 0]) => Uint8Array.of(a, a, a, 255, b, b, b, 255)) as [
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>,
  ];
  const exact = wavelet(rgbFromRgba(source), rgbFromRgba(decoded), 2, 1);
  expect([exact[0], exact[3]]).toEqual([115.5, 116.5]);
  const levels = async (rounding: "truncate" | "nearest"): Promise<number[]> => {
    const rgb = rgbFromRgba(await runWavelet(source, decoded, [2, 1], rounding));
    return [rgb[0] as number, rgb[3] as number];
  };
  expect(await levels("nearest")).toEqual([116, 117]);
  expect(await levels("truncate")).toEqual([115, 116]);
});

it("wavelet at the extremes: black against white", async () => {
  const [width, height] = [40, 40];
  const half = (a: number, b: number) =>
    Uint8Array.from({ length: width * height * 4 }, (_, i) => ((i >> 2) % width < 20 ? a : b));
  const [source, decoded] = [half(255, 0), half(0, 255)];
  const got = await runWavelet(source, decoded, [width, height], "nearest");
  const exact = wavelet(rgbFromRgba(source), rgbFromRgba(decoded), width, height);
  expectLevels(got, exact, "nearest", 1e-3);
});

describe("colour moments", () => {
  async function moments(image: Uint8Array<ArrayBuffer>) {
    const pixels = image.length / 4;
    const blocks = momentBlocks(pixels);
    const { partials } = await runKernel(
      setup.gpu,
      colorMoments.plan({ pixels }, setup.caps),
      { image },
      { partials: blocks * MOMENTS_BYTES },
    );
    const plan = colorMerge.plan({ blocks }, setup.caps);
    const inputs = { partials: partials as Uint8Array<ArrayBuffer> };
    const { stats } = await runKernel(setup.gpu, plan, inputs, { stats: MOMENTS_BYTES });
    return new Float32Array((stats as Uint8Array<ArrayBuffer>).buffer);
  }

  function expectStatistics(got: Float32Array, image: Uint8Array) {
    const expected = channelStatistics(rgbFromRgba(image));
    expected.forEach(({ mean, variance }, c) => {
      expect(Math.abs((got[c] as number) - mean)).toBeLessThan(1e-4);
      expect(Math.abs((got[4 + c] as number) - variance)).toBeLessThan(1e-5 * variance + 1e-6);
    });
    expect(got[3]).toBe(image.length / 4);
  }

  it.each([1, 2, 4095, 4096, 4097, 300_000])("%i pixels", async (pixels) => {
    const image = noise(pixels, 1, pixels);
    expectStatistics(await moments(image), image);
  });

  it("nearly constant and bright: no cancellation", async () => {
    const image = noise(300, 300, 7, 254, 255);
    expectStatistics(await moments(image), image);
    expect(Array.from(await moments(constant(90_000, 255, 254, 0)))).toEqual([
      255, 254, 0, 90_000, 0, 0, 0, 0,
    ]);
  });
});
