import { describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import type { LinearProblem } from "../../../src/kernels/contraction/linear.ts";
import { linear, linearOutChannels } from "../../../src/kernels/contraction/linear.ts";
import { MATRIX_CAPS } from "../../support/matrix-caps.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";

const SOFTWARE: Caps = { ...BASELINE_CAPS, isSoftware: true };
const GEGLU = { ...PLAIN_EPILOGUE, geglu: true };

const PROBLEM: LinearProblem = {
  dtype: "f16",
  rows: 4096,
  inChannels: [320],
  outChannels: 320,
  rowsPerImage: 4096,
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  layerNorm: null,
  epilogue: PLAIN_EPILOGUE,
};

describe("linear check", () => {
  const rejected: readonly (readonly [Partial<LinearProblem>, string])[] = [
    [
      { rows: 0 },
      "linear: sizes must be integers ≥ 1, got rows 0, in [320], out 320, rowsPerImage 4096",
    ],
    [
      { outChannels: 2.5 },
      "linear: sizes must be integers ≥ 1, got rows 4096, in [320], out 2.5, rowsPerImage 4096",
    ],
    [
      { rowsPerImage: 0 },
      "linear: sizes must be integers ≥ 1, got rows 4096, in [320], out 320, rowsPerImage 0",
    ],
    [{ inChannels: [] }, "linear: takes one or two sources, got 0"],
    [{ inChannels: [4, 4, 4] }, "linear: takes one or two sources, got 3"],
    [
      { inChannels: [6, 4] },
      "linear: the first of two sources must have a multiple of 4 channels, got 6. Concatenate by copy",
    ],
    [
      { epilogue: { ...GEGLU, statistics: "rows" } },
      "linear: GEGLU excludes channelAdd, residual, activation and statistics",
    ],
    [
      { inputNorm: "affine", rows: 8, rowsPerImage: 4 },
      "linear: normalises one image while loading, got 2",
    ],
    [{ epilogue: GEGLU, outChannels: 7 }, "linear: GEGLU needs an even number of columns, got 7"],
    ...(["channelAdd", "residual"] as const).map(
      (key) =>
        [
          { epilogue: { ...GEGLU, [key]: true } },
          "linear: GEGLU excludes channelAdd, residual, activation and statistics",
        ] as const,
    ),
    [
      { epilogue: { ...GEGLU, activation: "silu" } },
      "linear: GEGLU excludes channelAdd, residual, activation and statistics",
    ],
  ];
  it.each(rejected)("refuses %j", (change, message) => {
    const problem = { ...PROBLEM, ...change };
    expect(() => linear.check(problem)).toThrow(ShapeError);
    expect(() => linear.check(problem)).toThrow(message);
    expect(() => linear.plan(problem, BASELINE_CAPS)).toThrow(message);
  });
});

describe("linear select", () => {
  const geglu = { epilogue: GEGLU };
  const large = { inChannels: [640], outChannels: 640 };
  it.each([
    ["a GPU", BASELINE_CAPS, {}, "tiled"],
    ["a GPU, GEGLU", BASELINE_CAPS, geglu, "tiled"],
    ["a GPU with matrix units", MATRIX_CAPS, {}, "matrix"],
    ["a GPU with matrix units, GEGLU", MATRIX_CAPS, geglu, "matrix"],
    ["a GPU with matrix units, f32", MATRIX_CAPS, { dtype: "f32" }, "tiled"],
    ["a GPU with matrix units, one row", MATRIX_CAPS, { rows: 1 }, "register-1x2"],
    ["software with matrix units", { ...MATRIX_CAPS, isSoftware: true }, large, "register-8x4"],
    ["a GPU, one row", BASELINE_CAPS, { rows: 1 }, "register-1x2"],
    ["software", SOFTWARE, large, "register-8x4"],
    ["software, little work", SOFTWARE, {}, "register-8x2"],
    ["software, a block half full", SOFTWARE, { ...large, outChannels: 24 }, "register-8x2"],
    ["software, one quad of columns", SOFTWARE, { outChannels: 4 }, "register-8x2"],
    ["software, GEGLU of one quad", SOFTWARE, { ...geglu, outChannels: 8 }, "register-8x2"],
    ["software, GEGLU of one column", SOFTWARE, { ...geglu, outChannels: 2 }, "register-8x2"],
    ["software, three rows of GEGLU", SOFTWARE, { ...geglu, rows: 3 }, "register-8x2"],
    ["software, four rows", SOFTWARE, { rows: 4 }, "register-8x2"],
  ] as const)("%s", (_, caps, change, variant) => {
    const problem = { ...PROBLEM, ...change };
    expect(linear.select(problem, caps)).toBe(variant);
    expect(linear.plan(problem, caps).variant).toBe(variant);
  });
});

describe("linear statistics", () => {
  const measured = { ...PROBLEM, epilogue: { ...PLAIN_EPILOGUE, statistics: "channels" } } as const;

  it("come from whole tiles of one image, as tiled", () => {
    const problem = { ...measured, rows: 128, rowsPerImage: 128 };
    const [step] = linear.plan(problem, BASELINE_CAPS, "tiled").dispatches;
    expect(step?.operands.at(-1)?.name).toBe("stats");
    const message =
      'linear: takes statistics as "tiled" or "matrix" of one image of whole tiles of 64 rows';
    expect(() => linear.plan(problem, BASELINE_CAPS, "naive")).toThrow(message);
    for (const change of [{ rows: 127, rowsPerImage: 127 }, { rowsPerImage: 64 }]) {
      expect(() => linear.plan({ ...problem, ...change }, BASELINE_CAPS)).toThrow(message);
    }
  });
});

describe("linear plan", () => {
  /** Those that are one dispatch. */
  const variants = linear.variants.filter((variant) => !variant.endsWith("-split"));

  it.each(variants)("%s: operands in binding order", (variant) => {
    const epilogue = {
      ...PLAIN_EPILOGUE,
      channelAdd: true,
      residual: true,
      activation: "relu",
    } as const;
    const problem = { ...PROBLEM, inChannels: [8, 4], epilogue };
    const [step] = linear.plan(problem, MATRIX_CAPS, variant).dispatches;
    const names = step?.operands.map(({ name }) => name);
    expect(names).toEqual(["x0", "x1", "weight", "bias", "channel_add", "residual", "y"]);
    expect(step?.label).toBe(`linear/${variant}`);
  });

  it.each(variants)("%s: sizes are no part of the shader", (variant) => {
    const codeOf = (problem: LinearProblem) =>
      linear.plan(problem, MATRIX_CAPS, variant).dispatches[0]?.code;
    const other = { rows: 7, inChannels: [37], outChannels: 65, rowsPerImage: 2 };
    expect(codeOf({ ...PROBLEM, ...other })).toBe(codeOf(PROBLEM));
  });

  it("tiled-split: products, then their sums in order", () => {
    const problem = { ...PROBLEM, rows: 64, inChannels: [1280], outChannels: 1280 };
    const { dispatches, scratch } = linear.plan(problem, BASELINE_CAPS, "tiled-split");
    expect(dispatches.map(({ operands }) => operands.map(({ name }) => name))).toEqual([
      ["x0", "weight", "partial"],
      ["partial", "bias", "bias", "bias", "y"], // in place of channel_add and residual
    ]);
    expect(dispatches.map(({ workgroups }) => workgroups)).toEqual([
      [20, 1, 10], // 80 steps in slices of 8
      [320, 1, 1],
    ]);
    expect(scratch).toEqual([{ name: "partial", byteLength: 10 * 64 * 1280 * 4 }]);
    expect(() => linear.plan(PROBLEM, BASELINE_CAPS, "tiled-split")).toThrow(
      "linear: tiled-split is for few tiles with a long sum, got 4096 × 320 × 1 outputs with sums of 320",
    );
  });

  it("stays within 65,535 workgroups a dimension for a million rows", () => {
    const problem = { ...PROBLEM, rows: 2 ** 20, inChannels: [1280], outChannels: 1280 };
    for (const variant of variants) {
      const [step] = linear.plan(problem, MATRIX_CAPS, variant).dispatches;
      expect(Math.max(...(step?.workgroups ?? [Infinity]))).toBeLessThanOrEqual(65_535);
    }
  });
});

describe("linear cost", () => {
  it("halves the output for GEGLU but not the arithmetic", () => {
    const problem = { ...PROBLEM, outChannels: 2560, epilogue: GEGLU };
    expect(linearOutChannels(problem)).toBe(1280);
    expect(linear.cost(problem)).toEqual({
      flops: 2 * 4096 * 320 * 2560,
      bytesRead: 4096 * 320 * 2 + 320 * 2560 * 2,
      bytesWritten: 4096 * 1280 * 2,
    });
  });

  it("counts both sources and the residual", () => {
    const epilogue = { ...PLAIN_EPILOGUE, residual: true };
    const problem = { ...PROBLEM, dtype: "f32", rows: 10, inChannels: [8, 5], epilogue } as const;
    expect(linear.cost(problem)).toEqual({
      flops: 2 * 10 * 13 * 320,
      bytesRead: 10 * 13 * 4 + 16 * 320 * 4 + 10 * 320 * 4,
      bytesWritten: 10 * 320 * 4,
    });
  });
});
