/**
 * Configurations as data: diffusers' and transformers' config.json, checked field by field. What this
 * engine does not implement is refused by name here, before anything is downloaded or allocated.
 */
import { Fields } from "./config-fields.ts";
import type { Quantization } from "./quantization.ts";
import { parseQuantization } from "./quantization.ts";
import type { RealismTable } from "./realism-table.ts";

export { ConfigError } from "./config-fields.ts";

/** diffusers' UNet2DConditionModel, resolved to one entry per level. */
export interface UNetConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  /** Whether level i has attention on the way down. */
  readonly downAttention: readonly boolean[];
  /** Whether up block i (deepest first) has attention. */
  readonly upAttention: readonly boolean[];
  readonly midAttention: boolean;
  /** Attention heads of level i. Trap: older configs call this `attention_head_dim`. */
  readonly numHeads: readonly number[];
  readonly crossAttentionDim: number;
  readonly normNumGroups: number;
  readonly normEps: number;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly downsamplePadding: number;
  readonly quantization: Quantization | null;
}

/** diffusers' AutoencoderKL. */
export interface VaeConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  readonly latentChannels: number;
  /** Channels of the pixel path beside the latents (`vae.ts`); not in diffusers, where there are none. */
  readonly pixelChannels: number;
  readonly normNumGroups: number;
  readonly scalingFactor: number;
  readonly midAttention: boolean;
  /** Whether its activations overflow in f16. Unlike diffusers' own default, which no pipeline of SD reads, absent is false. */
  readonly forceUpcast: boolean;
  readonly quantization: Quantization | null;
}

/** transformers' CLIPVisionModel. */
export interface ClipConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly layerNormEps: number;
  /** Of the tower; the token projection is floats. */
  readonly quantization: Quantization | null;
}

/** RCOD's Metric Estimation Module in our small form (`mem.ts`). */
export interface MemConfig {
  /** The VAE's latent channels. */
  readonly inChannels: number;
  /** Width after each convolution, all of stride 2. */
  readonly blockOutChannels: readonly number[];
}

/** What the pipeline itself needs to know (`rcod_config.json`; defaults are those of its instance, rcod paper §1). */
export interface RcodConfig {
  /**
   * RCOD_O stands on OSEDiff: one model for all images. RCOD_S stands on S3Diff: the LoRA of UNet and encoder
   * depends on how an image is degraded.
   */
  readonly instance: "RCOD_O" | "RCOD_S";
  /** abar of the one-step formula; the same for every timestep. */
  readonly alpha: number;
  readonly timesteps: {
    readonly fidelity: number;
    readonly neutral: number;
    readonly realism: number;
  };
  /** Timesteps of realism 0 to 1 at equal steps of it, rising (`realism-table.ts`). */
  readonly realismTimesteps: RealismTable;
  /**
   * Latent metric M_L below which the automatic choice is `timesteps.realism`, and from which on it is
   * `timesteps.fidelity`. 0 ≤ first < second ≤ 1.
   */
  readonly thresholds: readonly [number, number];
  /** File in the model folder with what was trained on top of its frozen base, or null. */
  readonly checkpoint: string | null;
  /** RCOD_S: file with the weights of the degradation estimator, or null. */
  readonly degradationEstimator: string | null;
  /** RCOD_S: file with the metric estimation module; a model without that file has no "auto". */
  readonly memCheckpoint: string | null;
  /** The checkpoint's LoRA is scaled by this over its rank; the file does not store it. */
  readonly loraAlpha: number;
  readonly colorFix: "adain" | "wavelet" | "none";
  /** The UNet sees a latent map with an area above `tile`² in tiles of that side that share `overlap` pixels. */
  readonly latentTiles: { readonly tile: number; readonly overlap: number };
  readonly upscale: number;
  /** Low-resolution inputs with a shorter side are enlarged first. */
  readonly minSize: number;
}

export const RCOD_O: RcodConfig = {
  instance: "RCOD_O",
  alpha: 0.7537,
  timesteps: { fidelity: 249, neutral: 499, realism: 749 },
  realismTimesteps: [249, 749],
  thresholds: [0.5, 0.7],
  checkpoint: null,
  degradationEstimator: null,
  memCheckpoint: null,
  loraAlpha: 8, // PEFT's default
  colorFix: "adain",
  latentTiles: { tile: 96, overlap: 32 },
  upscale: 4,
  minSize: 128,
};

/** Names are those of the released files. */
export const RCOD_S: RcodConfig = {
  ...RCOD_O,
  instance: "RCOD_S",
  alpha: 0.6754,
  checkpoint: "rcod_s.pkl",
  degradationEstimator: "de_net.pth",
  memCheckpoint: "rcod_s_mem.pkl",
  colorFix: "wavelet",
  minSize: 1,
};

const MAX_LAYERS_PER_BLOCK = 64;
const MAX_CLIP_LAYERS = 256;
/** Entries of `realism_timesteps`. */
const MAX_TABLE = 101;

/**
 * Fields of diffusers' UNet2DConditionModel that change its mathematics, with the values that are implemented; none
 * where only their absence is. Whether projections are linear or 1×1 convolutions is all one, and so is where
 * attention is computed in f32: it is accumulated so.
 */
const UNET_ONLY: readonly (readonly [key: string, ...allowed: unknown[]])[] = [
  ["act_fn", "silu", "swish"],
  ["upcast_attention", false, true],
  ["resnet_time_scale_shift", "default"],
  ["resnet_skip_time_act", false],
  ["resnet_out_scale_factor", 1],
  ["time_embedding_type", "positional"],
  ["time_embedding_dim"],
  ["time_embedding_act_fn"],
  ["timestep_post_act"],
  ["time_cond_proj_dim"],
  ["center_input_sample", false],
  ["dual_cross_attention", false],
  ["class_embed_type"],
  ["class_embeddings_concat", false],
  ["num_class_embeds"],
  ["addition_embed_type"],
  ["encoder_hid_dim"],
  ["encoder_hid_dim_type"],
  ["attention_type", "default"],
  ["cross_attention_norm"],
  ["transformer_layers_per_block", 1],
  ["reverse_transformer_layers_per_block"],
  ["only_cross_attention", false],
  ["mid_block_only_cross_attention", false],
  ["mid_block_scale_factor", 1],
  ["mid_block_type", "UNetMidBlock2DCrossAttn"],
  ["conv_in_kernel", 3],
  ["conv_out_kernel", 3],
];

/** Parses `unet/config.json`. */
export function parseUNetConfig(json: unknown, name = "unet/config.json"): UNetConfig {
  const f = new Fields(json, name);
  f.only("_class_name", "UNet2DConditionModel");
  for (const [key, ...allowed] of UNET_ONLY) f.only(key, ...allowed);
  const blockOutChannels = f.counts("block_out_channels");
  const levels = blockOutChannels.length;
  const downTypes = ["CrossAttnDownBlock2D", "DownBlock2D"];
  const down = f.namesByLevel("down_block_types", downTypes, levels);
  const up = f.namesByLevel("up_block_types", ["CrossAttnUpBlock2D", "UpBlock2D"], levels);
  const headsKey = f.has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
  const numHeads = Array.isArray(f.get(headsKey))
    ? f.counts(headsKey)
    : blockOutChannels.map(() => f.count(headsKey, 8));
  if (numHeads.length !== levels) f.failLevels(headsKey, levels);
  f.only("downsample_padding", 0, 1);
  const normNumGroups = f.count("norm_num_groups", 32);
  blockOutChannels.forEach((channels, level) => {
    if (channels % normNumGroups !== 0)
      f.fail("block_out_channels", `must be divisible by norm_num_groups ${normNumGroups}`);
    if (channels % (numHeads[level] as number) !== 0)
      f.fail("block_out_channels", `must be divisible by its ${numHeads[level]} heads`);
  });
  return {
    inChannels: f.count("in_channels", 4),
    outChannels: f.count("out_channels", 4),
    blockOutChannels,
    layersPerBlock: f.layers("layers_per_block", 2, MAX_LAYERS_PER_BLOCK),
    downAttention: down.map((type) => type.startsWith("CrossAttn")),
    upAttention: up.map((type) => type.startsWith("CrossAttn")),
    midAttention: true,
    numHeads,
    crossAttentionDim: f.count("cross_attention_dim", 1280),
    normNumGroups,
    normEps: f.positive("norm_eps", 1e-5),
    flipSinToCos: f.flag("flip_sin_to_cos", true),
    freqShift: f.number("freq_shift", 0),
    downsamplePadding: f.number("downsample_padding", 1),
    quantization: parseQuantization(f, name),
  };
}

/** Parses `vae/config.json`. */
export function parseVaeConfig(json: unknown, name = "vae/config.json"): VaeConfig {
  const f = new Fields(json, name);
  f.only("_class_name", "AutoencoderKL");
  f.only("act_fn", "silu", "swish");
  f.only("use_quant_conv", true);
  f.only("use_post_quant_conv", true);
  f.only("shift_factor", 0);
  f.only("latents_mean");
  f.only("latents_std");
  const blockOutChannels = f.counts("block_out_channels");
  const levels = blockOutChannels.length;
  for (const [key, type] of [
    ["down_block_types", "DownEncoderBlock2D"],
    ["up_block_types", "UpDecoderBlock2D"],
  ] as const) {
    if (f.has(key)) f.namesByLevel(key, [type], levels);
  }
  const normNumGroups = f.count("norm_num_groups", 32);
  for (const channels of blockOutChannels) {
    if (channels % normNumGroups !== 0)
      f.fail("block_out_channels", `must be divisible by norm_num_groups ${normNumGroups}`);
  }
  for (const key of ["in_channels", "out_channels"]) {
    if (f.count(key, 3) !== 3) f.fail(key, "must be 3");
  }
  return {
    inChannels: 3,
    outChannels: 3,
    blockOutChannels,
    layersPerBlock: f.layers("layers_per_block", 1, MAX_LAYERS_PER_BLOCK),
    latentChannels: f.count("latent_channels", 4),
    pixelChannels: f.has("pixel_channels") ? f.count("pixel_channels") : 0,
    normNumGroups,
    scalingFactor: f.positive("scaling_factor", 0.18215),
    midAttention: f.flag("mid_block_add_attention", true),
    forceUpcast: f.flag("force_upcast", false),
    quantization: parseQuantization(f, name),
  };
}

/** Parses a CLIP config.json: the vision part of a full CLIP (`vision_config`), or a vision config alone. */
export function parseClipConfig(json: unknown, name = "image_encoder/config.json"): ClipConfig {
  const whole = new Fields(json, name);
  const f = whole.has("vision_config")
    ? new Fields(whole.get("vision_config"), `${name} vision_config`)
    : whole;
  whole.only("model_type", "clip", "clip_vision_model");
  f.only("model_type", "clip", "clip_vision_model");
  f.only("hidden_act", "quick_gelu");
  f.only("num_channels", 3);
  const config: ClipConfig = {
    hiddenSize: f.count("hidden_size", 768),
    intermediateSize: f.count("intermediate_size", 3072),
    numLayers: f.layers("num_hidden_layers", 12, MAX_CLIP_LAYERS),
    numHeads: f.count("num_attention_heads", 12),
    imageSize: f.count("image_size", 224),
    patchSize: f.count("patch_size", 32),
    layerNormEps: f.positive("layer_norm_eps", 1e-5),
    quantization: parseQuantization(whole, name),
  };
  if (config.hiddenSize % config.numHeads !== 0)
    f.fail("hidden_size", `must be divisible by num_attention_heads ${config.numHeads}`);
  if (config.patchSize > config.imageSize)
    f.fail("patch_size", `must not exceed image_size ${config.imageSize}`);
  return config;
}

/** Parses `mem/config.json`. */
export function parseMemConfig(json: unknown, name = "mem/config.json"): MemConfig {
  const f = new Fields(json, name);
  f.only("_class_name", "MetricEstimationModule");
  return {
    inChannels: f.count("in_channels"),
    blockOutChannels: f.counts("block_out_channels"),
  };
}

/** Parses `rcod_config.json`; absent fields are those of its instance, which is RCOD_O where none is named. */
export function parseRcodConfig(json: unknown, name = "rcod_config.json"): RcodConfig {
  const f = new Fields(json, name);
  f.only("instance", "RCOD_O", "RCOD_S");
  const preset = f.get("instance") === "RCOD_S" ? RCOD_S : RCOD_O;
  const alpha = f.positive("alpha", preset.alpha);
  if (alpha >= 1) f.fail("alpha", "must be below 1");
  const t = new Fields(f.has("timesteps") ? f.get("timesteps") : {}, `${name} timesteps`);
  const timestep = (key: keyof RcodConfig["timesteps"]): number => {
    const value = t.number(key, RCOD_O.timesteps[key]);
    return value >= 0 && value <= 999 ? value : t.fail(key, "must be from 0 to 999");
  };
  const colorFix = f.has("color_fix") ? f.get("color_fix") : preset.colorFix;
  if (colorFix !== "adain" && colorFix !== "wavelet" && colorFix !== "none") {
    return f.fail("color_fix", "must be adain, wavelet or none");
  }
  if (preset.instance === "RCOD_O") {
    f.only("degradation_estimator");
    f.only("mem_checkpoint");
  }
  return {
    instance: preset.instance,
    alpha,
    timesteps: {
      fidelity: timestep("fidelity"),
      neutral: timestep("neutral"),
      realism: timestep("realism"),
    },
    realismTimesteps: parseRealismTimesteps(f),
    thresholds: parseThresholds(f),
    checkpoint: parseFileName(f, "checkpoint", preset.checkpoint),
    degradationEstimator: parseFileName(f, "degradation_estimator", preset.degradationEstimator),
    memCheckpoint: parseFileName(f, "mem_checkpoint", preset.memCheckpoint),
    loraAlpha: f.positive("lora_alpha", preset.loraAlpha),
    colorFix,
    latentTiles: parseLatentTiles(f),
    upscale: f.count("upscale", preset.upscale),
    minSize: f.count("min_size", preset.minSize),
  };
}

/** A weight file of the model folder. */
function parseFileName(f: Fields, key: string, fallback: string | null): string | null {
  if (!f.has(key)) return fallback;
  const value = f.get(key);
  return typeof value === "string" && /^[^/\\:\0]+\.(?:safetensors|pkl|pth|bin)$/.test(value)
    ? value
    : f.fail(
        key,
        "must be the name of a .safetensors, .pkl, .pth or .bin file in the model folder",
      );
}

function parseLatentTiles(f: Fields): RcodConfig["latentTiles"] {
  const tile = f.count("latent_tile", RCOD_O.latentTiles.tile);
  const overlap = f.count("latent_overlap", Math.min(RCOD_O.latentTiles.overlap, tile >> 1));
  return overlap <= tile / 2
    ? { tile, overlap }
    : f.fail("latent_overlap", `must be at most half of latent_tile ${tile}`);
}

function parseRealismTimesteps(f: Fields): RealismTable {
  const key = "realism_timesteps";
  if (!f.has(key)) return RCOD_O.realismTimesteps;
  const value = f.get(key);
  const table: readonly unknown[] = Array.isArray(value) ? value : [];
  const isRising = table.every((entry, i) => {
    const before = i === 0 ? -1 : (table[i - 1] as number);
    return typeof entry === "number" && entry > before && entry >= 0 && entry <= 999;
  });
  return isRising && table.length >= 2 && table.length <= MAX_TABLE
    ? (table as RealismTable)
    : f.fail(key, `must be 2 to ${MAX_TABLE} rising numbers from 0 to 999`);
}

function parseThresholds(f: Fields): readonly [number, number] {
  if (!f.has("thresholds")) return RCOD_O.thresholds;
  const value = f.get("thresholds");
  const [low, high, ...rest] = Array.isArray(value) ? (value as unknown[]) : [];
  const isRange =
    typeof low === "number" && typeof high === "number" && low >= 0 && low < high && high <= 1;
  return isRange && rest.length === 0
    ? [low, high]
    : f.fail("thresholds", "must be two rising numbers in 0 … 1");
}

/** Image pixels per latent pixel along a side. */
export function vaeFactor(config: VaeConfig): number {
  return 2 ** (config.blockOutChannels.length - 1);
}

/** Channels of what the encoder gives, the UNet changes and the decoder takes: latents, then those of the pixel path. */
export function sampleChannels({
  latentChannels,
  pixelChannels,
}: Pick<VaeConfig, "latentChannels" | "pixelChannels">): number {
  return latentChannels + pixelChannels;
}

/** Visual tokens, class token included. */
export function clipTokens(config: ClipConfig): number {
  return Math.floor(config.imageSize / config.patchSize) ** 2 + 1;
}
