/** config.json of the full-size parts, as published. */

/** stabilityai/stable-diffusion-2-1-base, unet. */
export const SD21_UNET_JSON = {
  _class_name: "UNet2DConditionModel",
  act_fn: "silu",
  attention_head_dim: [5, 10, 20, 20],
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 1024,
  down_block_types: [
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D",
  ],
  downsample_padding: 1,
  dual_cross_attention: false,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  num_class_embeds: null,
  only_cross_attention: false,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  use_linear_projection: true,
};

/** stabilityai/stable-diffusion-2-1-base, vae. */
export const SD_VAE_JSON = {
  _class_name: "AutoencoderKL",
  act_fn: "silu",
  block_out_channels: [128, 256, 512, 512],
  down_block_types: [
    "DownEncoderBlock2D",
    "DownEncoderBlock2D",
    "DownEncoderBlock2D",
    "DownEncoderBlock2D",
  ],
  in_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: 32,
  out_channels: 3,
  sample_size: 768,
  scaling_factor: 0.18215,
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
};

/** openai/clip-vit-large-patch14: the vision part of a full CLIP config. */
export const CLIP_L_JSON = {
  model_type: "clip",
  projection_dim: 768,
  text_config: { hidden_size: 768 },
  vision_config: {
    hidden_act: "quick_gelu",
    hidden_size: 1024,
    image_size: 224,
    intermediate_size: 4096,
    layer_norm_eps: 1e-5,
    num_attention_heads: 16,
    num_channels: 3,
    num_hidden_layers: 24,
    patch_size: 14,
  },
};
