/** Maps of floats on the host against references in doubles. */
import { describe, expect, it } from "vitest";
import {
  floatTable,
  repeatedTable,
  triangleTable,
} from "../../../src/kernels/image/resample-weights.ts";
import type { FloatMap } from "../../../src/rcod/deep/float-map.ts";
import {
  adainOfMaps,
  cutMap,
  resampleMap,
  waveletOfMaps,
} from "../../../src/rcod/deep/float-map.ts";
import { adain, wavelet } from "../../reference/color-fix.ts";
import { windowOf } from "../../reference/resample.ts";
import { uniformArray } from "../../support/random.ts";

const noise = (width: number, height: number, channels: number, seed: number): FloatMap => ({
  width,
  height,
  channels,
  data: Float32Array.from(uniformArray(width * height * channels, seed, 0.5, 0.5)),
});
const levels = ({ data }: FloatMap): number[] => Array.from(data, (value) => value * 255);

const SIZES = [
  [1, 1],
  [7, 3],
  [33, 40],
] as const;

describe("colour fixes", () => {
  it.each(SIZES)("AdaIN of %i×%i", (width, height) => {
    const [source, decoded] = [noise(width, height, 3, 1), noise(width, height, 3, 2)];
    const expected = adain(levels(source), levels(decoded));
    // f32 of values near 1, divided by deviations down to 0.003.
    levels(adainOfMaps(source, decoded)).forEach((value, i) =>
      expect(value).toBeCloseTo(expected[i] as number, 2),
    );
  });

  it("AdaIN of all but constant pictures: the variance's eps decides", () => {
    const flat = (seed: number): FloatMap => ({
      ...noise(5, 4, 3, seed),
      data: Float32Array.from(uniformArray(60, seed, 0.002, 0.5)),
    });
    const [source, decoded] = [noise(5, 4, 3, 8), flat(9)];
    const expected = adain(levels(source), levels(decoded));
    levels(adainOfMaps(source, decoded)).forEach((value, i) =>
      expect(value).toBeCloseTo(expected[i] as number, 2),
    );
  });

  it.each(SIZES)("wavelet of %i×%i", (width, height) => {
    const [source, decoded] = [noise(width, height, 3, 3), noise(width, height, 3, 4)];
    const expected = wavelet(levels(source), levels(decoded), width, height);
    levels(waveletOfMaps(source, decoded)).forEach((value, i) =>
      expect(value).toBeCloseTo(expected[i] as number, 3),
    );
  });
});

describe("resampleMap", () => {
  it("is Pillow's bicubic without its rounding, kept within the range after each axis", () => {
    const map = noise(9, 5, 2, 5);
    const [width, height] = [36, 20];
    const got = resampleMap(
      map,
      floatTable(9, 36, "bicubic"),
      floatTable(5, 20, "bicubic"),
      [0, 1],
    );
    const clamp = (value: number): number => Math.min(Math.max(value, 0), 1);
    const wide = (x: number, row: number, c: number): number => {
      const { first, weights } = windowOf("bicubic", 9, width, x);
      return clamp(
        weights.reduce((s, w, k) => s + w * (map.data[(row * 9 + first + k) * 2 + c] as number), 0),
      );
    };
    expect([got.width, got.height]).toEqual([width, height]);
    got.data.forEach((value, i) => {
      const [c, x, y] = [i % 2, Math.floor(i / 2) % width, Math.floor(i / 2 / width)];
      const { first, weights } = windowOf("bicubic", 5, height, y);
      const expected = clamp(weights.reduce((s, w, k) => s + w * wide(x, first + k, c), 0));
      expect(value).toBeCloseTo(expected, 6);
    });
    expect(Math.min(...got.data)).toBe(0); // noise overshoots
  });

  it("goes on at the last output where a table is repeated", () => {
    const map = noise(4, 1, 1, 6);
    const across = repeatedTable(triangleTable(4, 4), 7);
    const { data } = resampleMap(map, across, triangleTable(1, 1), [0, 1]);
    expect([...data]).toEqual([0, 1, 2, 3, 3, 3, 3].map((i) => map.data[i]));
  });
});

it("cutMap repeats edges around a map", () => {
  const map = { width: 2, height: 2, channels: 1, data: Float32Array.of(1, 2, 3, 4) };
  const { data } = cutMap(map, { x: -1, y: 1, width: 4, height: 2 });
  expect([...data]).toEqual([3, 3, 4, 4, 3, 3, 4, 4]);
});
