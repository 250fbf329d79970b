import { describe, expect, it } from "vitest";
import { parseVariantRounds } from "../../cli/variant-option.ts";
import { KERNEL_VARIANTS } from "../../src/kernels/variant-choice.ts";

describe("--variant", () => {
  it("is one choice of all pairs", () => {
    expect(parseVariantRounds(["conv2d=naive", "linear=tiled"])).toEqual([
      { conv2d: "naive", linear: "tiled" },
    ]);
  });

  it("takes the variants of a kernel in turn, the others staying as they are", () => {
    const rounds = parseVariantRounds(["attention=all", "conv2d=tiled"]);
    expect(rounds).toEqual(
      KERNEL_VARIANTS["attention"]?.map((attention) => ({ attention, conv2d: "tiled" })),
    );
  });

  it("takes every variant of every kernel once", () => {
    const pairs = parseVariantRounds(["all"]).flatMap((round) =>
      Object.entries(round).map((pair) => pair.join("=")),
    );
    const all = Object.entries(KERNEL_VARIANTS).flatMap(([kernel, variants]) =>
      variants.map((variant) => `${kernel}=${variant}`),
    );
    expect(pairs.toSorted()).toEqual(all.toSorted());
  });

  it.each([
    ["conv2d", '--variant must be kernel=name, e.g. conv2d=tiled, got "conv2d"'],
    ["conv2d=", '--variant must be kernel=name, e.g. conv2d=tiled, got "conv2d="'],
    ["conv3d=naive", '--variant: no kernel "conv3d". Kernels: conv2d, linear, attention'],
    ["constructor=all", '--variant: no kernel "constructor"'],
    ["linear=fast", '--variant: linear has no variant "fast". Variants: naive, register-1x2'],
  ])("refuses %s", (text, message) => {
    expect(() => parseVariantRounds([text])).toThrow(message);
  });
});
