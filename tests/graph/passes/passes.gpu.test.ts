import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import type { PassName } from "../../../src/graph/passes/passes.ts";
import { PASSES } from "../../../src/graph/passes/passes.ts";
import { useGpu } from "../../support/gpu.ts";
import { blocks } from "../blocks.ts";
import { relativeRms, runGraph } from "../support.ts";

const setup = useGpu();
const ALL = PASSES.map(({ name }) => name);

const SOFTWARE_VARIANTS = {
  conv2d: "register-8x2",
  linear: "register-8x2",
  attention: "thread",
  layerNorm: "row",
};

const GRAPHS = [
  ["resnet", blocks.resnet],
  ["resnets", blocks.resnets],
  ["batch", blocks.batch],
  ["transformer", blocks.transformer],
  ["cross-attention × 2", blocks.crossAttentions],
  ["concat 8 + 6", (dtype: DType) => blocks.concatResnet(dtype, 8, 6)],
  ["concat 6 + 8", (dtype: DType) => blocks.concatResnet(dtype, 6, 8)],
  ["odd geglu", blocks.oddGeglu],
  ["upsample × 2", (dtype: DType) => blocks.upsample(dtype, 8, 10)],
  ["upsample to odd", (dtype: DType) => blocks.upsample(dtype, 7, 10)],
  ["linear then norm", blocks.linearThenNorm],
  ["clip layer", blocks.clipLayer],
  ["named", blocks.named],
] as const;

describe.each(GRAPHS)("%s", (_name, build) => {
  // f16: fusion leaves out roundings of intermediates, 2⁻¹¹ each.
  it.each<[DType, number]>([
    ["f32", 2e-6],
    ["f16", 2e-3],
  ])("fused equals unfused in %s", async (dtype, limit) => {
    // Planned as for a GPU, where more rewrites pay, but in the variants that compile fastest here.
    const caps = { ...setup.gpu.caps, isSoftware: false, variants: SOFTWARE_VARIANTS };
    const result = async (without: readonly PassName[]) => {
      const { shape, data } = (await runGraph(setup.gpu, build(dtype), { without }, caps)).get(
        "y",
      ) as NonNullable<ReturnType<Awaited<ReturnType<typeof runGraph>>["get"]>>;
      return { shape, data };
    };
    const plain = await result(ALL);
    expect(Math.max(...plain.data.map(Math.abs))).toBeGreaterThan(0.1);
    const single = ALL.map((only) => ALL.filter((name) => name !== only));
    for (const without of dtype === "f32" ? [[], ...single] : [[]]) {
      const fused = await result(without);
      expect(fused.shape).toEqual(plain.shape);
      expect(
        relativeRms(fused.data, plain.data),
        `without ${without.join(", ")}`,
      ).toBeLessThanOrEqual(limit);
    }
  });
});

it.each([
  ["tiled", 8, 16],
  ["patch", 40, 29], // which also normalises a map of this size, and counts broken patches
  ["patch-winograd", 40, 29],
])(
  "statistics from the epilogue of %s equal those of a step of their own",
  async (conv2d, ...size) => {
    const caps = { ...setup.gpu.caps, isSoftware: false };
    const result = async (without: readonly PassName[], variants = {}) =>
      (
        await runGraph(setup.gpu, blocks.resnet("f32", ...size), { without }, { ...caps, variants })
      ).get("y");
    const plain = await result(ALL, SOFTWARE_VARIANTS);
    const fused = await result([], { conv2d });
    expect(relativeRms(fused?.data ?? [], plain?.data ?? [])).toBeLessThanOrEqual(2e-6);
  },
);

it("LayerNorms in the loads of tiles, and as steps of their own, equal the plain ones", async () => {
  const caps = { ...setup.gpu.caps, isSoftware: false };
  const result = async (without: readonly PassName[], variants = {}) => {
    const chosen = { ...caps, variants: { ...variants, attention: "thread", layerNorm: "row" } };
    return (await runGraph(setup.gpu, blocks.wideTransformer("f32"), { without }, chosen)).get("y");
  };
  const plain = await result(ALL, SOFTWARE_VARIANTS);
  // The third: makers with statistics for a reader that cannot take them.
  const reader = { "linear 64→512 geglu @64": "register-8x2" };
  for (const variants of [{}, SOFTWARE_VARIANTS, reader]) {
    const fused = await result([], variants);
    expect(relativeRms(fused?.data ?? [], plain?.data ?? [])).toBeLessThanOrEqual(2e-6);
  }
});

it("captures hold what the unfused graph computes there", async () => {
  const captures = ["conv", "norm", "cat"];
  const plain = await runGraph(setup.gpu, blocks.named("f32"), { captures, without: ALL });
  const fused = await runGraph(setup.gpu, blocks.named("f32"), { captures });
  expect([...fused.keys()].toSorted()).toEqual(["cat", "conv", "norm", "y"]);
  for (const [name, { shape, data }] of plain) {
    expect(fused.get(name)?.shape, name).toEqual(shape);
    expect(relativeRms(fused.get(name)?.data ?? [], data), name).toBeLessThanOrEqual(2e-6);
  }
});
