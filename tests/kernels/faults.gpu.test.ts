/** Values that a shader cannot store as they are, counted where they are stored. */
import { describe, expect, it } from "vitest";
import type { DType } from "../../src/gpu/dtype.ts";
import { FAULTS } from "../../src/gpu/wgsl.ts";
import { packWeight } from "../../src/kernels/contraction/pack-weight.ts";
import { elementwise } from "../../src/kernels/pointwise/elementwise.ts";
import { packRows, runKernel, useGpu } from "../support/gpu.ts";

const setup = useGpu();

/** 65,519.996 rounds to the largest half, 65,520 to infinity. */
const VALUES = [0, -1, 65504, -65519.996, 65520, -1e5, 3e38, NaN, -NaN, Infinity, -Infinity, 1e-30];
const counting = () => ({ ...setup.caps, countsFaults: true });

/** Counts as `[not finite, beyond f16]`. */
async function countsOf(dtype: DType, values: readonly number[], scale: number): Promise<number[]> {
  const quads = Math.ceil(values.length / 4);
  const plan = elementwise.plan(
    { dtype, quads, hasB: false, scaleA: scale, scaleB: 0, activation: "none" },
    counting(),
  );
  const a = packRows(values, 4, dtype);
  const { faults } = await runKernel(
    setup.gpu,
    plan,
    { a, [FAULTS.name]: new Uint8Array(8) },
    { y: a.byteLength, [FAULTS.name]: 8 },
  );
  return [...new Uint32Array(faults?.buffer ?? new ArrayBuffer(0))];
}

describe("counted at a store", () => {
  it("f32: what is no finite number", async () => {
    expect(await countsOf("f32", VALUES, 1)).toEqual([4, 0]);
    expect(await countsOf("f32", [1e38, 0, 0, 0, -1e38, 2e38, 1, 1], 4)).toEqual([3, 0]);
    expect(
      await countsOf(
        "f32",
        Array.from({ length: 4 * 300 }, () => 3e38),
        1,
      ),
    ).toEqual([0, 0]);
    expect(
      await countsOf(
        "f32",
        Array.from({ length: 4 * 300 }, () => 3e38),
        2,
      ),
    ).toEqual([1200, 0]);
  });

  it("f16: also what it cannot hold; all of an invocation count as the worst of them", async () => {
    // Quads, each stored by an invocation of its own; the factor takes halves out of range.
    const quads = [0, 1, 2, 3, 4094, -4095, 4096, -5000, 65504, -65504, 1, 0, 4094.5, 0, 0, 0];
    expect(await countsOf("f16", quads, 16)).toEqual([0, 5]);
    expect(await countsOf("f16", [NaN, 5000, 0, 0, 5000, 0, 0, 0], 16)).toEqual([2, 1]);
    expect(await countsOf("f16", [Infinity, 1, 1, 1], 0.5)).toEqual([1, 0]);
  });
});

it.each(["f32", "f16"] as const)(
  "weights packed as %s, before rounding clamps them",
  async (dtype) => {
    const problem = {
      dtype,
      sourceDType: "F32",
      outChannels: 4,
      inChannels: 3,
      taps: 1,
      geglu: false,
      upsample: false,
      lora: null,
      place: null,
      roundToHalf: false,
    } as const;
    const plan = packWeight.plan(problem, counting());
    const source = Float32Array.from([1, 2, NaN, 65504, 65519, 7, 0, -7e4, 3, Infinity, 9, 1e9]);
    const length = 4 * 4 * (dtype === "f32" ? 4 : 2);
    const { faults } = await runKernel(
      setup.gpu,
      plan,
      { source: new Uint8Array(source.buffer), [FAULTS.name]: new Uint8Array(8) },
      { packed: length, [FAULTS.name]: 8 },
    );
    const [odd = 0, large = 0] = new Uint32Array(faults?.buffer ?? new ArrayBuffer(0));
    expect(odd).toBeGreaterThanOrEqual(2);
    expect(large > 0).toBe(dtype === "f16");
  },
);

it("leaves shaders as they are where nobody counts, or no binding is left", () => {
  const problem = {
    dtype: "f16",
    quads: 1,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "none",
  } as const;
  const plain = elementwise.plan(problem, setup.caps);
  const limits = { ...setup.caps.limits, maxStorageBuffersPerShaderStage: 2 };
  const full = elementwise.plan(problem, { ...counting(), limits });
  expect(full.dispatches[0]?.code).toBe(plain.dispatches[0]?.code);
  expect(full.dispatches[0]?.operands).toHaveLength(2);
});
