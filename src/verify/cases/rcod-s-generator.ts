/** RCOD_S's generator with the weights merged for one pair of scores: encoder, UNet at each timestep, decoder. */
import type { HostTensor } from "../../graph/program.ts";
import { blockOfModule } from "../../rcod/networks/modulation.ts";
import type { VaeConfig } from "../../rcod/settings/config.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import type { CaseRunner } from "../runner/run-case.ts";
import { compareResults, networkWeights, readInput } from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";
import { unetConfigOf, vaeConfigOf } from "./case-configs.ts";
import { modulateWith, runModulation, sharedInputs } from "./rcod-s-cases.ts";
import { decodeAt, denoise, latentOf } from "./stages.ts";

/** Inputs are those of `generator_common` and `modulation_common`; the case itself has the scores. */
export const generatorCase: CaseRunner = async (run) => {
  const { golden, session } = run;
  const { parameters } = golden;
  const unet = unetConfigOf(parameters, "unet_config");
  const vae = vaeConfigOf(parameters, "vae_config");
  const alpha = parameters.number("a");
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
  const common = sharedInputs(run, "generator_common");
  const image = await readInput(common, "x");
  const { moments } = await latentOf(session, modulated("vae"), image, vae);
  const noise = await readInput(common, "noise");
  const { mean, sampled } = latentsOf(moments, noise.data, vae);
  const timesteps = parameters.numbers("timesteps");
  const latents = timesteps.flatMap((timestep) => {
    const all = [
      { suffix: `_t${timestep}`, timestep, latent: mean },
      { suffix: `_sampled_t${timestep}`, timestep, latent: sampled },
    ];
    return all.filter(({ suffix }, i) => i === 0 || golden.outputs.includes(`eps${suffix}`));
  });
  const tokens = await readInput(common, "tokens");
  const denoised = await denoise(session, modulated("unet"), unet, alpha, tokens, latents);
  const pictures = timesteps.filter((t) => golden.outputs.includes(`image_t${t}`));
  const decoder = networkWeights(golden, "decoder");
  return compareResults(golden, session.dtype, {
    moments,
    latent: mean,
    latent_sampled: sampled,
    ...denoised,
    ...(await decodeAt(session, decoder, vae, pictures, denoised)),
  });
};

/** Mean, and mean + exp(logvar / 2)·noise, both times the scaling factor. */
function latentsOf(
  { shape, data }: HostTensor,
  noise: Float32Array,
  { latentChannels: channels, scalingFactor: scale }: VaeConfig,
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
