import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import type { PackWeightProblem } from "../../../src/kernels/contraction/pack-weight.ts";
import {
  packWeight,
  packedColumnQuads,
  packedWeightByteLength,
} from "../../../src/kernels/contraction/pack-weight.ts";
import { packWeight as packReference, packedRows } from "../../reference/pack-weight.ts";

const PROBLEM: PackWeightProblem = {
  dtype: "f16",
  sourceDType: "F16",
  outChannels: 320,
  inChannels: 4,
  taps: 9,
  geglu: false,
  lora: null,
  upsample: false,
  place: null,
  roundToHalf: false,
};
const LORA = { rank: 4, scaling: 1, aDType: "F32", bDType: "F32" } as const;

describe("packWeight check", () => {
  const rejected: readonly (readonly [Partial<PackWeightProblem>, string])[] = [
    [{ taps: 0 }, "packWeight: sizes must be integers ≥ 1, got out 320, in 4, taps 0"],
    [{ inChannels: 1.5 }, "packWeight: sizes must be integers ≥ 1, got out 320, in 1.5, taps 9"],
    [{ geglu: true, outChannels: 7 }, "packWeight: GEGLU needs an even number of rows, got 7"],
    [{ upsample: true, taps: 4 }, "packWeight: upsampling needs a kernel of 9 taps, got 4"],
    [
      { place: { firstQuad: 0, columnQuads: 79 } },
      "packWeight: a place needs firstQuad ≥ 0 and columnQuads ≥ 80, got 0 and 79",
    ],
    [{ lora: { ...LORA, rank: 0 } }, "packWeight: LoRA rank must be an integer ≥ 1, got 0"],
  ];
  it.each(rejected)("refuses %j", (change, message) => {
    const problem = { ...PROBLEM, ...change };
    expect(() => packWeight.check(problem)).toThrow(ShapeError);
    expect(() => packWeight.check(problem)).toThrow(message);
    expect(() => packWeight.plan(problem, BASELINE_CAPS)).toThrow(message);
  });
});

describe("packed sizes", () => {
  it.each([
    [1, false, 1],
    [4, false, 1],
    [5, false, 2],
    [2, true, 2],
    [8, true, 2],
    [10, true, 4],
    [70, true, 18],
    [70, false, 18],
    [66, true, 18],
    [66, false, 17],
  ])("%i columns, geglu %s: %i quads", (outChannels, geglu, quads) => {
    expect(packedColumnQuads(outChannels, geglu)).toBe(quads);
    expect(packedRows(outChannels, geglu)).toHaveLength(quads * 4);
  });

  it.each([
    ["f16", 320, 4, 9, false, 9 * 1 * 80 * 32],
    ["f32", 320, 4, 9, false, 9 * 1 * 80 * 64],
    ["f32", 1, 1, 1, false, 64],
    ["f16", 10, 6, 1, true, 2 * 4 * 32],
  ] as const)("%s [%i,%i,%i] geglu %s", (dtype, outChannels, inChannels, taps, geglu, bytes) => {
    const problem = { dtype, outChannels, inChannels, taps, geglu, upsample: false };
    expect(packedWeightByteLength(problem)).toBe(bytes);
    const weight = new Float64Array(outChannels * inChannels * taps);
    const elements = packReference(weight, outChannels, inChannels, taps, geglu).length;
    expect(elements * (dtype === "f32" ? 4 : 2)).toBe(bytes);
  });
});

it("16 taps when folded with an upsampling", () => {
  expect(packedWeightByteLength({ ...PROBLEM, upsample: true })).toBe(16 * 1 * 80 * 32);
});

describe("packWeight plan and cost", () => {
  it("binds the LoRA factors between source and result", () => {
    const namesOf = (problem: PackWeightProblem) =>
      packWeight.plan(problem, BASELINE_CAPS).dispatches[0]?.operands.map(({ name }) => name);
    expect(namesOf(PROBLEM)).toEqual(["source", "packed"]);
    expect(namesOf({ ...PROBLEM, lora: LORA })).toEqual(["source", "lora_a", "lora_b", "packed"]);
  });

  it("stays within 65,535 workgroups a dimension for the largest weight", () => {
    const problem = { ...PROBLEM, outChannels: 1280, inChannels: 2560 };
    const [step] = packWeight.plan(problem, BASELINE_CAPS).dispatches;
    expect(step?.workgroups).toEqual([57_600, 2, 1]);
  });

  it("counts the source, the factors and the result once", () => {
    expect(packWeight.cost(PROBLEM)).toEqual({
      flops: 0,
      bytesRead: 320 * 4 * 9 * 2,
      bytesWritten: 9 * 80 * 32,
    });
    const bytesRead = 320 * 4 * 9 * 2 + 4 * 4 * 9 * 4 + 320 * 4 * 4;
    expect(packWeight.cost({ ...PROBLEM, lora: LORA })).toEqual({
      flops: 2 * 320 * 4 * 9 * 4,
      bytesRead,
      bytesWritten: 9 * 80 * 32,
    });
  });
});
