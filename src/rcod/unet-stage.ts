/** The one UNet call and the one-step formula. */
import { quadCount } from "../gpu/shape.ts";
import { activationByteLength } from "../graph/lower.ts";
import { packActivation } from "../graph/pack-activation.ts";
import { runPlan } from "../graph/run-plan.ts";
import { elementwise } from "../kernels/elementwise.ts";
import { clipTokens } from "./config.ts";
import { oneStepCoefficients, unetGraph } from "./graphs.ts";
import { blendLatentTiles } from "./latent-blend.ts";
import type { UpscaleOptions } from "./options.ts";
import type { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { latentTiling } from "./tiling.ts";
import { timestepEmbedding } from "./unet.ts";

/** Stage "unet": one call and the one-step formula: z [1, h, w, L], ready for the decoder. */
export async function predictLatents(
  { gpu, configs, programs, dtype }: StageContext,
  encoded: Encoded,
  timestep: number,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<GPUBuffer> {
  clock.start("unet");
  await programs.enter("unet", clock.enterOptions(options.signal));
  const { unet, vae, rcod, clip } = configs;
  const { latentHeight: height, latentWidth: width, latents, tokens } = encoded;
  const embedding = timestepEmbedding(timestep, unet, unet.blockOutChannels[0] as number);
  const timestepBytes = packActivation(embedding, embedding.length, dtype);
  const tiling = latentTiling(width, height, rcod.latentTiles.tile, rcod.latentTiles.overlap);
  const [tileHeight, tileWidth] = tiling ? [tiling.tile, tiling.tile] : [height, width];
  const program = await programs.get(`unet ${tileHeight}x${tileWidth}`, "unet", () =>
    unetGraph(unet, tileHeight, tileWidth, clipTokens(clip), dtype),
  );
  const shape = [1, height, width, vae.latentChannels];
  const z = gpu.memory.create("z", activationByteLength(shape, dtype), "images");
  let blended: GPUBuffer | undefined;
  try {
    let eps: GPUBufferBinding;
    if (tiling === null) {
      await program.run(
        { latents, tokens, timestep: timestepBytes },
        clock.runOptions(options.signal),
      );
      eps = program.result("eps");
    } else {
      const { latentChannels: channels } = vae;
      blended = await blendLatentTiles(
        gpu,
        program,
        { latents, tokens, timestep: timestepBytes, height, width, channels, dtype },
        tiling,
        {
          symmetric: options.reference !== true,
          runOptions: (start, length) => clock.runOptions(options.signal, start, length),
        },
      );
      eps = { buffer: blended };
    }
    const { p, q } = oneStepCoefficients(rcod, vae);
    await runPlan(
      gpu,
      elementwise.plan(
        {
          dtype,
          quads: height * width * quadCount(vae.latentChannels),
          hasB: true,
          scaleA: p,
          scaleB: -q,
          activation: "none",
        },
        gpu.caps,
      ),
      { a: latents, b: { buffer: eps.buffer, ...(eps.size && { size: eps.size }) }, y: z },
    );
    return z;
  } catch (error) {
    gpu.memory.release(z);
    throw error;
  } finally {
    if (blended) gpu.memory.release(blended);
  }
}
