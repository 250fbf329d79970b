import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { F16_MAX, roundToDtype } from "../../../src/gpu/dtype.ts";
import type { Activation } from "../../../src/kernels/pointwise/activation.ts";
import { elementwise } from "../../../src/kernels/pointwise/elementwise.ts";
import { activation as activationReference } from "../../reference/activation.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

interface Case {
  readonly name: string;
  readonly count: number;
  readonly hasB: boolean;
  readonly scaleA: number;
  readonly scaleB: number;
  readonly activation: Activation;
  readonly magnitude: number;
}

const CASES: readonly Case[] = [
  {
    name: "one value",
    count: 1,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "none",
    magnitude: 1,
  },
  { name: "add", count: 259, hasB: true, scaleA: 1, scaleB: 1, activation: "none", magnitude: 3 },
  {
    name: "x0",
    count: 1024,
    hasB: true,
    scaleA: 1.1518,
    scaleB: -0.5716,
    activation: "none",
    magnitude: 3,
  },
  {
    name: "silu",
    count: 257,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "silu",
    magnitude: 12,
  },
  { name: "gelu", count: 257, hasB: false, scaleA: 1, scaleB: 0, activation: "gelu", magnitude: 8 },
  {
    name: "quick_gelu",
    count: 257,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "quick_gelu",
    magnitude: 8,
  },
  { name: "relu", count: 64, hasB: false, scaleA: 1, scaleB: 0, activation: "relu", magnitude: 8 },
  {
    name: "silu of huge values",
    count: 64,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "silu",
    magnitude: 60000,
  },
  {
    name: "gelu of huge values",
    count: 64,
    hasB: false,
    scaleA: 1,
    scaleB: 0,
    activation: "gelu",
    magnitude: 60000,
  },
  {
    name: "sums beyond the largest half",
    count: 64,
    hasB: true,
    scaleA: 1,
    scaleB: 1,
    activation: "none",
    magnitude: 60000,
  },
];

describe.each<DType>(["f32", "f16"])("elementwise %s", (dtype) => {
  it.each(CASES)("$name", async (testCase) => {
    const { count, hasB, scaleA, scaleB, activation, magnitude } = testCase;
    const round = (x: number) => roundToDtype(x, dtype);
    const a = uniformArray(count, 1, magnitude).map(round);
    const b = uniformArray(count, 2, magnitude).map(round);
    const quads = Math.ceil(count / 4);
    const plan = elementwise.plan({ dtype, quads, hasB, scaleA, scaleB, activation }, setup.caps);
    const bytes = packRows(a, count, dtype);
    const { y } = await runKernel(
      setup.gpu,
      plan,
      { a: bytes, ...(hasB ? { b: packRows(b, count, dtype) } : {}) },
      { y: bytes.byteLength },
    );
    const most = dtype === "f16" ? F16_MAX : Infinity;
    const expected = a
      .map((value, i) =>
        activationReference(activation, scaleA * value + (hasB ? scaleB * (b[i] as number) : 0)),
      )
      .map((value) => Math.min(Math.max(value, -most), most));
    expectClose(
      unpackRows(y as Uint8Array<ArrayBuffer>, count, dtype),
      expected,
      [count],
      pointwise(dtype),
    );
  });
});

it("refuses an empty tensor", () => {
  expect(() =>
    elementwise.check({
      dtype: "f32",
      quads: 0,
      hasB: false,
      scaleA: 1,
      scaleB: 0,
      activation: "none",
    }),
  ).toThrow("elementwise: quads must be an integer ≥ 1, got 0");
});
