import { describe, expect, it } from "vitest";
import {
  quantisedTable,
  reflectedTable,
  triangleTable,
  WEIGHT_BITS,
} from "../../../src/kernels/image/resample-weights.ts";
import { windowOf } from "../../reference/resample.ts";

const SIZES: readonly (readonly [number, number])[] = [
  [1, 1],
  [1, 4],
  [4, 1],
  [2, 3],
  [3, 5],
  [5, 2],
  [49, 127],
  [60, 155],
  [132, 128],
  [100, 7],
  [1000, 224],
  [224, 1000],
  [2048, 1],
];

describe.each(["bicubic", "lanczos", "triangle"] as const)("%s table", (filter) => {
  it.each(SIZES)("%i → %i equals the window computed output by output", (inSize, outSize) => {
    const { taps, starts, weights } =
      filter === "triangle"
        ? triangleTable(inSize, outSize)
        : quantisedTable(inSize, outSize, filter);
    expect(starts.length).toBe(outSize);
    expect(weights.length).toBe(outSize * taps);
    let worst = 0;
    for (let i = 0; i < outSize; i++) {
      const expected = new Float64Array(inSize);
      const { first, weights: reference } = windowOf(filter, inSize, outSize, i);
      reference.forEach((w, k) => {
        expected[first + k] =
          filter === "triangle"
            ? Math.fround(w)
            : Math.sign(w) * Math.floor(Math.abs(w) * 2 ** 22 + 0.5);
      });
      const start = starts[i] as number;
      if (start < 0 || start + taps > inSize) expect.fail(`output ${i} starts at ${start}`);
      const got = new Float64Array(inSize);
      for (let k = 0; k < taps; k++) got[start + k] = weights[i * taps + k] as number;
      for (let j = 0; j < inSize; j++) {
        worst = Math.max(worst, Math.abs((got[j] as number) - (expected[j] as number)));
      }
    }
    expect(worst).toBeLessThanOrEqual(filter === "triangle" ? 1e-7 : 0);
  });

  it("weights of an output sum to one", () => {
    for (const [inSize, outSize] of SIZES) {
      const { taps, weights } =
        filter === "triangle"
          ? triangleTable(inSize, outSize)
          : quantisedTable(inSize, outSize, filter);
      const one = filter === "triangle" ? 1 : 2 ** WEIGHT_BITS;
      let worst = 0;
      for (let i = 0; i < outSize; i++) {
        let sum = 0;
        for (let k = 0; k < taps; k++) sum += (weights[i * taps + k] as number) / one;
        worst = Math.max(worst, Math.abs(sum - 1));
      }
      expect(worst).toBeLessThan(filter === "triangle" ? 1e-5 : (taps + 1) / one);
    }
  });
});

it("windows that are cut at the edge move left instead of reading beyond it", () => {
  const { taps, starts, weights } = quantisedTable(8, 8 * 4, "bicubic");
  expect(taps).toBe(4);
  expect(starts[31]).toBe(4);
  // Output 31 reads pixels 6 and 7 only.
  expect(Array.from(weights.subarray(31 * 4, 31 * 4 + 2))).toEqual([0, 0]);
  expect(weights[31 * 4 + 3]).toBeGreaterThan(2 ** 21);
});

it("accumulators stay within 32 bits for 8-bit pixels", () => {
  let largest = 0;
  for (const filter of ["bicubic", "lanczos"] as const) {
    for (let n = 1; n <= 40; n++) {
      for (let o = 1; o <= 60; o++) {
        const { taps, weights } = quantisedTable(n, o, filter);
        for (let i = 0; i < o; i++) {
          let sum = 0;
          for (let k = 0; k < taps; k++) sum += Math.abs(weights[i * taps + k] as number);
          largest = Math.max(largest, sum);
        }
      }
    }
  }
  expect(largest * 255 + 2 ** 21).toBeLessThan(2 ** 31);
  expect(largest / 2 ** 22).toBeLessThan(1.9);
});

it.each([
  [0, 4],
  [4, 0],
  [1.5, 4],
  [NaN, 4],
])("refuses %d → %d", (inSize, outSize) => {
  expect(() => quantisedTable(inSize, outSize, "bicubic")).toThrow(
    /^resample: (in|out)Size must be/,
  );
});

describe("reflectedTable", () => {
  /** Which output of the table each output of the longer one repeats. */
  const rows = (count: number, outSize: number): number[] => {
    const weights = Float32Array.from({ length: 2 * count }, (_, i) => i);
    const table = {
      taps: 2,
      starts: Int32Array.from({ length: count }, (_, i) => 10 * i),
      weights,
    };
    const out = reflectedTable(table, outSize);
    expect(out.taps).toBe(2);
    return [...out.starts].map((start, i) => {
      const from = start / 10;
      expect([...out.weights.subarray(2 * i, 2 * i + 2)]).toEqual([2 * from, 2 * from + 1]);
      return from;
    });
  };

  it("goes on without repeating the edge, as PyTorch's reflect padding", () => {
    expect(rows(4, 4)).toEqual([0, 1, 2, 3]);
    expect(rows(4, 7)).toEqual([0, 1, 2, 3, 2, 1, 0]);
  });

  it("reflects again where the axis is shorter than the padding", () => {
    expect(rows(3, 9)).toEqual([0, 1, 2, 1, 0, 1, 2, 1, 0]);
    expect(rows(2, 5)).toEqual([0, 1, 0, 1, 0]);
    expect(rows(1, 3)).toEqual([0, 0, 0]);
  });
});
