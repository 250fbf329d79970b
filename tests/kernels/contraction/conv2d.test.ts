import { describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import type { Conv2dProblem, Conv2dVariant } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d, conv2dOutputSize } from "../../../src/kernels/contraction/conv2d.ts";
import { MATRIX_CAPS } from "../../support/matrix-caps.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";

const SOFTWARE: Caps = { ...BASELINE_CAPS, isSoftware: true };

/** unet.conv_in at 64×64 latents. */
const CONV_IN: Conv2dProblem = {
  dtype: "f16",
  batch: 1,
  inHeight: 64,
  inWidth: 64,
  inChannels: [4],
  outChannels: 320,
  kernelSize: [3, 3],
  stride: 1,
  padding: [1, 1, 1, 1],
  upsample: false,
  shortcutChannels: [],
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  epilogue: PLAIN_EPILOGUE,
};

const LEAST_MATRIX_CAPS = { ...MATRIX_CAPS, limits: BASELINE_CAPS.limits };

describe("conv2dOutputSize", () => {
  it.each([
    [[64, 64], [3, 3], 1, [1, 1, 1, 1], [64, 64]],
    [[64, 63], [3, 3], 2, [1, 1, 1, 1], [32, 32]],
    [[64, 63], [3, 3], 2, [0, 1, 0, 1], [32, 31]],
    [[224, 224], [14, 14], 14, [0, 0, 0, 0], [16, 16]],
    [[225, 237], [14, 14], 14, [0, 0, 0, 0], [16, 16]],
    [[1, 1], [1, 1], 1, [0, 0, 0, 0], [1, 1]],
    [[5, 9], [1, 3], 1, [0, 0, 2, 0], [5, 9]],
  ] as const)("%j by %j, stride %i, padding %j", (size, kernelSize, stride, padding, expected) => {
    const [inHeight, inWidth] = size;
    const upsample = false;
    expect(conv2dOutputSize({ inHeight, inWidth, kernelSize, stride, padding, upsample })).toEqual(
      expected,
    );
  });

  it("doubles the map when upsampling", () => {
    expect(conv2dOutputSize({ ...CONV_IN, inWidth: 7, upsample: true })).toEqual([128, 14]);
  });
});

describe("conv2d check", () => {
  const rejected: readonly (readonly [Partial<Conv2dProblem>, string])[] = [
    [
      { inHeight: 0 },
      "conv2d: sizes must be integers ≥ 1, got input [1, 0, 64, 4], weight [320, …, 3, 3], stride 1",
    ],
    [{ stride: 1.5 }, "stride 1.5"],
    [{ inChannels: [8, 0] }, "got input [1, 64, 64, 8 + 0]"],
    [{ padding: [0, -1, 0, 0] }, "conv2d: padding must be integers ≥ 0, got [0, -1, 0, 0]"],
    [{ padding: [0, 0.5, 0, 0] }, "conv2d: padding must be integers ≥ 0, got [0, 0.5, 0, 0]"],
    [{ inChannels: [] }, "conv2d: takes one or two sources, got 0"],
    [{ inChannels: [4, 4, 4] }, "conv2d: takes one or two sources, got 3"],
    [
      { inChannels: [6, 4] },
      "conv2d: the first of two sources must have a multiple of 4 channels, got 6. Concatenate by copy",
    ],
    [{ epilogue: { ...PLAIN_EPILOGUE, geglu: true } }, "conv2d: GEGLU belongs to linear"],
    [
      { upsample: true, stride: 2 },
      "conv2d: after upsampling the kernel must be 3×3 with stride 1 and padding 1, got [3, 3], stride 2, padding [1, 1, 1, 1]",
    ],
    [{ upsample: true, padding: [0, 1, 0, 1] }, "stride 1, padding [0, 1, 0, 1]"],
    [{ upsample: true, kernelSize: [3, 1] }, "got [3, 1], stride 1"],
    [
      { shortcutChannels: [6, 4] },
      "conv2d: a shortcut takes one or two sources, the first of two a multiple of 4 channels, got 6 + 4",
    ],
    [{ inputNorm: "affine", batch: 2 }, "conv2d: normalises one image while loading, got 2"],
    [
      {
        inChannels: [4, 4],
        shortcutChannels: [4, 4],
        inputNorm: "affine",
        epilogue: { ...PLAIN_EPILOGUE, channelAdd: true },
      },
      "conv2d: takes at most 8 operands, got 9",
    ],
    // Channel 11 of the output is padding, channel 19 of the row is not.
    [
      {
        outChannels: 11,
        epilogue: { ...PLAIN_EPILOGUE, channelAdd: true, channelAddWindow: [8, 24] },
      },
      "conv2d: the window of channelAdd must begin and end at multiples of 4, or end with its row, and hold 11 channels, got 8 of 24",
    ],
    [{ shortcutChannels: [4, 4, 4] }, "conv2d: a shortcut takes one or two sources"],
    [
      { shortcutChannels: [4], epilogue: { ...PLAIN_EPILOGUE, residual: true } },
      "conv2d: a shortcut excludes upsampling, residual and activation",
    ],
    [
      { shortcutChannels: [4], epilogue: { ...PLAIN_EPILOGUE, activation: "silu" } },
      "conv2d: a shortcut excludes",
    ],
    [{ shortcutChannels: [4], upsample: true }, "conv2d: a shortcut excludes"],
    [
      { shortcutChannels: [4], stride: 2 },
      "conv2d: a shortcut needs an output as large as the input, got [32, 32] and [64, 64]",
    ],
    [
      { inHeight: 2, padding: [0, 0, 1, 1] },
      "conv2d: the kernel [3, 3] must fit the padded input, got [2, 64] with padding [0, 0, 1, 1]",
    ],
  ];
  it.each(rejected)("refuses %j", (change, message) => {
    const problem = { ...CONV_IN, ...change };
    expect(() => conv2d.check(problem)).toThrow(ShapeError);
    expect(() => conv2d.check(problem)).toThrow(message);
    expect(() => conv2d.plan(problem, BASELINE_CAPS)).toThrow(message);
  });

  it("accepts an odd second source", () => {
    expect(() => conv2d.check({ ...CONV_IN, inChannels: [4, 3] })).not.toThrow();
  });
});

describe("conv2d select", () => {
  it.each([
    ["a GPU", BASELINE_CAPS, 320, "patch"],
    ["a GPU, few columns", BASELINE_CAPS, 3, "tiled"],
    ["a GPU with matrix units", MATRIX_CAPS, 320, "matrix-patch-8"],
    ["and WebGPU's least workgroup memory", LEAST_MATRIX_CAPS, 320, "matrix"],
    ["software with matrix units", { ...MATRIX_CAPS, isSoftware: true }, 320, "register-8x2"],
    ["software", SOFTWARE, 320, "register-8x2"],
    ["software, two quads", SOFTWARE, 5, "register-8x2"],
    ["software, one quad", SOFTWARE, 4, "register-8x2"],
  ] as const)("%s: %3$s", (_, caps, outChannels, variant) => {
    const problem = { ...CONV_IN, outChannels };
    expect(conv2d.select(problem, caps)).toBe(variant);
    expect(conv2d.plan(problem, caps).variant).toBe(variant);
  });

  it.each<[string, Partial<Conv2dProblem>, Conv2dVariant]>([
    ["a map of 64 tiles", { inHeight: 32, inWidth: 32 }, "winograd"],
    ["fewer", { inHeight: 32, inWidth: 28, inChannels: [640], outChannels: 640 }, "register-8x4"],
    ["fewer and little work", { inHeight: 32, inWidth: 28 }, "register-8x2"],
    ["narrow maps", { inChannels: [24], outChannels: 24 }, "register-8x2"],
    ["two sources", { inChannels: [32, 32] }, "winograd"],
    ["GELU", { epilogue: { ...PLAIN_EPILOGUE, activation: "gelu" } }, "register-8x4"],
    ["stride 2", { stride: 2 }, "register-8x4"],
    ["stride 2, little work", { stride: 2, outChannels: 32 }, "register-8x2"],
    ["one quad", { inChannels: [512], outChannels: 4 }, "register-8x1"],
    ["one quad, little work", { inChannels: [4], outChannels: 4 }, "register-8x2"],
    ["a doubled map", { upsample: true }, "register-8x4"],
    ["a shortcut", { shortcutChannels: [8] }, "winograd"],
    ["a norm of the input", { inputNorm: "affine" }, "register-8x4"],
    ["weights of 229 MB", { inChannels: [1280], outChannels: 1280 }, "register-8x4"],
  ])("software, %s", (_, change, variant) => {
    const map = { inHeight: 256, inWidth: 256, inChannels: [64], outChannels: 64 };
    const problem = { ...CONV_IN, ...map, ...change };
    expect(conv2d.select(problem, SOFTWARE)).toBe(variant);
    expect(conv2d.plan(problem, SOFTWARE).variant).toBe(variant);
  });

  it.each<[string, Partial<Conv2dProblem>, Conv2dVariant]>([
    ["a small map", { inHeight: 16, inWidth: 16 }, "matrix-patch-4"],
    ["half of a patch", { inHeight: 8, inWidth: 8 }, "matrix-patch-4"],
    ["less", { inHeight: 8, inWidth: 7 }, "matrix"],
    ["doubled to 32²", { inHeight: 16, inWidth: 16, upsample: true }, "matrix-patch-8"],
    ["stride 2", { stride: 2 }, "matrix"],
    ["1×1", { kernelSize: [1, 1], padding: [0, 0, 0, 0] }, "matrix"],
    ["f32", { dtype: "f32" }, "patch"],
  ])("matrix units, %s", (_, change, variant) => {
    expect(conv2d.select({ ...CONV_IN, outChannels: 320, ...change }, MATRIX_CAPS)).toBe(variant);
  });

  it.each<[string, Partial<Conv2dProblem>, Conv2dVariant]>([
    ["many patches", { inHeight: 512, inWidth: 512, outChannels: 3 }, "patch"],
    ["patches for half the cores", { inHeight: 32, inWidth: 32, outChannels: 640 }, "patch"],
    ["and for fewer", { inHeight: 16, inWidth: 16, outChannels: 1280 }, "tiled"],
    ["four phases", { inHeight: 16, inWidth: 16, outChannels: 1280, upsample: true }, "patch"],
    ["channels that pay for the transforms", { inChannels: [8, 5] }, "patch-winograd"],
    ["with a shortcut", { inChannels: [16], shortcutChannels: [8, 24] }, "patch-winograd"],
    ["many of a doubled map", { inChannels: [320], upsample: true }, "patch"],
    ["few patches of many", { inHeight: 16, inWidth: 16, inChannels: [1280] }, "tiled"],
    ["broken patches, 90 % in the map", { inWidth: 72 }, "patch"],
    ["71 %", { inHeight: 30, inWidth: 24, outChannels: 1280 }, "tiled"],
    ["71 % of a phase", { inHeight: 30, inWidth: 24, outChannels: 640, upsample: true }, "tiled"],
    ["stride 2", { stride: 2 }, "tiled"],
    ["5×5", { kernelSize: [5, 5], padding: [2, 2, 2, 2] }, "tiled"],
  ])("a GPU, %s", (_, change, variant) => {
    const problem = { ...CONV_IN, ...change };
    expect(conv2d.select(problem, BASELINE_CAPS)).toBe(variant);
    expect(conv2d.plan(problem, BASELINE_CAPS).variant).toBe(variant);
  });
});

describe("conv2d statistics", () => {
  const statistics = { ...PLAIN_EPILOGUE, statistics: "channels" } as const;

  it("binds at most 8 storage buffers, by leaving out what it has not", () => {
    const names = (change: Partial<Conv2dProblem>) =>
      conv2d
        .plan({ ...CONV_IN, epilogue: statistics, ...change }, BASELINE_CAPS, "tiled")
        .dispatches[0]?.operands.map(({ name }) => name);
    const epilogue = { ...statistics, channelAdd: true };
    expect(names({ inChannels: [8, 4], inputNorm: "affine-silu", epilogue })).toEqual([
      "x0",
      "x1",
      "weight",
      "bias",
      "channel_add",
      "norm",
      "y",
      "stats",
    ]);
    expect(names({ inputNorm: "affine-silu", shortcutChannels: [8, 4] })).toEqual([
      "x0",
      "weight",
      "bias",
      "shortcut0",
      "shortcut1",
      "norm",
      "y",
      "stats",
    ]);
    expect(names({})).toEqual(["x0", "weight", "bias", "bias", "bias", "y", "stats"]);
  });

  it("need whole tiles in every phase", () => {
    const plan = (change: Partial<Conv2dProblem>) => () =>
      conv2d.plan({ ...CONV_IN, epilogue: statistics, ...change }, BASELINE_CAPS, "tiled");
    expect(plan({ inHeight: 8, inWidth: 8, upsample: true })).not.toThrow();
    const message = "conv2d: takes statistics as";
    expect(plan({ inHeight: 4, inWidth: 8, upsample: true })).toThrow(message);
    expect(plan({ inHeight: 8, inWidth: 9 })).toThrow(message);
    expect(plan({ batch: 2 })).toThrow(message);
  });

  it("of patch need one image", () => {
    const refusal = (change: Partial<Conv2dProblem>) =>
      conv2d.refusal?.({ ...CONV_IN, epilogue: statistics, ...change }, BASELINE_CAPS, "patch");
    expect(refusal({ inHeight: 9, inWidth: 17, upsample: true })).toBeNull();
    expect(refusal({ batch: 2 })).toContain("takes statistics as");
  });
});

describe("conv2d plan", () => {
  /** Those that are one dispatch, for any problem with stride 1. */
  const variants = conv2d.variants.filter(
    (variant) => !variant.endsWith("-split") && variant !== "winograd",
  );

  it.each(variants)("%s: operands in binding order", (variant) => {
    const epilogue = {
      ...PLAIN_EPILOGUE,
      channelAdd: true,
      residual: true,
      activation: "silu",
    } as const;
    const problem = { ...CONV_IN, inChannels: [8, 4], epilogue };
    const [step] = conv2d.plan(problem, MATRIX_CAPS, variant).dispatches;
    const names = step?.operands.map(({ name }) => name);
    expect(names).toEqual(["x0", "x1", "weight", "bias", "channel_add", "residual", "y"]);
    expect(step?.label).toBe(`conv2d/${variant} 3x3`);
  });

  it("winograd: weights, input, products, output", () => {
    const epilogue = { ...PLAIN_EPILOGUE, channelAdd: true, residual: true } as const;
    const problem = { ...CONV_IN, inChannels: [8, 4], epilogue };
    const { dispatches } = conv2d.plan(problem, BASELINE_CAPS, "winograd");
    expect(dispatches.map(({ operands }) => operands.map(({ name }) => name))).toEqual([
      ["weight", "u"],
      ["x0", "x1", "v"],
      ["v", "u", "m"],
      ["m", "bias", "channel_add", "residual", "y"],
    ]);
  });

  it.each(variants)("%s: at most 8 storage buffers with a shortcut", (variant) => {
    const epilogue = { ...PLAIN_EPILOGUE, channelAdd: true };
    const problem = { ...CONV_IN, inChannels: [8, 4], shortcutChannels: [8, 4], epilogue };
    const [step] = conv2d.plan(problem, MATRIX_CAPS, variant).dispatches;
    expect(step?.operands.map(({ name }) => name)).toEqual([
      "x0",
      "x1",
      "weight",
      "bias",
      "channel_add",
      "shortcut0",
      "shortcut1",
      "y",
    ]);
    expect(step?.label).toBe(`conv2d/${variant} 3x3 + 1x1`);
  });

  it.each(variants)("%s: sizes are no part of the shader", (variant) => {
    const codeOf = (problem: Conv2dProblem) =>
      conv2d.plan(problem, MATRIX_CAPS, variant).dispatches[0]?.code;
    const other = { inHeight: 7, inWidth: 9, inChannels: [37], outChannels: 65, batch: 3 };
    const padding = [0, 1, 0, 1] as const;
    expect(codeOf({ ...CONV_IN, ...other, padding })).toBe(codeOf(CONV_IN));
  });

  it.each(["tiled", "naive"] as const)("%s: upsampling is no part of the shader", (variant) => {
    const [plain] = conv2d.plan(CONV_IN, BASELINE_CAPS, variant).dispatches;
    const [up] = conv2d.plan({ ...CONV_IN, upsample: true }, BASELINE_CAPS, variant).dispatches;
    expect(up?.code).toBe(plain?.code);
    expect([plain?.workgroups[2], up?.workgroups[2]]).toEqual([1, 4]);
  });

  it("tiled-split: products without the epilogue's operands, sums without the sources", () => {
    const problem = {
      ...CONV_IN,
      inHeight: 8,
      inWidth: 8,
      inChannels: [1280, 1280],
      outChannels: 1280,
      shortcutChannels: [640],
      epilogue: { ...PLAIN_EPILOGUE, channelAdd: true },
    };
    const { dispatches, scratch } = conv2d.plan(problem, BASELINE_CAPS, "tiled-split");
    expect(dispatches.map(({ operands }) => operands.map(({ name }) => name))).toEqual([
      ["x0", "x1", "weight", "shortcut0", "partial"],
      ["partial", "bias", "channel_add", "y"],
    ]);
    // 20 tiles, 9 · 160 + 40 steps of 16 channels: 13 slices are wanted.
    expect(dispatches.map(({ workgroups }) => workgroups)).toEqual([
      [20, 1, 13],
      [320, 1, 1],
    ]);
    expect(scratch).toEqual([{ name: "partial", byteLength: 13 * 64 * 1280 * 4 }]);
    const other = { ...problem, inHeight: 4, inChannels: [640, 644], outChannels: 65 };
    const codes = (p: Conv2dProblem) =>
      conv2d.plan(p, BASELINE_CAPS, "tiled-split").dispatches.map(({ code }) => code);
    expect(codes(other)).toEqual(codes(problem));
  });

  it("refuses what a variant is not for", () => {
    const refusal = (change: Partial<Conv2dProblem>, variant: Conv2dVariant) =>
      conv2d.refusal?.({ ...CONV_IN, ...change }, BASELINE_CAPS, variant);
    expect(refusal({ stride: 2 }, "patch")).toBe("patch is for stride 1, got 2");
    expect(refusal({ kernelSize: [5, 5] }, "patch")).toBe(
      "patch needs 17936 bytes of workgroup storage, got 16384",
    );
    expect(refusal({}, "patch")).toBeNull();
    expect(refusal({}, "matrix-patch-8")).toBe(
      "matrix units cannot be used: the WebGPU baseline has none",
    );
    expect(conv2d.refusal?.(CONV_IN, LEAST_MATRIX_CAPS, "matrix-patch-8")).toBe(
      "matrix units need 23616 bytes of workgroup storage, got 16384",
    );
    expect(refusal({}, "patch-winograd")).toBeNull();
    expect(refusal({ stride: 2 }, "patch-winograd")).toBe("patch-winograd is for stride 1, got 2");
    expect(refusal({ kernelSize: [3, 5] }, "patch-winograd")).toBe(
      "patch-winograd is for 3×3, got 3×5",
    );
    expect(refusal({ upsample: true }, "patch-winograd")).toBe(
      "patch-winograd is for 3×3, got 2×2, upsampled",
    );
    const little = { ...BASELINE_CAPS.limits, maxComputeWorkgroupStorageSize: 14_000 };
    expect(conv2d.refusal?.(CONV_IN, { ...BASELINE_CAPS, limits: little }, "patch-winograd")).toBe(
      "patch-winograd needs 14704 bytes of workgroup storage, got 14000",
    );
    expect(refusal({}, "tiled-split")).toBe(
      "tiled-split is for few tiles with a long sum, got 4096 × 320 × 1 outputs with sums of 144",
    );
    expect(
      refusal({ inHeight: 512, inWidth: 512, inChannels: [512] }, "tiled-split"),
    ).not.toBeNull();
    expect(() => conv2d.plan({ ...CONV_IN, stride: 2 }, BASELINE_CAPS, "patch")).toThrow(
      "conv2d: patch is for stride 1",
    );
  });

  it("stays within 65,535 workgroups a dimension at 4096 × 4096", () => {
    const problem = { ...CONV_IN, inHeight: 4096, inWidth: 4096 };
    for (const variant of variants) {
      const [step] = conv2d.plan(problem, MATRIX_CAPS, variant).dispatches;
      expect(Math.max(...(step?.workgroups ?? [Infinity]))).toBeLessThanOrEqual(65_535);
    }
  });
});

describe("conv2d cost", () => {
  it("counts every operand once", () => {
    const pixels = 64 * 64;
    const weightBytes = 9 * 1 * 80 * 16 * 2;
    expect(conv2d.cost(CONV_IN)).toEqual({
      flops: 2 * pixels * 320 * 4 * 9,
      bytesRead: pixels * 4 * 2 + weightBytes,
      bytesWritten: pixels * 320 * 2,
    });
    // Four phases of 2×2 taps: 4/9 of the multiplications of a 3×3 kernel on the doubled map.
    expect(conv2d.cost({ ...CONV_IN, upsample: true })).toEqual({
      flops: 2 * (4 * pixels) * 320 * 4 * 4,
      bytesRead: pixels * 4 * 2 + 16 * 1 * 80 * 16 * 2,
      bytesWritten: 4 * pixels * 320 * 2,
    });
    const shortcut = conv2d.cost({ ...CONV_IN, shortcutChannels: [8] });
    expect(shortcut).toEqual({
      flops: 2 * pixels * 320 * (4 * 9 + 8),
      bytesRead: pixels * (4 + 8) * 2 + weightBytes + 2 * 80 * 16 * 2,
      bytesWritten: pixels * 320 * 2,
    });
    const residual = { ...CONV_IN, epilogue: { ...PLAIN_EPILOGUE, residual: true } };
    const more = conv2d.cost(residual).bytesRead - conv2d.cost(CONV_IN).bytesRead;
    expect(more).toBe(pixels * 320 * 2);
  });
});
