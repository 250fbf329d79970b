/** Tiles and timesteps of a map in batches: how many, and what comes of them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { uploadBytes } from "../../../src/gpu/transfer.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import { readActivation } from "../../../src/graph/read-activation.ts";
import type { ModelWeights } from "../../../src/rcod/loading/load.ts";
import { disposeWeights, loadWeights } from "../../../src/rcod/loading/load.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { unetGraph } from "../../../src/rcod/networks/graphs.ts";
import { timestepEmbedding } from "../../../src/rcod/networks/unet.ts";
import { parseUNetConfig } from "../../../src/rcod/settings/config.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import { blendPredictions, tileRuns } from "../../../src/rcod/tiles/latent-blend.ts";
import { gaussianTileWeights, unetTiles } from "../../../src/rcod/tiles/tiling.ts";
import { unetBatch } from "../../../src/rcod/tiles/unet-batch.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { SD21_UNET_JSON } from "../../graph/full-configs.ts";
import { relativeRms } from "../../graph/support.ts";
import { useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { minimalFiles } from "../support.ts";

const setup = useGpu();

describe("a batch", () => {
  const full = parseUNetConfig(SD21_UNET_JSON);
  const batchOf = (side: number, runs: number, timesteps = 1, caps = BASELINE_CAPS) =>
    unetBatch(full, caps, "f16", side, side, runs, timesteps);

  it("holds small tiles, and no tiles that fill the device alone", () => {
    expect(batchOf(48, 4)).toBe(4);
    expect(batchOf(48, 12)).toBe(4);
    expect(batchOf(80, 4)).toBe(1);
    expect(batchOf(96, 1)).toBe(1);
  });

  it("divides the runs", () => {
    expect(batchOf(48, 9)).toBe(3);
    expect(batchOf(48, 5)).toBe(1);
    expect(batchOf(32, 7)).toBe(7);
  });

  it("holds the timesteps of a map, as far as they can be bound", () => {
    expect(batchOf(64, 2, 2)).toBe(2);
    expect(batchOf(96, 8, 8)).toBe(4); // 22.5 MiB each, of 128
    expect(batchOf(96, 8, 2)).toBe(2); // of four tiles
    const { limits } = BASELINE_CAPS;
    const most = 2 ** 20;
    const small = { ...BASELINE_CAPS, limits: { ...limits, maxStorageBufferBindingSize: most } };
    expect(batchOf(64, 2, 2, small)).toBe(1);
    const large = 2 ** 32;
    const vast = { maxStorageBufferBindingSize: large, maxBufferSize: large };
    expect(batchOf(96, 8, 8, { ...BASELINE_CAPS, limits: { ...limits, ...vast } })).toBe(8);
    expect(batchOf(192, 8, 8, { ...BASELINE_CAPS, limits: { ...limits, ...vast } })).toBe(2);
  });
});

describe("blended predictions", () => {
  const [width, height, channels] = [14, 9, 4];
  let configs: ModelConfigs;
  let weights: ModelWeights;
  beforeAll(async () => {
    const files = memoryFiles(await minimalFiles());
    const read = await readConfigs(files);
    configs = { ...read, rcod: { ...read.rcod, latentTiles: { tile: 8, overlap: 3 } } };
    weights = await loadWeights(setup.gpu, files, configs, "f32");
  });
  afterAll(() => disposeWeights(weights));

  /** Two results, one of them a blend of two timesteps, computed so many tiles at once. */
  async function blended(batch: number): Promise<Float32Array[]> {
    const { gpu, caps } = setup;
    const { unet } = configs;
    const tiling = unetTiles(width, height, configs, false);
    if (tiling === null) throw new Error("no tiles");
    const { tileWidth, tileHeight } = tiling;
    const tileWeights = gaussianTileWeights(tileWidth, { height: tileHeight, symmetric: true });
    const tiles = { ...tiling, weights: tileWeights };
    const share = Float32Array.from({ length: width * height }, (_, i) => (i % width) / width);
    const results = [
      [{ timestep: 499, share: null }],
      [
        { timestep: 249, share },
        { timestep: 749, share: share.map((value) => 1 - value) },
      ],
    ];
    const runs = tileRuns(tiles, results, width);
    expect(runs.length).toBe(12);
    const graph = unetGraph(unet, tileHeight, tileWidth, 5, "f32", batch);
    const program = await Program.create(gpu, planGraph(graph, caps), weights.unet);
    const upload = (name: string, values: ArrayLike<number>, count: number): GPUBuffer => {
      const bytes = packActivation(values, count, "f32");
      const buffer = gpu.memory.create(name, bytes.byteLength, "images");
      uploadBytes(gpu, buffer, 0, bytes);
      return buffer;
    };
    const latents = upload("latents", uniformArray(width * height * channels, 1, 2), channels);
    const tokens = upload(
      "tokens",
      uniformArray(5 * unet.crossAttentionDim, 2, 2),
      unet.crossAttentionDim,
    );
    const imageBytes = () => gpu.memory.use().byPurpose["images"]?.current;
    const before = imageBytes();
    const made = await blendPredictions(
      gpu,
      {
        program,
        batch,
        embed: (timesteps) =>
          packActivation(
            timesteps.flatMap((t) => [
              ...timestepEmbedding(t, unet, unet.blockOutChannels[0] ?? 0),
            ]),
            unet.blockOutChannels[0] ?? 0,
            "f32",
          ),
        run: (one, inputs, options) => one.run(inputs, options),
        runOptions: () => ({}),
      },
      { latents, tokens, width, height, channels, dtype: "f32" },
      tiles,
      runs,
    );
    const shape = [1, height, width, channels];
    const values: Float32Array[] = [];
    for (const buffer of made) {
      values.push(await readActivation(gpu, buffer, shape, "f32"));
      gpu.memory.release(buffer);
    }
    expect(imageBytes()).toBe(before);
    program.dispose();
    for (const buffer of [latents, tokens]) gpu.memory.release(buffer);
    return values;
  }

  it("are the same in every batch up to rounding", async () => {
    const single = await blended(1);
    expect(single.length).toBe(2);
    const [first, second] = single as [Float32Array, Float32Array];
    expect(relativeRms(first, second)).toBeGreaterThan(1e-3);
    for (const batch of [2, 3, 12]) {
      const together = await blended(batch);
      together.forEach((values, i) =>
        expect(relativeRms(values, single[i] as Float32Array), `${batch}`).toBeLessThanOrEqual(
          2e-6,
        ),
      );
    }
  });
});
