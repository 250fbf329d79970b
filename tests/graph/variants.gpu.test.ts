/** Blocks in forced variants: the same result up to rounding, and the same bits in every run. */
import { afterEach, describe, expect, it } from "vitest";
import { withVariants } from "../../src/gpu/device.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import { variantRounds } from "../../src/kernels/variant-choice.ts";
import { useGpu } from "../support/gpu.ts";
import { blocks } from "./blocks.ts";
import { randomInputs, randomSource } from "./support.ts";

const setup = useGpu();
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

/** The result of a program made for these variants, after each of `runs` runs. */
async function results(
  graph: Graph,
  variants: VariantChoice,
  runs: number,
): Promise<readonly Float32Array[]> {
  const gpu = withVariants(setup.gpu, variants);
  const plan = planGraph(graph, gpu.caps);
  const weights = new DeviceWeights(gpu, randomSource(plan.weights), { dtype: graph.dtype });
  cleanups.push(() => weights.dispose());
  await weights.load(plan.weights);
  const program = await Program.create(gpu, plan, weights);
  cleanups.push(() => program.dispose());
  const read: Float32Array[] = [];
  for (let i = 0; i < runs; i++) {
    await program.run(randomInputs(plan.graph, 1));
    read.push((await program.read("y")).data);
  }
  return read;
}

const CHOICES = [
  ...variantRounds(["conv2d", "linear"]).map((choice) => ["longSums", choice] as const),
  ...variantRounds(["attention"]).map((choice) => ["transformer", choice] as const),
];

describe("forced variants", () => {
  it.each(CHOICES)("%s in %j", async (name, variants) => {
    const [expected] = await results(blocks[name]("f32"), {}, 1);
    const first = await results(blocks[name]("f32"), variants, 2);
    const again = await results(blocks[name]("f32"), variants, 1);
    for (const run of [...first, ...again]) expect(run).toEqual(first[0]);
    const off = first[0]?.map((value, i) => Math.abs(value - (expected?.[i] ?? NaN)));
    // A few dozen roundings of values near 1.
    expect(Math.max(...(off ?? [NaN]))).toBeLessThan(2e-5);
  });
});

it("asks in vain for what does not exist, and says so", () => {
  const caps = { ...setup.caps, variants: { conv2d: "fastest" } };
  const steps = planGraph(blocks.resnet("f32"), caps).steps.filter(
    ({ kernel }) => kernel === "conv2d",
  );
  expect(steps.length).toBeGreaterThan(0);
  for (const { requested, plan } of steps) {
    expect(requested).toEqual({ variant: "fastest", refusal: "conv2d has no such variant" });
    expect(plan.variant).toMatch(/^(register|tiled)/);
  }
});
