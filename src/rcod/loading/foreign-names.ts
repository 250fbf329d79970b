/** What a weight file is, told by the names of its tensors. Loaded only when a file was refused or is listed. */
import type { ModelPart } from "../networks/stage-graphs.ts";

/** Kinds by what some of their names match, the more special before the more general. */
const KINDS: readonly (readonly [names: readonly RegExp[], what: string])[] = [
  [[/^state_dict_unet\./, /^state_dict_clip_proj\./], "RCOD_S's checkpoint"],
  [[/^state_dict_unet\./, /^state_dict_proj\./], "RCOD_O's checkpoint"],
  [[/^state_dict_(?:unet|vae)\./], "RCOD's checkpoint without the token projection"],
  [[/^state_dict_clip_proj\./], "RCOD_S's metric estimation module"],
  [[/^fc_degree\./, /^conv_first\./], "RCOD_S's degradation estimator"],
  [[/^lora_(?:unet|te\d?)_.*\.(?:hada_|lokr_|oft_)/], "a LyCORIS"],
  [[/^lora_(?:unet|te\d?|transformer)_/], "a plain LoRA in kohya's layout"],
  [[/^base_model\.model\./], "a plain LoRA as PEFT writes it"],
  [
    [/(?:processor\.|_lora\.|\.lora\.)(?:.*_lora\.)?(?:up|down)\.weight$/],
    "a plain LoRA of diffusers",
  ],
  [[/\.lora_(?:A|B|down|up|magnitude_vector)\b/], "a plain LoRA of diffusers"],
  [
    [/^model\.diffusion_model\.(?:joint_blocks|double_blocks)\./],
    "Stable Diffusion 3 or Flux in one file",
  ],
  [
    [/^(?:conditioner\.embedders\.|model\.diffusion_model\.label_emb\.)/],
    "Stable Diffusion XL in one file",
  ],
  [[/^(?:control_model\.|zero_convs\.|input_hint_block\.)/], "a ControlNet in one file"],
  [[/^controlnet_(?:cond_embedding|down_blocks|mid_block)/], "a ControlNet"],
  [[/^model\.diffusion_model\./, /^first_stage_model\./], "Stable Diffusion in one file"],
  [[/^model\.diffusion_model\./], "the UNet of a Stable Diffusion file, without its VAE"],
  [
    [/^(?:transformer_blocks|single_transformer_blocks|double_blocks)\.\d/],
    "a diffusion transformer",
  ],
  [[/^(?:ip_adapter|image_proj\.(?:latents|proj))/], "an IP-Adapter"],
  [[/^motion_modules|\.motion_modules\./], "a motion module"],
  [[/^(?:down_blocks|mid_block)\./, /^time_embedding\./, /^conv_out\./], "a UNet alone"],
  [
    [/^(?:first_stage_model\.)?(?:encoder|decoder)\.(?:down|up)\.\d/],
    "a VAE alone, with its original names",
  ],
  [[/^encoder\.down_blocks\./, /^decoder\.up_blocks\./], "a VAE alone"],
  [[/^encoder\.layers\.\d+\./, /^decoder\.layers\.\d+\./], "an AutoencoderTiny"],
  [[/^visual\.transformer\.resblocks\./], "CLIP with OpenAI's original names"],
  [[/^vision_model\.embeddings\./, /^text_model\./], "a whole CLIP"],
  [[/^(?:vision_model\.)?embeddings\.(?:class|patch)_embedding/], "a CLIP vision tower"],
  [[/^text_model\.|^cond_stage_model\./], "a text encoder"],
  [[/^(?:emb_params|string_to_param)/], "a textual inversion"],
];

/** The kinds that belong to the parts of a model, however incomplete. */
export const KIND_OF_PART: Readonly<Record<ModelPart, RegExp>> = {
  clip: /^a (?:CLIP vision tower|whole CLIP)$/,
  vae: /^a VAE alone$/,
  unet: /^a UNet alone$/,
  mem: /^RCOD/,
  degradation: /^RCOD/,
};

/** What tensors of these names are; null for none of the known kinds. */
export function kindOfTensors(names: Iterable<string>): string | null {
  const all = [...names];
  const found = KINDS.find(([patterns]) =>
    patterns.every((pattern) => all.some((name) => pattern.test(name))),
  );
  return found?.[1] ?? null;
}
