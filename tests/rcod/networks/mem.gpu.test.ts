import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { memGraph } from "../../../src/rcod/networks/graphs.ts";
import { metricOfMap } from "../../../src/rcod/networks/mem.ts";
import { RCOD_O, parseVaeConfig } from "../../../src/rcod/settings/config.ts";
import { timestepOfMetric } from "../../../src/rcod/settings/latent-groups.ts";
import { parameterValues, randomSource } from "../../graph/support.ts";
import { metric as reference } from "../../reference/metric.ts";
import { useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();
/** The bundled model's. */
const MEM = { inChannels: 12, blockOutChannels: [32, 48, 64] };
const VAE_JSON = { block_out_channels: [8, 8], norm_num_groups: 4, latent_channels: 12 };
const VAE = parseVaeConfig(VAE_JSON);

describe.each<DType>(["f32", "f16"])("memGraph in %s", (dtype) => {
  it.each([
    [1, 1, [1, 1]],
    [5, 7, [1, 1]],
    [9, 2, [2, 1]],
    [32, 17, [4, 3]],
  ])("latents %i×%i", async (height, width, side) => {
    const plan = planGraph(memGraph(MEM, VAE, height, width, dtype), setup.caps);
    const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype });
    await weights.load(plan.weights);
    const program = await Program.create(setup.gpu, plan, weights);
    try {
      const values = new Map(
        plan.weights.map((weight) => [
          weight.name,
          parameterValues(weight).map((value) =>
            roundToDtype(value, weight.layout === "matrix" ? dtype : "f32"),
          ),
        ]),
      );
      const latents = uniformArray(height * width * 12, 5, 1.5).map((v) => roundToDtype(v, dtype));
      await program.run({ latents: packActivation(latents, 12, dtype) });
      const map = await program.read("metric");
      expect(map.shape).toEqual([1, ...side, 1]);
      // Below 0 the ReLU would hide errors: shift the map and the expectation.
      const bias = values.get("head.bias") as Float64Array;
      const shifted = new Map(values).set("head.bias", Float64Array.of((bias[0] as number) + 5));
      const expected = reference(latents, [height, width, 12], shifted);
      expect(expected).toBeGreaterThan(1);
      const got = metricOfMap(map.data.map((value) => value + 5));
      expect(Math.abs(got - expected)).toBeLessThan(dtype === "f32" ? 2e-6 : 4e-3);
    } finally {
      program.dispose();
      weights.dispose();
    }
  });
});

it("does not look at the pixel path", async () => {
  const [height, width] = [9, 6];
  const vae = parseVaeConfig({ ...VAE_JSON, pixel_channels: 4 });
  const plan = planGraph(memGraph(MEM, vae, height, width, "f32"), setup.caps);
  const weights = new DeviceWeights(setup.gpu, randomSource(plan.weights), { dtype: "f32" });
  await weights.load(plan.weights);
  const program = await Program.create(setup.gpu, plan, weights);
  try {
    const metricOf = async (pixels: number): Promise<Float32Array> => {
      const sample = uniformArray(height * width * 16, 5).map((v, i) => (i % 16 < 12 ? v : pixels));
      await program.run({ latents: packActivation(sample, 16, "f32") });
      return (await program.read("metric")).data;
    };
    const metric = await metricOf(0);
    expect(metric).not.toEqual(metric.map(() => 0));
    expect(await metricOf(100)).toEqual(metric);
  } finally {
    program.dispose();
    weights.dispose();
  }
});

describe("metricOfMap", () => {
  it("is the mean, never below 0", () => {
    expect(metricOfMap([0.25, 0.75, 1.25])).toBe(0.75);
    expect(metricOfMap([-3, 1])).toBe(0);
    expect(metricOfMap([NaN, 1])).toBeNaN();
    // In f32 the tail would be lost.
    expect(metricOfMap([2 ** 24, ...Array.from({ length: 3 }, () => 1)])).toBe((2 ** 24 + 3) / 4);
  });
});

describe("timestepOfMetric", () => {
  const ulp = (value: number, steps: number): number => {
    const bits = new Int32Array(Float32Array.of(value).buffer);
    bits[0] = (bits[0] as number) + steps;
    return new Float32Array(bits.buffer)[0] as number;
  };

  it("is RCOD's table for three groups, with thresholds rounded to f32", () => {
    const timestep = (metric: number): number => timestepOfMetric(metric, RCOD_O);
    expect([0, 0.3, ulp(0.5, -1)].map(timestep)).toEqual([749, 749, 749]);
    expect([0.5, ulp(0.5, 1), ulp(0.7, -1)].map(timestep)).toEqual([499, 499, 499]);
    expect([0.7, ulp(0.7, 0), ulp(0.7, 1), 1, 1.2].map(timestep)).toEqual([
      249, 249, 249, 249, 249,
    ]);
    expect(ulp(0.7, 0)).toBeLessThan(0.7); // which a comparison of doubles would call neutral
    expect(timestep(0.5 - 1e-12)).toBe(499); // 0.5 in f32
    expect(timestep(NaN)).toBe(499);
  });

  it("takes thresholds and timesteps from the configuration", () => {
    const config = {
      timesteps: { fidelity: 1, neutral: 2, realism: 3 },
      thresholds: [0.1, 0.9],
    } as const;
    expect(
      [ulp(0.1, -1), 0.1, 0.5, ulp(0.9, -1), 0.9].map((m) => timestepOfMetric(m, config)),
    ).toEqual([3, 2, 2, 2, 1]);
  });
});
