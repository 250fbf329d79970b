/** Network configurations as golden files write them: diffusers' JSON, a few numbers, or a short text. */
import type { ClipConfig, UNetConfig, VaeConfig } from "../../rcod/settings/config.ts";
import { parseUNetConfig, parseVaeConfig } from "../../rcod/settings/config.ts";
import type { CaseParameters } from "../runner/golden-file.ts";

/** What `unet/config.json` of Stable Diffusion 2.1-base says beside the defaults. */
const SD21_UNET = {
  down_block_types: [
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D",
  ],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  block_out_channels: [320, 640, 1280, 1280],
  cross_attention_dim: 1024,
  attention_head_dim: [5, 10, 20, 20],
};

/** CLIP ViT-L/14. */
export const CLIP_L14: ClipConfig = {
  hiddenSize: 1024,
  intermediateSize: 4096,
  numLayers: 24,
  numHeads: 16,
  imageSize: 224,
  patchSize: 14,
  layerNormEps: 1e-5,
  quantization: null,
};

/** `config` (or another key) as diffusers' JSON; the network of SD 2.1 where it is absent or a text. */
export function unetConfigOf(parameters: CaseParameters, key = "config"): UNetConfig {
  const config = parameters.get(key);
  return parseUNetConfig(typeof config === "object" && config !== null ? config : SD21_UNET, key);
}

/**
 * `config` (or another key) as diffusers' JSON, or as a text like "SD: block_out_channels 128,256,
 * layers_per_block 2, latent 4, groups 32" whose numbers replace those of SD's VAE.
 */
export function vaeConfigOf(parameters: CaseParameters, key = "config"): VaeConfig {
  const config = parameters.get(key);
  if (typeof config === "object" && config !== null) return parseVaeConfig(config, key);
  const text = typeof config === "string" ? config : "";
  const widths = /block_out_channels ((?:\d+,)*\d+)/.exec(text)?.[1];
  const count = (name: string): number | undefined => {
    const digits = new RegExp(`${name} (\\d+)`).exec(text)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  return parseVaeConfig(
    {
      block_out_channels: widths?.split(",").map(Number) ?? [128, 256, 512, 512],
      layers_per_block: count("layers_per_block") ?? 2,
      latent_channels: count("latent"),
      norm_num_groups: count("groups"),
    },
    key,
  );
}

/** Width, depth and so on of a CLIP tower, written as `hidden` or `d`, `layers`, `heads`, `mlp`, `patch`, `image`. */
export function clipConfigOf(parameters: CaseParameters): ClipConfig {
  return {
    hiddenSize: parameters.number(parameters.has("hidden") ? "hidden" : "d"),
    intermediateSize: parameters.number("mlp"),
    numLayers: parameters.number("layers"),
    numHeads: parameters.number("heads"),
    imageSize: parameters.number("image"),
    patchSize: parameters.number("patch"),
    layerNormEps: parameters.number("eps", 1e-5),
    quantization: null,
  };
}
