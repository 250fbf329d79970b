/** RCOD_S's generator with the weights merged for one pair of scores: encoder, UNet at each timestep, decoder. */
import { WeightScope } from "../../graph/ir/builder.ts";
import type { HostTensor } from "../../graph/program.ts";
import { blockOfModule } from "../../rcod/networks/modulation.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import type { CaseRunner } from "../runner/run-case.ts";
import { compareResults, networkWeights, readInput } from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";
import { unetConfigOf, vaeConfigOf } from "./case-configs.ts";
import { buildUNet, unetEmbedding } from "./model-cases.ts";
import { modulateWith, runModulation, sharedInputs } from "./rcod-s-cases.ts";

const ROOT = new WeightScope();

/** Inputs are those of `generator_common` and `modulation_common`; the case itself has the scores. */
export const generatorCase: CaseRunner = async (run) => {
  const { golden, session } = run;
  const { parameters } = golden;
  const unet = unetConfigOf(parameters, "unet_config");
  const vae = vaeConfigOf(parameters, "vae_config");
  const alpha = parameters.number("a");
  const scale = vae.scalingFactor;
  const ranks = { vae: parameters.number("rank_vae"), unet: parameters.number("rank_unet") };
  const { matrices } = await runModulation(run, ranks);
  const modulated = (part: LoraPart): WeightSet => {
    const targets = new Set(parameters.get(`${part}_targets`) as readonly unknown[]);
    const levels = (part === "vae" ? vae : unet).blockOutChannels.length;
    return {
      ...networkWeights(golden, `${golden.name} ${part}`, {
        lora: {
          scaling: parameters.number(`${part}_scaling`),
          rank: ranks[part],
          factors(weight) {
            const module = weight.replace(/\.weight$/, "");
            if (!targets.has(module)) return null;
            const block = blockOfModule(part, module, levels);
            return { a: `${module}.lora_A.weight`, b: `${module}.lora_B.weight`, block };
          },
        },
      }),
      prepare: modulateWith(session, matrices[part], ranks[part]),
    };
  };
  const results: Record<string, HostTensor> = {};
  const common = sharedInputs(run, "generator_common");

  const image = await readInput(common, "x");
  const { moments } = (await session.run({
    weights: modulated("vae"),
    build: (g) => g.output("moments", vaeEncoder(g, ROOT, g.input("image", image.shape), vae)),
    inputs: { image: image.data },
  })) as { moments: HostTensor };
  results["moments"] = moments;
  const noise = await readInput(common, "noise");
  const latents = latentsOf(moments, noise.data, vae.latentChannels, scale);
  results["latent"] = latents.mean;
  results["latent_sampled"] = latents.sampled;

  const tokens = await readInput(common, "tokens");
  const root = Math.sqrt(alpha);
  const timesteps = parameters.numbers("timesteps");
  await session.withProgram(
    modulated("unet"),
    (g) => {
      const { latent, eps } = buildUNet(g, unet, latents.mean.shape, tokens.shape);
      g.output("eps", eps);
      g.output("x0", g.combine(latent, 1 / root, eps, -Math.sqrt(1 - alpha) / root, "x0"));
    },
    async ({ run: execute, read }) => {
      const at = (t: number, latent: Float32Array): Promise<void> =>
        execute({ latent, context: tokens.data, embedding: unetEmbedding(t, unet) });
      for (const t of timesteps) {
        await at(t, latents.mean.data);
        results[`eps_t${t}`] = await read("eps");
        results[`x0_t${t}`] = await read("x0");
        if (!golden.outputs.includes(`eps_sampled_t${t}`)) continue;
        await at(t, latents.sampled.data);
        results[`eps_sampled_t${t}`] = await read("eps");
      }
    },
  );

  await session.withProgram(
    networkWeights(golden, "decoder"),
    (g) => {
      const z = g.scale(g.input("x0", latents.mean.shape), 1 / scale, "z");
      g.output("image", vaeDecoder(g, ROOT, z, vae));
    },
    async ({ run: execute, read }) => {
      for (const t of timesteps) {
        if (!golden.outputs.includes(`image_t${t}`)) continue;
        await execute({ x0: (results[`x0_t${t}`] as HostTensor).data });
        const { shape, data } = await read("image");
        results[`image_t${t}`] = {
          shape,
          data: data.map((value) => Math.min(Math.max(value, -1), 1)),
        };
      }
    },
  );
  return compareResults(golden, session.dtype, results);
};

/** Mean, and mean + exp(logvar / 2)·noise, both times the scaling factor. */
function latentsOf(
  { shape, data }: HostTensor,
  noise: Float32Array,
  channels: number,
  scale: number,
): { readonly mean: HostTensor; readonly sampled: HostTensor } {
  const mean = new Float32Array(data.length / 2);
  const sampled = new Float32Array(mean.length);
  for (let i = 0; i < mean.length; i++) {
    const at = Math.floor(i / channels) * 2 * channels + (i % channels);
    const logvar = Math.min(Math.max(data[at + channels] as number, -30), 20);
    mean[i] = scale * (data[at] as number);
    sampled[i] = scale * ((data[at] as number) + Math.exp(0.5 * logvar) * (noise[i] as number));
  }
  const latentShape = [...shape.slice(0, -1), channels];
  return {
    mean: { shape: latentShape, data: mean },
    sampled: { shape: latentShape, data: sampled },
  };
}
