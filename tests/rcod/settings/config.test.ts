import { describe, expect, it } from "vitest";
import {
  ConfigError,
  RCOD_O,
  clipTokens,
  parseClipConfig,
  parseMemConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
  sampleChannels,
  vaeFactor,
} from "../../../src/rcod/settings/config.ts";
import { CLIP_L_JSON, SD21_UNET_JSON, SD_VAE_JSON } from "../../graph/full-configs.ts";

/** The smallest config.json that diffusers itself would load with its defaults. */
const UNET = {
  block_out_channels: [32, 64],
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"],
  up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D"],
};
const VAE = { block_out_channels: [32, 64] };

describe("parseUNetConfig", () => {
  it("reads SD 2.1, whose attention_head_dim are head counts", () => {
    expect(parseUNetConfig(SD21_UNET_JSON)).toEqual({
      inChannels: 4,
      outChannels: 4,
      blockOutChannels: [320, 640, 1280, 1280],
      layersPerBlock: 2,
      downAttention: [true, true, true, false],
      upAttention: [false, true, true, true],
      midAttention: true,
      numHeads: [5, 10, 20, 20],
      crossAttentionDim: 1024,
      normNumGroups: 32,
      normEps: 1e-5,
      flipSinToCos: true,
      freqShift: 0,
      downsamplePadding: 1,
      quantization: null,
    });
  });

  it("fills what is absent or null with diffusers' defaults", () => {
    const config = parseUNetConfig({
      ...UNET,
      num_class_embeds: null,
      act_fn: null,
      sample_size: 96,
    });
    expect(config).toMatchObject({
      inChannels: 4,
      outChannels: 4,
      layersPerBlock: 2,
      numHeads: [8, 8],
      crossAttentionDim: 1280,
      normNumGroups: 32,
      normEps: 1e-5,
      flipSinToCos: true,
      freqShift: 0,
      downsamplePadding: 1,
      quantization: null,
    });
  });

  it("takes one head count for all levels, and prefers num_attention_heads", () => {
    expect(parseUNetConfig({ ...UNET, attention_head_dim: 4 }).numHeads).toEqual([4, 4]);
    expect(
      parseUNetConfig({ ...UNET, attention_head_dim: 4, num_attention_heads: [2, 8] }).numHeads,
    ).toEqual([2, 8]);
    expect(
      parseUNetConfig({ ...UNET, attention_head_dim: [4, 8], num_attention_heads: null }).numHeads,
    ).toEqual([4, 8]);
  });

  const others: readonly (readonly [key: string, value: unknown])[] = [
    ["_class_name", "UNet2DModel"],
    ["resnet_skip_time_act", true],
    ["timestep_post_act", "silu"],
    ["time_embedding_act_fn", "silu"],
    ["time_embedding_dim", 512],
    ["time_cond_proj_dim", 256],
    ["time_embedding_type", "fourier"],
    ["class_embeddings_concat", true],
    ["num_class_embeds", 1000],
    ["encoder_hid_dim", 4096],
    ["encoder_hid_dim_type", "text_proj"],
    ["attention_type", "gated"],
    ["cross_attention_norm", "layer_norm"],
    ["reverse_transformer_layers_per_block", [1, 1]],
    ["mid_block_only_cross_attention", true],
    ["only_cross_attention", true],
    ["dual_cross_attention", true],
    ["mid_block_type", "UNetMidBlock2DSimpleCrossAttn"],
    ["mid_block_scale_factor", 1.4],
    ["resnet_out_scale_factor", 1.4],
    ["center_input_sample", true],
    ["conv_in_kernel", 1],
    ["conv_out_kernel", 1],
  ];
  it.each(others)("refuses %s, when it is not the default", (key, value) => {
    const parse = (): unknown => parseUNetConfig({ ...UNET, [key]: value });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(`"${key}" is `);
    expect(() => parseUNetConfig({ ...UNET, [key]: null })).not.toThrow();
  });

  const refused: readonly [string, object, string][] = [
    [
      "another activation",
      { act_fn: "gelu" },
      '"act_fn" is only supported as "silu" or "swish", got "gelu"',
    ],
    [
      "class embeddings",
      { class_embed_type: "timestep" },
      '"class_embed_type" is not supported, got "timestep"',
    ],
    [
      "SDXL's embeddings",
      { addition_embed_type: "text_time" },
      '"addition_embed_type" is not supported',
    ],
    [
      "SDXL's depths",
      { transformer_layers_per_block: [1, 2] },
      '"transformer_layers_per_block" is only supported as 1, got [1,2]',
    ],
    [
      "scale and shift",
      { resnet_time_scale_shift: "scale_shift" },
      '"resnet_time_scale_shift" is only supported as "default"',
    ],
    [
      "another block type",
      { down_block_types: ["AttnDownBlock2D", "DownBlock2D"] },
      '"down_block_types" must be a list of',
    ],
    [
      "too few block types",
      { up_block_types: ["UpBlock2D"] },
      '"up_block_types" must have 2 entries like block_out_channels',
    ],
    [
      "no widths",
      { block_out_channels: undefined },
      '"block_out_channels" must be a list of 1 to 16 integers from 1 to 65536, got nothing',
    ],
    [
      "an empty list",
      { block_out_channels: [] },
      '"block_out_channels" must be a list of 1 to 16 integers',
    ],
    [
      "a giant width",
      { block_out_channels: [1e9, 1e9] },
      '"block_out_channels" must be a list of 1 to 16 integers from 1 to 65536, got [1000000000,1000000000]',
    ],
    [
      "many levels",
      { block_out_channels: Array.from({ length: 17 }, () => 32) },
      "must be a list of 1 to 16 integers",
    ],
    ["a text for a list", { block_out_channels: "320" }, '"block_out_channels" must be a list'],
    [
      "a fraction",
      { layers_per_block: 1.5 },
      '"layers_per_block" must be an integer from 1 to 65536, got 1.5',
    ],
    [
      "a negative count",
      { in_channels: -4 },
      '"in_channels" must be an integer from 1 to 65536, got -4',
    ],
    [
      "a thousand layers",
      { layers_per_block: 60_000 },
      '"layers_per_block" must be at most 64, got 60000',
    ],
    ["a text for a number", { norm_eps: "1e-5" }, '"norm_eps" must be a finite number, got "1e-5"'],
    ["eps 0", { norm_eps: 0 }, '"norm_eps" must be above 0, got 0'],
    [
      "a text for a flag",
      { flip_sin_to_cos: "yes" },
      '"flip_sin_to_cos" must be true or false, got "yes"',
    ],
    [
      "widths that groups do not divide",
      { norm_num_groups: 24 },
      '"block_out_channels" must be divisible by norm_num_groups 24',
    ],
    [
      "heads that do not divide",
      { attention_head_dim: [3, 3] },
      "must be divisible by its 3 heads",
    ],
    [
      "too few heads",
      { attention_head_dim: [4] },
      '"attention_head_dim" must have 2 entries like block_out_channels',
    ],
    [
      "a fractional padding",
      { downsample_padding: 0.5 },
      '"downsample_padding" is only supported as 0 or 1, got 0.5',
    ],
  ];
  it.each(refused)("refuses %s by name", (_name, fields, message) => {
    const parse = () => parseUNetConfig({ ...UNET, ...fields });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
    expect(parse).toThrow("config: unet/config.json");
  });

  it.each([[null], [[]], ["{}"], [7]])("refuses %j as a whole", (json) => {
    expect(() => parseUNetConfig(json)).toThrow("config: unet/config.json must be a JSON object");
  });

  it("takes nothing from prototypes", () => {
    const inherited = Object.create({ layers_per_block: 5, in_channels: 99 }) as object;
    expect(parseUNetConfig(Object.assign(inherited, UNET))).toMatchObject({
      layersPerBlock: 2,
      inChannels: 4,
    });
    const widths = Object.create({ block_out_channels: [32] }) as object;
    expect(() => parseVaeConfig(widths)).toThrow('"block_out_channels" must be a list');
    const hostile = JSON.parse(
      '{"__proto__":{"layers_per_block":7},"constructor":1,"toString":2}',
    ) as object;
    expect(parseUNetConfig({ ...hostile, ...UNET })).toMatchObject({ layersPerBlock: 2 });
    expect(({} as Record<string, unknown>)["layers_per_block"]).toBeUndefined();
  });
});

describe("parseVaeConfig", () => {
  it("reads SD's, and counts its factor", () => {
    const config = parseVaeConfig(SD_VAE_JSON);
    expect(config).toEqual({
      inChannels: 3,
      outChannels: 3,
      blockOutChannels: [128, 256, 512, 512],
      layersPerBlock: 2,
      latentChannels: 4,
      pixelChannels: 0,
      normNumGroups: 32,
      scalingFactor: 0.18215,
      midAttention: true,
      forceUpcast: false,
      quantization: null,
    });
    expect(vaeFactor(config)).toBe(8);
  });

  it("reads a pixel path, whose channels go with the latents", () => {
    const config = parseVaeConfig({ ...VAE, latent_channels: 6, pixel_channels: 5 });
    expect(config).toMatchObject({ latentChannels: 6, pixelChannels: 5 });
    expect(sampleChannels(config)).toBe(11);
  });

  it("fills in the defaults", () => {
    expect(parseVaeConfig(VAE)).toMatchObject({
      layersPerBlock: 1,
      latentChannels: 4,
      normNumGroups: 32,
      scalingFactor: 0.18215,
      midAttention: true,
    });
    expect(parseVaeConfig({ ...VAE, mid_block_add_attention: false }).midAttention).toBe(false);
  });

  const refused: readonly [string, object, string][] = [
    [
      "no quant_conv",
      { use_quant_conv: false },
      '"use_quant_conv" is only supported as true, got false',
    ],
    [
      "no post_quant_conv",
      { use_post_quant_conv: false },
      '"use_post_quant_conv" is only supported as true, got false',
    ],
    ["a shift", { shift_factor: 0.1159 }, '"shift_factor" is only supported as 0, got 0.1159'],
    ["means of latents", { latents_mean: [0, 0, 0, 0] }, '"latents_mean" is not supported'],
    ["deviations of latents", { latents_std: [1, 1, 1, 1] }, '"latents_std" is not supported'],
    [
      "another class",
      { _class_name: "AutoencoderTiny" },
      '"_class_name" is only supported as "AutoencoderKL", got "AutoencoderTiny"',
    ],
    ["grey images", { in_channels: 1 }, '"in_channels" must be 3, got 1'],
    ["alpha", { out_channels: 4 }, '"out_channels" must be 3, got 4'],
    [
      "attention in the blocks",
      { down_block_types: ["AttnDownEncoderBlock2D", "DownEncoderBlock2D"] },
      '"down_block_types" must be a list of DownEncoderBlock2D',
    ],
    ["half a pixel channel", { pixel_channels: 0.5 }, '"pixel_channels" must be an integer from 1'],
    ["a scale of 0", { scaling_factor: 0 }, '"scaling_factor" must be above 0'],
    ["infinity", { scaling_factor: Infinity }, '"scaling_factor" must be a finite number'],
  ];
  it.each(refused)("refuses %s by name", (_name, fields, message) => {
    const parse = () => parseVaeConfig({ ...VAE, ...fields }, "vae/config.json");
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
  });
});

describe("parseClipConfig", () => {
  it("reads the vision part of a full CLIP, or a vision config alone", () => {
    const expected = {
      hiddenSize: 1024,
      intermediateSize: 4096,
      numLayers: 24,
      numHeads: 16,
      imageSize: 224,
      patchSize: 14,
      layerNormEps: 1e-5,
      quantization: null,
    };
    expect(parseClipConfig(CLIP_L_JSON)).toEqual(expected);
    expect(parseClipConfig(CLIP_L_JSON.vision_config)).toEqual(expected);
    expect(clipTokens(parseClipConfig(CLIP_L_JSON))).toBe(257);
  });

  it("has transformers' defaults", () => {
    expect(parseClipConfig({})).toEqual({
      hiddenSize: 768,
      intermediateSize: 3072,
      numLayers: 12,
      numHeads: 12,
      imageSize: 224,
      patchSize: 32,
      layerNormEps: 1e-5,
      quantization: null,
    });
  });

  const refused: readonly [string, unknown, string][] = [
    ["SigLIP", { model_type: "siglip_vision_model" }, '"model_type" is only supported as "clip"'],
    ["gelu", { hidden_act: "gelu" }, '"hidden_act" is only supported as "quick_gelu", got "gelu"'],
    [
      "heads",
      { hidden_size: 10, num_attention_heads: 3 },
      '"hidden_size" must be divisible by num_attention_heads 3, got 10',
    ],
    ["patches", { patch_size: 300 }, '"patch_size" must not exceed image_size 224, got 300'],
    [
      "a nested text",
      { vision_config: "small" },
      'image_encoder/config.json vision_config must be a JSON object, got "small"',
    ],
    [
      "a giant depth",
      { num_hidden_layers: 50_000 },
      '"num_hidden_layers" must be at most 256, got 50000',
    ],
  ];
  it.each(refused)("refuses %s", (_name, json, message) => {
    expect(() => parseClipConfig(json)).toThrow(ConfigError);
    expect(() => parseClipConfig(json)).toThrow(message);
  });
});

describe("parseMemConfig", () => {
  const MEM = { _class_name: "MetricEstimationModule", in_channels: 12, block_out_channels: [32] };

  it("reads widths", () => {
    expect(parseMemConfig(MEM)).toEqual({ inChannels: 12, blockOutChannels: [32] });
  });

  const refused: readonly [string, object, string][] = [
    [
      "another class",
      { _class_name: "DEResNet" },
      '"_class_name" is only supported as "MetricEstimationModule", got "DEResNet"',
    ],
    ["no channels", { in_channels: undefined }, '"in_channels" must be an integer from 1 to 65536'],
    ["no widths", { block_out_channels: [] }, '"block_out_channels" must be a list of 1 to 16'],
  ];
  it.each(refused)("refuses %s", (_name, fields, message) => {
    expect(() => parseMemConfig({ ...MEM, ...fields })).toThrow(ConfigError);
    expect(() => parseMemConfig({ ...MEM, ...fields })).toThrow(
      `config: mem/config.json: ${message}`,
    );
  });
});

describe("parseRcodConfig", () => {
  it("is RCOD_O where nothing is said", () => {
    expect(parseRcodConfig({})).toEqual(RCOD_O);
    expect(RCOD_O).toMatchObject({ thresholds: [0.5, 0.7], checkpoint: null, loraAlpha: 8 });
    expect(parseRcodConfig({ timesteps: { realism: 800 }, min_size: 16 })).toEqual({
      ...RCOD_O,
      timesteps: { ...RCOD_O.timesteps, realism: 800 },
      minSize: 16,
    });
  });

  it("sizes the tiles of the latent map", () => {
    expect(parseRcodConfig({}).latentTiles).toEqual({ tile: 96, overlap: 32 });
    expect(parseRcodConfig({ latent_tile: 160 }).latentTiles).toEqual({ tile: 160, overlap: 32 });
    expect(parseRcodConfig({ latent_tile: 41 }).latentTiles).toEqual({ tile: 41, overlap: 20 });
    expect(() => parseRcodConfig({ latent_tile: 40, latent_overlap: 21 })).toThrow(
      '"latent_overlap" must be at most half of latent_tile 40, got 21',
    );
    expect(() => parseRcodConfig({ latent_tile: 0 })).toThrow('"latent_tile" must be an integer');
  });

  it("names the checkpoint, its alpha, and the thresholds", () => {
    const json = { checkpoint: "rcod_lora.safetensors", lora_alpha: 2.5, thresholds: [0, 1] };
    expect(parseRcodConfig(json)).toEqual({
      ...RCOD_O,
      checkpoint: "rcod_lora.safetensors",
      loraAlpha: 2.5,
      thresholds: [0, 1],
    });
    const nulls = { checkpoint: null, lora_alpha: null, thresholds: null };
    expect(parseRcodConfig(nulls)).toEqual(RCOD_O);
  });

  it.each(["a.safetensors", "rcod_o.pkl", "b.pth", "c d.bin"])(
    "takes the name %j",
    (checkpoint) => {
      expect(parseRcodConfig({ checkpoint }).checkpoint).toBe(checkpoint);
    },
  );

  it.each([
    "../lora.safetensors",
    "sub/lora.safetensors",
    "sub\\lora.safetensors",
    "c:lora.safetensors",
    "a\0.safetensors",
    ".safetensors",
    "../rcod_o.pkl",
    "rcod_o.pkl/x",
    "rcod_o.onnx",
    7,
    ["a.safetensors"],
  ])("refuses the checkpoint %j", (checkpoint) => {
    expect(() => parseRcodConfig({ checkpoint })).toThrow(
      'config: rcod_config.json: "checkpoint" must be the name of a .safetensors, .pkl, .pth or .bin file in the model folder, got ',
    );
  });

  it.each([[[0.5]], [[0.7, 0.5]], [[0.5, 0.5]], [[-0.1, 0.5]], [[0.5, 1.1]], [[0.1, 0.2, 0.3]]])(
    "refuses the thresholds %j",
    (thresholds) => {
      expect(() => parseRcodConfig({ thresholds })).toThrow(
        `"thresholds" must be two rising numbers in 0 … 1, got ${JSON.stringify(thresholds)}`,
      );
    },
  );
  it.each([0.5, "0.5", [0.5, "0.7"], [null, 0.7], { 0: 0.5, 1: 0.7 }])(
    "refuses the thresholds %j",
    (thresholds) => {
      expect(() => parseRcodConfig({ thresholds })).toThrow(ConfigError);
    },
  );

  it("reads the table of realism, two timesteps without one", () => {
    expect(parseRcodConfig({}).realismTimesteps).toEqual([249, 749]);
    expect(parseRcodConfig({ realism_timesteps: null }).realismTimesteps).toEqual([249, 749]);
    const table = [0, 249.5, 999];
    expect(parseRcodConfig({ realism_timesteps: table }).realismTimesteps).toEqual(table);
  });

  it.each([
    [[249]],
    [[749, 249]],
    [[249, 249, 749]],
    [[-1, 749]],
    [[249, 1000]],
    [[249, "749"]],
    [[249, null]],
    [Array.from({ length: 102 }, (_, i) => i)],
    [749],
  ])("refuses the table of realism %j", (table) => {
    expect(() => parseRcodConfig({ realism_timesteps: table })).toThrow(
      `"realism_timesteps" must be 2 to 101 rising numbers from 0 to 999, got `,
    );
  });

  const refused: readonly [string, unknown, string][] = [
    ["no LoRA alpha", { lora_alpha: 0 }, '"lora_alpha" must be above 0, got 0'],
    ["a text for LoRA's alpha", { lora_alpha: "8" }, '"lora_alpha" must be a finite number'],
    [
      "another instance",
      { instance: "RCOD_X" },
      '"instance" is only supported as "RCOD_O" or "RCOD_S", got "RCOD_X"',
    ],
    ["alpha 0", { alpha: 0 }, '"alpha" must be above 0'],
    ["alpha 1", { alpha: 1 }, '"alpha" must be below 1, got 1'],
    ["a colour fix", { color_fix: "lab" }, '"color_fix" must be adain, wavelet or none, got "lab"'],
    ["timesteps", { timesteps: [1, 2, 3] }, "rcod_config.json timesteps must be a JSON object"],
    [
      "a late timestep",
      { timesteps: { neutral: 1e6 } },
      '"neutral" must be from 0 to 999, got 1000000',
    ],
    ["a text", { timesteps: { neutral: "499" } }, '"neutral" must be a finite number, got "499"'],
    ["upscale 0", { upscale: 0 }, '"upscale" must be an integer'],
  ];
  it.each(refused)("refuses %s", (_name, json, message) => {
    expect(() => parseRcodConfig(json)).toThrow(ConfigError);
    expect(() => parseRcodConfig(json)).toThrow(message);
  });
});

it("tells values that have no end cut, whichever field they are in", () => {
  const endless = [
    "x".repeat(20_000),
    Array.from({ length: 20_000 }, (_, i) => i),
    { of: "y".repeat(20_000) },
  ];
  const told = ([SD21_UNET_JSON, CLIP_L_JSON, SD_VAE_JSON] as const).flatMap((json, i) =>
    Object.keys(json).flatMap((key) =>
      endless.flatMap((value) => {
        const parse = [parseUNetConfig, parseClipConfig, parseVaeConfig][i] as (
          json: unknown,
          name: string,
        ) => unknown;
        try {
          parse({ ...json, [key]: value }, "config.json");
          return [];
        } catch (error) {
          return [(error as Error).message];
        }
      }),
    ),
  );
  expect(told.length).toBeGreaterThan(20);
  expect(Math.max(...told.map((message) => message.length))).toBeLessThan(400);
  expect(told[0]).toMatch(/, got .{120}… \(\d+ characters\)$/);
});
