/** The encoder's graph at and beyond the clamp of log-variances, and the numbers of the one-step formula. */
import { expect, it } from "vitest";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import type { TensorSource } from "../../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { encoderGraph, oneStepCoefficients } from "../../../src/rcod/networks/graphs.ts";
import { RCOD_O } from "../../../src/rcod/settings/config.ts";
import { randomSource, tensorOf } from "../../graph/support.ts";
import { useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();

/** Moments that an encoder without weights in its last layer gives at every pixel: means, then log-variances. */
const MEANS = [-3, 0.5, 1, 40];
const LOGVARS = [
  [-1e4, -30.5, -30, -29.5],
  [-25, -20.5, 15, 19.5],
  [20, 20.5, 25, 1e4],
] as const;

const VAE = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: MEANS.length,
  pixelChannels: 0,
  blockOutChannels: [8, 8],
  layersPerBlock: 1,
  normNumGroups: 4,
  scalingFactor: 0.25,
  midAttention: false,
  forceUpcast: false,
  quantization: null,
};

/** Random parameters but for the last layer: no weights, and `moments` as its bias. */
function withMoments(source: TensorSource, moments: readonly number[]): TensorSource {
  return {
    lora: () => null,
    tensor(name) {
      const { shape } = source.tensor(name);
      if (name === "quant_conv.weight") return tensorOf(new Float64Array(64), shape);
      if (name === "quant_conv.bias") return tensorOf(Float64Array.from(moments), shape);
      return source.tensor(name);
    },
  };
}

it.each(LOGVARS)("log-variances %d, %d, %d, %d are kept within −30 … 20", async (...logvars) => {
  const plan = planGraph(encoderGraph(VAE, 4, 6, "f32"), setup.caps);
  const source = withMoments(randomSource(plan.weights), [...MEANS, ...logvars]);
  const weights = new DeviceWeights(setup.gpu, source, { dtype: "f32" });
  await weights.load(plan.weights);
  const program = await Program.create(setup.gpu, plan, weights);
  try {
    await program.run({ image: packActivation(uniformArray(4 * 6 * 3, 1), 3, "f32") });
    const pixels = 2 * 3;
    const repeated = (values: readonly number[]): number[] =>
      Array.from({ length: pixels }, () => values).flat();
    const clamped = logvars.map((value) => Math.max(-30, Math.min(20, value)));
    expect([...(await program.read("logvar")).data]).toEqual(repeated(clamped));
    const scaled = MEANS.map((value) => value * VAE.scalingFactor);
    expect([...(await program.read("latents")).data]).toEqual(repeated(scaled));
  } finally {
    program.dispose();
    weights.dispose();
  }
});

it("z = (latents − √(1 − a)·eps) / √a, divided by the scaling factor", () => {
  const { p, q } = oneStepCoefficients({ ...RCOD_O, alpha: 0.64 }, { ...VAE, scalingFactor: 0.5 });
  expect(p).toBeCloseTo(1 / 0.8 / 0.5, 12);
  expect(q).toBeCloseTo(0.6 / 0.8 / 0.5, 12);
});
