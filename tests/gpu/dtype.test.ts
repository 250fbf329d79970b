import { describe, expect, it } from "vitest";
import {
  F16_MAX,
  dtypeByteLength,
  floatToHalfBits,
  halfBitsToFloat,
  halvesToFloats,
  roundToDtype,
} from "../../src/gpu/dtype.ts";
import { uniformSource } from "../support/random.ts";

/** Value of a half, written from the definition of binary16 and not from our code. */
function naiveHalf(bits: number): number {
  const text = bits.toString(2).padStart(16, "0");
  const sign = text[0] === "1" ? -1 : 1;
  const exponent = Number.parseInt(text.slice(1, 6), 2);
  const fraction = Number.parseInt(text.slice(6), 2);
  if (exponent === 31) return fraction > 0 ? NaN : sign * Infinity;
  const significand = (exponent > 0 ? 1024 : 0) + fraction;
  return sign * significand * 2 ** (Math.max(exponent, 1) - 25);
}

/** All finite halves ≥ 0 in ascending order: their index is their bits. */
const ASCENDING = Float64Array.from({ length: 0x7c00 }, (_, bits) => naiveHalf(bits));

/** Bits of the half nearest to `value` by search; ties go to the even one, overflow to infinity. */
function naiveHalfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  // 65520 is halfway between the largest half and the next step, 65536, whose bits are even.
  if (magnitude >= 65520) return sign | 0x7c00;
  let low = 0;
  let high = ASCENDING.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((ASCENDING[middle] as number) <= magnitude) low = middle;
    else high = middle;
  }
  const below = magnitude - (ASCENDING[low] as number);
  const above = (ASCENDING[high] as number) - magnitude;
  if (below === above) return sign | (low % 2 === 0 ? low : high);
  return sign | (below < above ? low : high);
}

const scratch = new DataView(new ArrayBuffer(4));
function floatOfBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}
function bitsOfFloat(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** Fails with the first few values whose half differs from the naive one. */
function expectNearest(values: Iterable<number>): void {
  const wrong: string[] = [];
  for (const value of values) {
    const [got, expected] = [floatToHalfBits(value), naiveHalfBits(value)];
    if (got !== expected && wrong.length < 5) {
      wrong.push(`${value}: 0x${got.toString(16)} instead of 0x${expected.toString(16)}`);
    }
  }
  expect(wrong).toEqual([]);
}

describe("halves", () => {
  it("decodes all 65,536, alone and in an array", () => {
    const table = halvesToFloats(Uint16Array.from({ length: 65_536 }, (_, bits) => bits));
    expect(table.length).toBe(65_536);
    const wrong: number[] = [];
    for (let bits = 0; bits < 65_536; bits++) {
      const expected = naiveHalf(bits);
      if (!Object.is(halfBitsToFloat(bits), expected)) wrong.push(bits);
      if (!Object.is(table[bits], expected)) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  it("survive the way to a float and back", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 65_536; bits++) {
      const value = halfBitsToFloat(bits);
      const back = floatToHalfBits(value);
      const same = Number.isNaN(value) ? Number.isNaN(halfBitsToFloat(back)) : back === bits;
      if (!same) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  it("are the nearest, ties to even: at and beside every midpoint", () => {
    function* midpoints(): Generator<number> {
      for (let bits = 0; bits < 0x7c00; bits++) {
        const next = bits + 1 < 0x7c00 ? (ASCENDING[bits + 1] as number) : 65536;
        const middle = ((ASCENDING[bits] as number) + next) / 2; // exact as a float
        const around = bitsOfFloat(middle);
        for (const value of [floatOfBits(around - 1), middle, floatOfBits(around + 1)]) {
          yield value;
          yield -value;
        }
      }
    }
    expectNearest(midpoints());
  });

  it("are the nearest for floats of any exponent", () => {
    const next = uniformSource(7);
    function* floats(): Generator<number> {
      for (let i = 0; i < 200_000; i++) {
        const value = floatOfBits(Math.floor(next() * 2 ** 32));
        if (!Number.isNaN(value)) yield value;
      }
    }
    expectNearest(floats());
  });

  it.each([
    ["0", 0, 0x0000],
    ["-0", -0, 0x8000],
    ["the smallest subnormal", 2 ** -24, 0x0001],
    ["half of it (tie to zero)", 2 ** -25, 0x0000],
    ["just above half of it", floatOfBits(bitsOfFloat(2 ** -25) + 1), 0x0001],
    ["a tie between subnormals", 1.5 * 2 ** -24, 0x0002],
    ["the largest subnormal", 1023 * 2 ** -24, 0x03ff],
    ["a subnormal rounding up to normal", 1023.5 * 2 ** -24, 0x0400],
    ["the smallest normal", 2 ** -14, 0x0400],
    ["a subnormal float", 2 ** -140, 0x0000],
    ["one third", 1 / 3, 0x3555],
    ["the largest", 65504, 0x7bff],
    ["below the overflow", floatOfBits(bitsOfFloat(65520) - 1), 0x7bff],
    ["the overflow", 65520, 0x7c00],
    ["-65536", -65536, 0xfc00],
    ["70000, whose exponent and digits would be a NaN's", 70000, 0x7c00],
    ["the largest float", 3.4028234663852886e38, 0x7c00],
    ["-infinity", -Infinity, 0xfc00],
  ])("%s", (_, value, bits) => {
    expect(floatToHalfBits(value)).toBe(bits);
  });

  it("keep NaN, whatever its payload", () => {
    for (const bits of [0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffffffff]) {
      expect(halfBitsToFloat(floatToHalfBits(floatOfBits(bits)))).toBeNaN();
    }
  });
});

describe("roundToDtype", () => {
  it("clamps halves as the kernels do, and keeps floats", () => {
    expect(roundToDtype(1e6, "f16")).toBe(F16_MAX);
    expect(roundToDtype(-Infinity, "f16")).toBe(-F16_MAX);
    expect(roundToDtype(0.1, "f16")).toBe(0.0999755859375);
    expect(roundToDtype(0.1, "f32")).toBe(Math.fround(0.1));
    expect(roundToDtype(1e6, "f32")).toBe(1e6);
  });

  it("knows the bytes of an element", () => {
    expect([dtypeByteLength("f32"), dtypeByteLength("f16")]).toEqual([4, 2]);
  });
});
