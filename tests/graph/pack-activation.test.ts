/** Values of the host as the device stores them, at the ends of the halves. */
import { expect, it } from "vitest";
import { halvesToFloats } from "../../src/gpu/dtype.ts";
import { cutChannels, packActivation, unpackActivation } from "../../src/graph/pack-activation.ts";

const VALUES = [65504, 65519, 65520, 70000, -1e9, 1 / 3] as const;

it("f16 rounds to nearest and stays finite; the padding is zero", () => {
  const bytes = packActivation(VALUES, 3, "f16");
  const stored = [...halvesToFloats(new Uint16Array(bytes.buffer))];
  expect(stored).toEqual([65504, 65504, 65504, 0, 65504, -65504, 0.333251953125, 0]);
});

it("f32 keeps the values, and reading takes the padding off", () => {
  const bytes = packActivation(VALUES, 3, "f32");
  expect(bytes.byteLength).toBe(2 * 16);
  const value = { id: 0, shape: [1, 2, 3] };
  expect([...unpackActivation(bytes, value, "f32")]).toEqual(VALUES.map(Math.fround));
  expect(() => packActivation(VALUES, 4, "f32")).toThrow("internal: 6 values are no rows of 4");
});

it("cutChannels takes a window of every row", () => {
  expect([...cutChannels(Float32Array.of(0, 1, 2, 3, 4, 5), 3, 1, 2)]).toEqual([1, 2, 4, 5]);
});
