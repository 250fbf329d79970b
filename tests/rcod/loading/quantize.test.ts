/** Floats to integers: scales of least squared error, ties, and the bytes of files. */
import { describe, expect, it } from "vitest";
import { floatToHalfBits, halfBitsToFloat } from "../../../src/gpu/dtype.ts";
import type { TensorSource } from "../../../src/graph/weights/device-weights.ts";
import type { IntegerStorage } from "../../../src/kernels/quantized/storage.ts";
import { integerLimit } from "../../../src/kernels/quantized/storage.ts";
import { integerTensors } from "../../../src/rcod/loading/integer-tensors.ts";
import {
  QuantizedMatrix,
  blockScale,
  integersOf,
  nearestInteger,
  scalesOf,
} from "../../../src/rcod/loading/quantize.ts";
import { WeightsError } from "../../../src/weights/index.ts";
import { tensorOf } from "../../graph/support.ts";
import { uniformArray, uniformSource } from "../../support/random.ts";

const SCHEMES = ["int8", "int4"] as const;

/** Squared error of a block with a scale, in doubles. */
function errorOf(block: Float32Array, scale: number, storage: IntegerStorage): number {
  const limit = integerLimit(storage);
  return block.reduce((sum, value) => {
    const q = Math.max(-limit, Math.min(limit, Math.round(value / scale)));
    return sum + (value - (scale > 0 ? q * scale : 0)) ** 2;
  }, 0);
}

/** Normal values, every fifth block with one of them far out. */
function testBlock(seed: number): Float32Array {
  const next = uniformSource(seed);
  const values = Float32Array.from({ length: 32 }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return 0.02 * radius * Math.cos(2 * Math.PI * next());
  });
  if (seed % 5 === 0) values[seed % 32] = 0.4;
  return values;
}

describe.each(SCHEMES)("the scale of a block of %s", (storage) => {
  const limit = integerLimit(storage);

  it("is never worse than that of the largest value, and on the whole better", () => {
    let [ours, byLargest] = [0, 0];
    for (let seed = 1; seed <= 200; seed++) {
      const values = testBlock(seed);
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const simple = errorOf(values, halfBitsToFloat(floatToHalfBits(largest / limit)), storage);
      const found = errorOf(values, halfBitsToFloat(blockScale(values, storage)), storage);
      expect(found, `block ${seed}`).toBeLessThanOrEqual(simple * (1 + 1e-12));
      if (seed % 5 === 0) continue; // few integers besides the one that is far out
      ours += found;
      byLargest += simple;
    }
    expect(ours / byLargest).toBeLessThan(storage === "int4" ? 0.92 : 0.995);
  });

  it("is near the best of all halves", () => {
    let [ours, best] = [0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const values = testBlock(seed);
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const last = floatToHalfBits((1.3 * largest) / limit);
      let least = Infinity;
      for (let bits = floatToHalfBits((0.5 * largest) / limit); bits <= last; bits++) {
        least = Math.min(least, errorOf(values, halfBitsToFloat(bits), storage));
      }
      ours += errorOf(values, halfBitsToFloat(blockScale(values, storage)), storage);
      best += least;
    }
    expect(ours / best).toBeLessThan(1.05);
  });

  it("finds values that are on a grid again", () => {
    const scale = halfBitsToFloat(0x1c01);
    const values = Float32Array.from(
      { length: 32 },
      (_, i) => scale * ((i % (2 * limit + 1)) - limit),
    );
    values[5] = scale * limit;
    expect(blockScale(values, storage)).toBe(0x1c01);
  });

  it("is zero for zeros, and exact for one value", () => {
    expect(blockScale(new Float32Array(32), storage)).toBe(0);
    const one = new Float32Array(32);
    one[7] = -limit / 64;
    expect(halfBitsToFloat(blockScale(one, storage))).toBe(1 / 64);
  });
});

it("rounds to the nearest integer, halves away from zero, and never beyond the largest", () => {
  const values = [0.5, -0.5, 1.49, -1.5, 2.5, 200, -200];
  expect(values.map((value) => nearestInteger(value, 1, 127) + 0)).toEqual([
    1, -1, 1, -2, 3, 127, -127,
  ]);
  expect(nearestInteger(3, 0, 127)).toBe(0);
});

describe("the tensors of a file", () => {
  it("are the integers and a scale for each output channel, block and tap", () => {
    expect(integerTensors([6, 70, 3, 3], "int8")).toEqual({
      values: { dtype: "I8", shape: [6, 70, 3, 3] },
      scales: { dtype: "F16", shape: [6, 3, 3, 3] },
    });
    expect(integerTensors([6, 33], "int4")).toEqual({
      values: { dtype: "U8", shape: [6, 17] },
      scales: { dtype: "F16", shape: [6, 2] },
    });
    expect(integerTensors([6, 70], "int8/64").scales.shape).toEqual([6, 2]);
  });

  it("have the even channel of int4 in the lower half of a byte, and 8 for none", () => {
    const rows = Float32Array.from([7, -1, 3, -7, 0, 2].map((q) => q / 4));
    const scales = Uint16Array.from([floatToHalfBits(0.25), floatToHalfBits(0.25)]);
    const bytes = integersOf(rows, [2, 3], "int4", scales);
    expect([...bytes]).toEqual([15 + 16 * 7, 11 + 16 * 8, 1 + 16 * 8, 10 + 16 * 8]);
    expect([...integersOf(rows, [2, 3], "int8", scales)]).toEqual([7, 255, 3, 249, 0, 2]);
  });

  it("have a scale for each tap of its own", () => {
    const rows = Float32Array.from([1, 100, -1, 50]); // [1, 2, 1, 2]
    const scales = scalesOf(rows, [1, 2, 1, 2], "int8");
    expect(scales.length).toBe(2);
    expect(halfBitsToFloat(scales[0] as number)).toBeCloseTo(1 / 127, 5);
    expect(halfBitsToFloat(scales[1] as number)).toBeCloseTo(100 / 127, 2);
    expect([...integersOf(rows, [1, 2, 1, 2], "int8", scales)]).toEqual([127, 127, 129, 64]);
  });

  it.each(["int8", "int4"] as const)("of %s have the error of blocks of 64", (scheme) => {
    const rows = Float32Array.from([...testBlock(1), ...testBlock(2), ...testBlock(3)]);
    const shape = [1, 96];
    const storage = `${scheme}/64` as const;
    const scales = scalesOf(rows, shape, storage);
    const blocks = [rows.slice(0, 64), rows.slice(64)]; // the last one is short
    expect([...scales]).toEqual(blocks.map((block) => blockScale(block, storage)));
    const bytes = integersOf(rows, shape, storage, scales);
    const limit = integerLimit(storage);
    const expected = blocks.flatMap((block, i) =>
      Array.from(block, (w) => nearestInteger(w, halfBitsToFloat(scales[i] as number), limit)),
    );
    const stored =
      scheme === "int8"
        ? [...new Int8Array(bytes.buffer)]
        : Array.from(bytes, (byte) => [(byte & 15) - 8, (byte >> 4) - 8]).flat();
    expect(stored.map((q) => q + 0)).toEqual(expected.map((q) => q + 0));
  });

  it.each(SCHEMES)("of %s are the same whichever is written first", async (storage) => {
    const shape = [9, 40, 3, 3];
    const weight = { name: "conv.weight", shape, layout: "matrix" } as const;
    const values = uniformArray(9 * 40 * 9, 3);
    const source: TensorSource = { tensor: () => tensorOf(values, shape), lora: () => null };
    const all = async (pieces: AsyncIterable<Uint8Array>): Promise<number[]> => {
      const bytes: number[] = [];
      for await (const piece of pieces) bytes.push(...piece);
      return bytes;
    };
    const matrix = new QuantizedMatrix(source, weight, storage);
    const first = [await all(matrix.scales()), await all(matrix.integers())];
    const other = new QuantizedMatrix(source, weight, storage);
    const integers = await all(other.integers());
    expect([await all(other.scales()), integers]).toEqual(first);
    expect(first[0]?.length).toBe(2 * 9 * 2 * 9);
    expect(first[1]?.length).toBe(9 * (storage === "int8" ? 40 : 20) * 9);
  });

  it("are refused for values that are no finite numbers or no halves", async () => {
    for (const bad of [NaN, Infinity, 7e4]) {
      const source = { tensor: () => tensorOf(Float64Array.of(1, bad), [1, 2]), lora: () => null };
      const weight = { name: "to_q.weight", shape: [1, 2], layout: "matrix" } as const;
      const matrix = new QuantizedMatrix(source, weight, "int8");
      await expect(matrix.scales().next()).rejects.toThrow(WeightsError);
    }
  });
});
