/**
 * RCOD_O from end to end at full size: tokens, encoder, UNet at each stored timestep, decoder. One model on the
 * device at a time.
 *
 *   tokens = CLIP(clip_pixel_values)·Wᵀ + b        latent = mean(VAE.encode(x))·s
 *   x0 = (latent − √(1 − α)·eps) / √α              raw = VAE.decode(x0 / s), out = clamp(raw, −1, 1)
 *
 * CLIP's pixels are an input of the case (already normalised), so this checks the networks, not the resize.
 */
import { WeightScope } from "../../graph/ir/builder.ts";
import type { HostTensor } from "../../graph/program.ts";
import { clipVisionModel } from "../../rcod/networks/clip-vision.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { compareResults, networkWeights, readInput } from "../runner/run-case.ts";
import { CLIP_L14, unetConfigOf, vaeConfigOf } from "./case-configs.ts";
import { buildUNet, unetEmbedding } from "./model-cases.ts";

const ROOT = new WeightScope();

/** Whether a case is the whole pipeline: it has no `op`, `block` or `model`, but a list of timesteps. */
export function isPipeline({ golden }: Pick<CaseRun, "golden">): boolean {
  return golden.parameters.has("timesteps") && golden.has("inputs/clip_pixel_values");
}

export const pipelineCase: CaseRunner = async ({ golden, session }) => {
  const { parameters } = golden;
  const unet = unetConfigOf(parameters, "unet_config");
  const vae = vaeConfigOf(parameters, "vae_config");
  const alpha = parameters.number("alpha");
  const scalingFactor = parameters.number("scaling_factor");
  const results: Record<string, HostTensor> = {};

  const pixels = await readInput(golden, "clip_pixel_values");
  const { tokens } = (await session.run({
    weights: networkWeights(golden, "clip"),
    build(g) {
      const hidden = clipVisionModel(g, ROOT, g.input("pixels", pixels.shape), CLIP_L14);
      g.output("tokens", g.linear(hidden, ROOT.at("image_proj"), unet.crossAttentionDim, true));
    },
    inputs: { pixels: pixels.data },
  })) as { tokens: HostTensor };
  results["tokens"] = tokens;

  const image = await readInput(golden, "x");
  const { latent } = (await session.run({
    weights: networkWeights(golden, "vae encoder"),
    build(g) {
      const moments = vaeEncoder(g, ROOT, g.input("image", image.shape), vae);
      const mean = g.sliceChannels(moments, 0, vae.latentChannels, null, "mean");
      g.output("latent", g.scale(mean, scalingFactor, "latent"));
    },
    inputs: { image: image.data },
  })) as { latent: HostTensor };
  results["latent"] = latent;

  const timesteps = parameters.numbers("timesteps").filter((t) => isStored(golden.outputs, t));
  await session.withProgram(
    networkWeights(golden, "unet"),
    (g) => {
      const { latent: sample, eps } = buildUNet(g, unet, latent.shape, tokens.shape);
      const root = Math.sqrt(alpha);
      g.output("eps", eps);
      g.output("x0", g.combine(sample, 1 / root, eps, -Math.sqrt(1 - alpha) / root, "x0"));
    },
    async ({ run, read }) => {
      for (const t of timesteps) {
        await run({ latent: latent.data, context: tokens.data, embedding: unetEmbedding(t, unet) });
        results[`eps_t${t}`] = await read("eps");
        results[`x0_t${t}`] = await read("x0");
      }
    },
  );

  await session.withProgram(
    networkWeights(golden, "vae decoder"),
    (g) => {
      const z = g.scale(g.input("x0", latent.shape), 1 / scalingFactor, "z");
      g.output("raw", vaeDecoder(g, ROOT, z, vae));
    },
    async ({ run, read }) => {
      for (const t of timesteps) {
        if (!golden.outputs.includes(`out_t${t}`) && !golden.outputs.includes(`raw_t${t}`))
          continue;
        await run({ x0: (results[`x0_t${t}`] as HostTensor).data });
        const raw = await read("raw");
        results[`raw_t${t}`] = raw;
        results[`out_t${t}`] = {
          shape: raw.shape,
          data: raw.data.map((value) => Math.min(Math.max(value, -1), 1)),
        };
      }
    },
  );
  // x0 and raw are stored without errors of their own: x0 has those of its operands, raw those of what is clamped.
  const relatives = Object.fromEntries(
    timesteps.flatMap((t) => [
      [`x0_t${t}`, ["latent", `eps_t${t}`]],
      [`raw_t${t}`, [`out_t${t}`]],
    ]),
  );
  return compareResults(golden, session.dtype, results, relatives);
};

function isStored(outputs: readonly string[], timestep: number): boolean {
  return outputs.some((name) => name.endsWith(`_t${timestep}`));
}
