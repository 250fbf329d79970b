/** The UNet's calls and the one-step formula. */
import { quadCount } from "../../gpu/shape.ts";
import { FAULTS } from "../../gpu/wgsl.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import { elementwise } from "../../kernels/pointwise/elementwise.ts";
import { oneStepCoefficients } from "../networks/graphs.ts";
import { timestepEmbedding } from "../networks/unet.ts";
import { clipTokens, sampleChannels } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { blendPredictions, tileRuns } from "../tiles/latent-blend.ts";
import type { TimestepShare, WeightedTiles } from "../tiles/latent-blend.ts";
import type { UNetTiles } from "../tiles/tiling.ts";
import { gaussianTileWeights, unetTiles } from "../tiles/tiling.ts";
import { unetBatch } from "../tiles/unet-batch.ts";
import { unetNetwork } from "./call-networks.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { dtypeOf, inStorageOf } from "./context.ts";

/**
 * Stage "unet": runs the UNet at the timesteps of each of `results`, on tiles where the map is large, then the one-step formula.
 * Gives their z [1, h, w, L], ready for the decoder, which the caller frees.
 */
export async function predictLatents(
  context: StageContext,
  encoded: Encoded,
  results: readonly (readonly TimestepShare[])[],
  options: UpscaleOptions,
  clock: StageClock,
): Promise<GPUBuffer[]> {
  const { gpu, configs, programs, inspector } = context;
  clock.start("unet");
  await programs.enter("unet", clock.enterOptions(options.signal));
  const { unet, vae, rcod } = configs;
  const dtype = dtypeOf(context, "unet");
  const { latentHeight: height, latentWidth: width, storage } = encoded;
  const channels = sampleChannels(vae);
  const embeddingChannels = unet.blockOutChannels[0] as number;
  const embed = (timesteps: readonly number[]): Uint8Array<ArrayBuffer> => {
    const rows = timesteps.flatMap((t) => [...timestepEmbedding(t, unet, embeddingChannels)]);
    return packActivation(rows, embeddingChannels, dtype);
  };
  const runOptions = (start: number, length: number) =>
    clock.runOptions(options.signal, start, length);
  const isReference = options.reference === true;
  const tiling = unetTiles(width, height, configs, isReference);
  const tiles = tiling ? gaussianTiles(tiling, !isReference) : wholeMap(width, height);
  const { tileHeight, tileWidth } = tiles;
  const runs = tileRuns(tiles, results, width);
  const timesteps = results.flat().length;
  const batch = inspector // captures are of one image
    ? 1
    : unetBatch(unet, gpu.caps, dtype, tileHeight, tileWidth, runs.length, timesteps);
  const network = unetNetwork(configs, dtype, tileHeight, tileWidth, batch);
  const program = await programs.get(network, inspector?.planOptions("unet"));
  const shape = [1, height, width, channels];
  const tokenShape = [clipTokens(configs.clip), unet.crossAttentionDim];
  let [latents, tokens] = [encoded.latents, encoded.tokens];
  const blended: GPUBuffer[] = [];
  const made: GPUBuffer[] = [];
  try {
    latents = await inStorageOf(context, "unet", latents, shape, storage.latents);
    tokens = await inStorageOf(context, "unet", tokens, tokenShape, storage.tokens);
    const predictions: GPUBufferBinding[] = [];
    const [only] = runs;
    if (tiling === null && runs.length === 1 && only) {
      const inputs = { latents, tokens, timestep: embed([only.timestep]) };
      await programs.run(program, inputs, runOptions(0, 1));
      predictions.push(program.result("eps"));
    } else {
      const inputs = { latents, tokens, height, width, channels, dtype };
      const batched = { program, batch, embed, run: programs.run, runOptions };
      blended.push(...(await blendPredictions(gpu, batched, inputs, tiles, runs)));
      predictions.push(...blended.map((buffer) => ({ buffer })));
    }
    await inspector?.collect("unet", program);
    const { p, q } = oneStepCoefficients(rcod, vae);
    const quads = height * width * quadCount(channels);
    const scales = { scaleA: p, scaleB: -q };
    const plan = elementwise.plan(
      { dtype, quads, hasB: true, ...scales, activation: "none" },
      { ...gpu.caps, countsFaults: true },
    );
    for (const { buffer, size } of predictions) {
      await inspector?.collectValue(gpu, "eps", buffer, shape, dtype);
      const z = gpu.memory.create("z", activationByteLength(shape, dtype), "images");
      made.push(z);
      const faults = { [FAULTS.name]: programs.faults.binding("unet") };
      await runPlan(gpu, plan, {
        a: latents,
        b: { buffer, ...(size && { size }) },
        y: z,
        ...faults,
      });
      await programs.search?.check("z");
      await inspector?.collectValue(gpu, "z", z, shape, dtype);
    }
    return made;
  } catch (error) {
    for (const z of made) gpu.memory.release(z);
    throw error;
  } finally {
    for (const buffer of blended) gpu.memory.release(buffer);
    if (latents !== encoded.latents) gpu.memory.release(latents);
    if (tokens !== encoded.tokens) gpu.memory.release(tokens);
  }
}

/** `symmetric` centres the weights in the tile; the reference is off by half a pixel along y. */
function gaussianTiles(tiling: UNetTiles, symmetric: boolean): WeightedTiles {
  const { tileWidth, tileHeight: height } = tiling;
  return { ...tiling, weights: gaussianTileWeights(tileWidth, { height, symmetric }) };
}

function wholeMap(width: number, height: number): WeightedTiles {
  const weights = new Float32Array(width * height).fill(1);
  return { tileWidth: width, tileHeight: height, xStarts: [0], yStarts: [0], weights };
}
