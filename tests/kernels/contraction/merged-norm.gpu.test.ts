/** Norms merged on load by the variants "tiled", "patch" and "patch-winograd"; tests/matrix-units has those of "matrix". */
import { describe, expect, it } from "vitest";
import type { Conv2dProblem, Conv2dVariant } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d } from "../../../src/kernels/contraction/conv2d.ts";
import type { MergedNorm } from "../../../src/kernels/contraction/merged-norm.ts";
import { useGpu } from "../../support/gpu.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { MERGED_NORM_CASES, checkMergedNorm } from "./merged-norm-rows.ts";

const setup = useGpu();

describe.each(["tiled", "patch", "patch-winograd"] as const)("%s", (variant) => {
  const cases = MERGED_NORM_CASES.filter(({ kernel, from, dtype }) =>
    // The last differs from "patch" in its lanes alone, and compiles long.
    variant === "patch-winograd"
      ? kernel === 3 && (from.length === 2 || dtype === "f16")
      : variant === "tiled" || kernel === 3,
  );
  it.each(cases.map((testCase) => [JSON.stringify(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      await checkMergedNorm(setup.gpu, testCase, variant);
    },
  );
});

describe("refuses", () => {
  const place = { partials: 1, pixels: 64, tiles: null, channelsPerEntry: 2, first: 0 } as const;
  const norm: MergedNorm = { statistics: [place], numGroups: 4, eps: 1e-5 };
  const problem: Conv2dProblem = {
    dtype: "f32",
    batch: 1,
    inHeight: 8,
    inWidth: 8,
    inChannels: [64],
    outChannels: 8,
    kernelSize: [3, 3],
    stride: 1,
    padding: [1, 1, 1, 1],
    upsample: false,
    shortcutChannels: [],
    inputNorm: "affine-silu",
    mergedNorm: norm,
    weightStorage: "float",
    epilogue: PLAIN_EPILOGUE,
  };
  const residual = { ...PLAIN_EPILOGUE, residual: true, channelAdd: true };
  const two = { mergedNorm: { ...norm, statistics: [place, place] }, inChannels: [32, 32] };
  it.each<[Partial<Conv2dProblem>, Conv2dVariant, string]>([
    [{}, "naive", "naive does not merge the statistics of a norm. Use groupNormAffine"],
    [{}, "register-8x2", "register-8x2 does not merge"],
    [{ inChannels: [8, 56] }, "tiled", 'got "affine-silu" and 1 for 2'],
    [{ inputNorm: "none" }, "tiled", "takes an inputNorm and statistics of every source"],
    [{ mergedNorm: { ...norm, eps: 0 } }, "tiled", "conv2d: eps must be a positive number, got 0"],
    [{ mergedNorm: { ...norm, numGroups: 64 } }, "tiled", "at most 32 groups, a power of two"],
    [{ mergedNorm: { ...norm, numGroups: 3 }, inChannels: [66] }, "tiled", "got 3 of 66"],
    [{ inChannels: [12] }, "tiled", "of an even number of channels, got 4 of 12"],
    [
      { mergedNorm: { ...norm, statistics: [{ ...place, partials: 300 }] } },
      "tiled",
      "merges at most 8192 statistics on load, got 9600. Use groupNormAffine",
    ],
    [
      {
        mergedNorm: { ...norm, statistics: [{ ...place, channelsPerEntry: 4 }] },
        inChannels: [24],
      },
      "tiled",
      "conv2d: statistics must not span groups, got entries of 4 in groups of 6 channels",
    ],
    [
      { ...two, mergedNorm: { ...norm, statistics: [place, { ...place, pixels: 32 }] } },
      "patch",
      "conv2d: both sources must count the same pixels, got 64 and 32",
    ],
    [{ ...two, epilogue: residual }, "tiled", "takes at most 8 operands, got 9"],
  ])("%j as %s", (change, variant, message) => {
    expect(() => conv2d.plan({ ...problem, ...change }, setup.caps, variant)).toThrow(message);
  });

  it("nothing where statistics of its own share the binding of those that it merges", () => {
    const epilogue = { ...PLAIN_EPILOGUE, channelAdd: true, statistics: "channels" } as const;
    const [only] = conv2d.plan({ ...problem, ...two, epilogue }, setup.caps, "tiled").dispatches;
    expect(only?.operands.map(({ name }) => name)).toEqual([
      "x0",
      "x1",
      "weight",
      "bias",
      "channel_add",
      "norm",
      "y",
      "stats",
    ]);
    const refusal = conv2d.refusal?.(
      { ...problem, ...two, epilogue: residual },
      setup.caps,
      "tiled",
    );
    expect(refusal).toMatch("has no binding left for the statistics of a norm");
  });
});
