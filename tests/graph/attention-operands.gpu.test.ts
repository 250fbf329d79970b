import { expect, it } from "vitest";
import { ShapeError } from "../../src/gpu/shape.ts";
import { GraphBuilder, WeightScope } from "../../src/graph/ir/builder.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { expectClose } from "../support/expect-close.ts";
import { useGpu } from "../support/gpu.ts";
import { uniformArray } from "../support/random.ts";
import { contraction } from "../support/tolerance.ts";
import { parameterValues, randomSource } from "./support.ts";

const setup = useGpu();
const [TOKENS, CHANNELS] = [7, 12];

/** Self-attention whose three projections the passes stack into one. */
function selfAttention() {
  const g = new GraphBuilder("f32");
  const x = g.input("x", [1, TOKENS, CHANNELS]);
  const [q, k, v] = ["to_q", "to_k", "to_v"].map((name) =>
    g.linear(x, new WeightScope(name), CHANNELS, false),
  ) as [typeof x, typeof x, typeof x];
  g.output("y", g.attention(q, k, v, { numHeads: 3, scale: 0.5 }, "attn"));
  return g.build();
}

it("queries and keys are read out of the stacked projection", async () => {
  const plan = planGraph(selfAttention(), setup.caps, { attentions: ["attn"] });
  expect(plan.steps.filter(({ kernel }) => kernel === "linear").length).toBe(1);
  const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype: "f32" });
  await weights.load(plan.weights);
  const program = await Program.create(setup.gpu, plan, weights);
  try {
    const x = uniformArray(TOKENS * CHANNELS, 1, 1).map(Math.fround);
    await program.run({ x: packActivation(x, CHANNELS, "f32") });
    for (const name of ["q", "k"] as const) {
      const operand = plan.attentionOperands.get(`attn.${name}`);
      expect(operand).toMatchObject({ channels: CHANNELS, numHeads: 3 });
      const { data, shape } = await program.read(`attn.${name}`);
      expect(shape).toEqual([1, TOKENS, 3 * CHANNELS]);
      const offset = operand?.offset ?? NaN;
      const got = Array.from({ length: TOKENS * CHANNELS }, (_, i) => {
        const row = Math.floor(i / CHANNELS);
        return data[row * 3 * CHANNELS + offset + (i % CHANNELS)] as number;
      });
      const w = parameterValues({
        name: `to_${name}.weight`,
        shape: [CHANNELS, CHANNELS],
        layout: "matrix",
      });
      const expected = got.map((_, i) => {
        const [row, out] = [Math.floor(i / CHANNELS), i % CHANNELS];
        let sum = 0;
        for (let c = 0; c < CHANNELS; c++)
          sum += (x[row * CHANNELS + c] as number) * Math.fround(w[out * CHANNELS + c] as number);
        return sum;
      });
      expectClose(got, expected, [TOKENS, CHANNELS], contraction("f32", CHANNELS, 1));
    }
  } finally {
    program.dispose();
    weights.dispose();
  }
});

it("refuses a path without attention", () => {
  const options = { attentions: ["to_q"] };
  expect(() => planGraph(selfAttention(), setup.caps, options)).toThrow(ShapeError);
});
