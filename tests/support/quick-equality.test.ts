import { expect, it } from "vitest";

it("finds typed arrays equal that are, and no others", () => {
  const values = Float32Array.of(1, Number.NaN, -0);
  expect(values).toEqual(Float32Array.of(1, Number.NaN, -0));
  expect({ data: values.subarray(1) }).toEqual({ data: Float32Array.of(Number.NaN, -0) });
  expect(values).not.toEqual(Float32Array.of(1, Number.NaN, -0, 0));
  expect(values).not.toEqual(Float32Array.of(1, Number.NaN, 1));
  expect(Uint8Array.of(1, 2)).not.toEqual(Uint8ClampedArray.of(1, 2));
  expect(Uint8Array.of(1, 0)).not.toEqual(Uint16Array.of(1));
});
