/**
 * The stages of a whole model, whose weights and inputs come from the case:
 *
 *   tokens = CLIP(pixels)·Wᵀ + b                  latent = mean(VAE.encode(x))·s
 *   x0 = (latent − √(1 − α)·eps) / √α             image = clamp(VAE.decode(x0 / s), −1, 1)
 */
import { WeightScope } from "../../graph/ir/builder.ts";
import type { HostTensor } from "../../graph/program.ts";
import { clipVisionModel } from "../../rcod/networks/clip-vision.ts";
import { IMAGE_PROJ } from "../../rcod/networks/graphs.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { ClipConfig, UNetConfig, VaeConfig } from "../../rcod/settings/config.ts";
import type { GoldenTensor } from "../runner/golden-file.ts";
import type { Session, WeightSet } from "../runner/session.ts";
import { buildUNet, unetEmbedding } from "./model-cases.ts";

const ROOT = new WeightScope();

/** Results by the names of outputs. */
export type Results = Record<string, HostTensor>;

/** `clip_last_hidden_state` and `tokens` of normalised pixels. */
export function tokensOf(
  session: Session,
  weights: WeightSet,
  pixels: GoldenTensor,
  clip: ClipConfig,
  { crossAttentionDim }: UNetConfig,
): Promise<Record<"clip_last_hidden_state" | "tokens", HostTensor>> {
  return session.run({
    weights,
    build(g) {
      const hidden = clipVisionModel(g, ROOT, g.input("pixels", pixels.shape), clip);
      g.output("clip_last_hidden_state", hidden);
      g.output("tokens", g.linear(hidden, ROOT.at(IMAGE_PROJ), crossAttentionDim, true));
    },
    inputs: { pixels: pixels.data },
  });
}

/** `moments` and `latent`, the scaled mean, of an image. */
export function latentOf(
  session: Session,
  weights: WeightSet,
  x: GoldenTensor,
  vae: VaeConfig,
): Promise<Record<"moments" | "latent", HostTensor>> {
  return session.run({
    weights,
    build(g) {
      const moments = vaeEncoder(g, ROOT, g.input("x", x.shape), vae);
      g.output("moments", moments);
      const mean = g.sliceChannels(moments, 0, vae.latentChannels, null, "mean");
      g.output("latent", g.scale(mean, vae.scalingFactor, "latent"));
    },
    inputs: { x: x.data },
  });
}

/** Latents to denoise, all of one shape, by the suffix that their results get. */
export interface NoisyLatent {
  readonly suffix: string;
  readonly timestep: number;
  readonly latent: HostTensor;
}

/** `eps<suffix>` and `x0<suffix>` of each latent, with one program. */
export async function denoise(
  session: Session,
  weights: WeightSet,
  unet: UNetConfig,
  alpha: number,
  tokens: GoldenTensor,
  latents: readonly NoisyLatent[],
): Promise<Results> {
  const results: Results = {};
  const root = Math.sqrt(alpha);
  await session.withProgram(
    weights,
    (g) => {
      const { latent, eps } = buildUNet(g, unet, latents[0]?.latent.shape ?? [], tokens.shape);
      g.output("eps", eps);
      g.output("x0", g.combine(latent, 1 / root, eps, -Math.sqrt(1 - alpha) / root, "x0"));
    },
    async ({ program, run }) => {
      for (const { suffix, timestep, latent } of latents) {
        const embedding = unetEmbedding([timestep], unet);
        await run({ latent: latent.data, context: tokens.data, embedding });
        results[`eps${suffix}`] = await program.read("eps");
        results[`x0${suffix}`] = await program.read("x0");
      }
    },
  );
  return results;
}

/** `raw_t…` and `image_t…`, which is clamped, for each timestep with `x0_t…`. */
export async function decodeAt(
  session: Session,
  weights: WeightSet,
  vae: VaeConfig,
  timesteps: readonly number[],
  denoised: Results,
): Promise<Results> {
  const results: Results = {};
  const x0s = timesteps.map((t) => [t, denoised[`x0_t${t}`] as HostTensor] as const);
  await session.withProgram(
    weights,
    (g) => {
      const x0 = g.input("x0", x0s[0]?.[1].shape ?? []);
      const z = g.scale(x0, 1 / vae.scalingFactor, "z");
      g.output("raw", vaeDecoder(g, ROOT, z, vae));
    },
    async ({ program, run }) => {
      for (const [t, { data }] of x0s) {
        await run({ x0: data });
        const raw = await program.read("raw");
        const clamped = raw.data.map((value) => Math.min(Math.max(value, -1), 1));
        results[`raw_t${t}`] = raw;
        results[`image_t${t}`] = { shape: raw.shape, data: clamped };
      }
    },
  );
  return results;
}
