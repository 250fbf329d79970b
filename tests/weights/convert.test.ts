import { describe, expect, test } from "vitest";
import { toFloat32 } from "../../src/weights/convert.ts";
import type { TensorDtype } from "../../src/weights/tensor-info.ts";
import { failureOf } from "./samples.ts";

/** Value of a binary float, straight from the definition. */
function naiveFloat(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits >> (exponentBits + fractionBits) ? -1 : 1;
  const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = bits & (2 ** fractionBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  return sign * (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias);
}

/** The bytes of an array, `shift` bytes into a larger buffer. */
function shifted(values: ArrayBufferView, shift: number): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const larger = new Uint8Array(bytes.byteLength + shift + 3).fill(0xaa);
  larger.set(bytes, shift);
  return larger.subarray(shift, shift + bytes.byteLength);
}

const allPatterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe("toFloat32", () => {
  test.each([
    ["F16", 5, 10],
    ["BF16", 8, 7],
  ] as const)("all 65536 patterns of %s", (dtype, exponentBits, fractionBits) => {
    for (const shift of [0, 1, 2, 3]) {
      const got = toFloat32({ name: "t", dtype }, shifted(allPatterns, shift));
      expect(got.length).toBe(65536);
      let wrong = 0;
      for (let bits = 0; bits < 65536; bits++) {
        // Object.is tells -0 from 0 and takes NaN for equal to NaN.
        if (!Object.is(got[bits], naiveFloat(bits, exponentBits, fractionBits))) wrong++;
      }
      expect(wrong).toBe(0);
    }
  });

  test("F32 at any alignment, bit for bit", () => {
    const values = Float32Array.of(0, -0, 1.5, -3e38, 1e-45, Infinity, -Infinity, NaN);
    for (const shift of [0, 1, 2, 3, 4]) {
      expect(toFloat32({ name: "t", dtype: "F32" }, shifted(values, shift))).toEqual(values);
    }
  });

  test("F64 at any alignment, rounded to nearest", () => {
    const values = Float64Array.of(0, -0, 0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, 1e300, 1e-46, NaN);
    const expected = Float32Array.from(values, Math.fround);
    expect(expected[3]).toBe(1);
    for (const shift of [0, 1, 4, 7, 8]) {
      expect(toFloat32({ name: "t", dtype: "F64" }, shifted(values, shift))).toEqual(expected);
    }
  });

  test("shares memory with aligned F32 only", () => {
    const bytes = new Uint8Array(16);
    expect(toFloat32({ name: "t", dtype: "F32" }, bytes).buffer).toBe(bytes.buffer);
    expect(toFloat32({ name: "t", dtype: "F32" }, bytes.subarray(1, 9)).buffer).not.toBe(
      bytes.buffer,
    );
    expect(toFloat32({ name: "t", dtype: "F16" }, bytes).buffer).not.toBe(bytes.buffer);
  });

  test("nothing gives nothing", () => {
    for (const dtype of ["F64", "F32", "F16", "BF16"] as const) {
      expect(toFloat32({ name: "t", dtype }, new Uint8Array(0)).length).toBe(0);
    }
  });

  test.each<[TensorDtype, number, RegExp]>([
    ["I64", 8, /dtype must be one of F64, F32, F16, BF16, got I64 \(tensor "t"\)/],
    ["BOOL", 1, /got BOOL/],
    ["F16", 3, /F16 takes multiples of 2 bytes, got 3/],
    ["F32", 6, /F32 takes multiples of 4 bytes, got 6/],
    ["F64", 12, /F64 takes multiples of 8 bytes, got 12/],
  ])("refuses %s of %i bytes", async (dtype, length, message) => {
    const info = { name: "t", dtype };
    expect(await failureOf(() => toFloat32(info, new Uint8Array(length)))).toMatch(message);
  });

  test("converts four million halves in well under a second", () => {
    const bytes = new Uint8Array(8 * 2 ** 20);
    const milliseconds = Array.from({ length: 5 }, () => {
      const start = performance.now();
      toFloat32({ name: "t", dtype: "F16" }, bytes);
      return performance.now() - start;
    });
    // The best of five: a busy machine stretches single ones.
    expect(Math.min(...milliseconds)).toBeLessThan(1000);
  });
});
