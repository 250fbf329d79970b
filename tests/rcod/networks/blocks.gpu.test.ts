/**
 * Blocks whose norms have an eps of their own, against doubles, on inputs so small that it decides: with a variance near eps
 * another eps is another result.
 */
import { describe, expect, it } from "vitest";
import { withCaps } from "../../../src/gpu/device.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import type { Value } from "../../../src/graph/ir/ir.ts";
import { weightMembers } from "../../../src/graph/ir/ir.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { transformer2d } from "../../../src/rcod/networks/transformer.ts";
import { midBlock } from "../../../src/rcod/networks/vae.ts";
import { toFloat32 } from "../../../src/weights/index.ts";
import { randomSource, relativeRms } from "../../graph/support.ts";
import { transformer2d as transformer, vaeMidBlock } from "../../reference/blocks.ts";
import { useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();
const ROOT = new WeightScope();
const [HEIGHT, WIDTH, CHANNELS, GROUPS] = [5, 7, 64, 4];
const CONTEXT = { tokens: 9, channels: 12 };

/** Relative RMS: three times what llvmpipe and SwiftShader measure, 6.0e-7 at most. A LayerNorm's eps of a tenth gives 1e-4. */
const LIMIT = 2e-6;

type Inputs = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly data: Float64Array }>
>;

/** The output of a block in f32, and its parameters. For a GPU the norms are in loads and epilogues. */
async function run(
  isSoftware: boolean,
  inputs: Inputs,
  build: (g: GraphBuilder, values: readonly Value[]) => Value,
) {
  const gpu = withCaps(setup.gpu, { isSoftware });
  const g = new GraphBuilder("f32");
  const values = Object.entries(inputs).map(([name, { shape }]) => g.input(name, shape));
  g.output("y", build(g, values));
  const plan = planGraph(g.build(), gpu.caps);
  const source = randomSource(plan.weights);
  const parameters = new Map<string, Float64Array>();
  for (const { name } of plan.weights.flatMap(weightMembers)) {
    const tensor = source.tensor(name);
    const bytes = await tensor.read(0, tensor.byteLength);
    parameters.set(name, Float64Array.from(toFloat32({ name, dtype: "F32" }, bytes)));
  }
  const weights = new DeviceWeights(gpu, source, { dtype: "f32" });
  await weights.load(plan.weights);
  const program = await Program.create(gpu, plan, weights);
  try {
    const packed = Object.entries(inputs).map(
      ([name, { shape, data }]) =>
        [name, packActivation(data, shape.at(-1) as number, "f32")] as const,
    );
    await program.run(Object.fromEntries(packed));
    const { data } = await program.read("y");
    return { data, parameter: (name: string) => parameters.get(name) };
  } finally {
    program.dispose();
    weights.dispose();
  }
}

const PLANS = [
  ["a CPU", true],
  ["a GPU", false],
] as const;

/** A map of values around 0. */
const mapOf = (magnitude: number) => ({
  shape: [1, HEIGHT, WIDTH, CHANNELS],
  data: uniformArray(HEIGHT * WIDTH * CHANNELS, 1, magnitude).map(Math.fround),
});

describe.each([1, 1e-3])("values up to %d", (magnitude) => {
  const x = mapOf(magnitude);

  it.each(PLANS)("transformer2d, planned for %s", async (_, isSoftware) => {
    const context = {
      shape: [1, CONTEXT.tokens, CONTEXT.channels],
      data: uniformArray(CONTEXT.tokens * CONTEXT.channels, 2).map(Math.fround),
    };
    const options = { numHeads: 2, numGroups: GROUPS };
    const { data, parameter } = await run(isSoftware, { x, context }, (g, [h, c]) =>
      transformer2d(g, ROOT, h as Value, c as Value, options),
    );
    const expected = transformer(
      parameter,
      x.data,
      CHANNELS,
      context.data,
      CONTEXT.channels,
      options.numHeads,
      options.numGroups,
    );
    expectWithin(data, expected);
  });

  it.each(PLANS)("the VAE's mid block, planned for %s", async (_, isSoftware) => {
    const { data, parameter } = await run(isSoftware, { x }, (g, [h]) =>
      midBlock(g, ROOT, h as Value, { midAttention: true, normNumGroups: GROUPS }),
    );
    const size = { height: HEIGHT, width: WIDTH };
    expectWithin(data, vaeMidBlock(parameter, x.data, size, CHANNELS, GROUPS));
  });
});

function expectWithin(got: Float32Array, expected: Float64Array): void {
  expect(relativeRms(got, expected)).toBeLessThanOrEqual(LIMIT);
}
