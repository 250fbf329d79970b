/** The pixel path of the autoencoder: against PyTorch (fixture written by training/), and in calls. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import type { DType } from "../../src/gpu/dtype.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { weightMembers } from "../../src/graph/ir/ir.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { decoderGraph, encoderGraph } from "../../src/rcod/networks/graphs.ts";
import { parseVaeConfig } from "../../src/rcod/settings/config.ts";
import type { VaeConfig } from "../../src/rcod/settings/config.ts";
import {
  bytesSource,
  openSafetensors,
  safetensorsStore,
  toFloat32,
} from "../../src/weights/index.ts";
import type { WeightStore } from "../../src/weights/index.ts";
import { relativeRms, tensorOf } from "../graph/support.ts";
import { useGpu } from "../support/gpu.ts";
import { largestDifference, minimalPipeline, testImage } from "./support.ts";

const setup = useGpu();

describe.each<[DType, number]>([
  ["f32", 1e-5],
  ["f16", 4e-3],
])("against PyTorch in %s", (dtype, limit) => {
  const path = new URL("../fixtures/rcod-tiny/pixel-path.safetensors", import.meta.url);
  let config: VaeConfig;
  let store: WeightStore;
  beforeAll(async () => {
    const bytes = new Uint8Array(readFileSync(path));
    const file = await openSafetensors(bytesSource(path.pathname, bytes));
    store = safetensorsStore(file);
    config = parseVaeConfig(JSON.parse(file.metadata.get("config") ?? ""));
  });

  async function values(name: string): Promise<Float32Array> {
    return toFloat32(store.info(name), await store.read(name));
  }

  /** A map of the fixture with its channels last. */
  async function map(name: string): Promise<Float64Array> {
    const [, channels = 1, height = 1, width = 1] = store.info(name).shape;
    const planes = await values(name);
    return Float64Array.from(planes, (_, i) => {
      const [pixel, channel] = [Math.floor(i / channels), i % channels];
      return planes[channel * height * width + pixel] as number;
    });
  }

  /** What a graph of the fixture's weights makes of its one input. */
  async function run(graph: Graph, input: string, x: Float64Array, output: string) {
    const plan = planGraph(graph, setup.caps);
    const tensors = new Map(
      await Promise.all(
        plan.weights.flatMap(weightMembers).map(async ({ name, shape }) => {
          const own = Float64Array.from(await values(`weights/${name}`));
          return [name, tensorOf(own, shape)] as const;
        }),
      ),
    );
    const source = { tensor: (name: string) => tensors.get(name) as never, lora: () => null };
    const weights = new DeviceWeights(setup.gpu, source, { dtype });
    await weights.load(plan.weights);
    const program = await Program.create(setup.gpu, plan, weights);
    try {
      const channels = graph.inputs.get(input)?.shape.at(-1) ?? 1;
      await program.run({ [input]: packActivation(x, channels, dtype) });
      return (await program.read(output)).data;
    } finally {
      program.dispose();
      weights.dispose();
    }
  }

  it("the encoder gives latents, and beside them what the picture holds", async () => {
    const [, , height = 1, width = 1] = store.info("inputs/x").shape;
    const graph = encoderGraph(config, height, width, dtype);
    const got = await run(graph, "image", await map("inputs/x"), "latents");
    expect(relativeRms(got, await map("outputs/latent"))).toBeLessThanOrEqual(limit);
  });

  it("the decoder takes both", async () => {
    const [, , height = 1, width = 1] = store.info("outputs/latent").shape;
    const z = (await map("outputs/latent")).map((value) => value / config.scalingFactor);
    const got = await run(decoderGraph(config, height, width, dtype), "z", z, "image");
    expect(relativeRms(got, await map("outputs/out"))).toBeLessThanOrEqual(limit);
  });
});

describe("a model with a pixel path", () => {
  const image = testImage(17, 9);

  it("computes in tiles what it computes whole, also with a seed", async () => {
    const { pipeline } = await minimalPipeline(setup.gpu, "f32", { pixelChannels: 5 });
    try {
      for (const options of [{}, { seed: 3 }]) {
        const whole = await pipeline.upscale(image, options);
        const tiled = await pipeline.upscale(image, { ...options, tile: 64 });
        expect(largestDifference(tiled.image, whole.image)).toBeLessThanOrEqual(1);
      }
    } finally {
      pipeline.dispose();
    }
  });

  it("tiles its latents, takes several settings, and chooses by the picture", async () => {
    const tiles = { tile: 8, overlap: 4 };
    const options = { pixelChannels: 4, mem: [6] };
    const { pipeline } = await minimalPipeline(setup.gpu, "f32", options, tiles);
    try {
      const [faithful, chosen] = await pipeline.upscale(image, { realism: ["fidelity", "auto"] });
      const alone = await pipeline.upscale(image, { realism: "fidelity" });
      expect(chosen?.predictedMetric).toBeGreaterThanOrEqual(0);
      expect(largestDifference(faithful?.image ?? image, alone.image)).toBeLessThanOrEqual(1);
    } finally {
      pipeline.dispose();
    }
  });
});
