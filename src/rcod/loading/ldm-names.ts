/**
 * Names of Stable Diffusion's original files ("ldm") as diffusers' ones, from the structure of the networks:
 *
 *   model.diffusion_model.…       the UNet: input_blocks, middle_block and output_blocks are numbered through
 *   first_stage_model.…           the VAE: its decoder counts levels from the smallest channels
 */
import type { UNetConfig, VaeConfig } from "../settings/config.ts";

export const LDM_UNET = "model.diffusion_model.";
export const LDM_VAE = "first_stage_model.";

type Rename = readonly [pattern: RegExp, replacement: string];

const UNET_RESNET: readonly Rename[] = [
  [/\.in_layers\.0\./, ".norm1."],
  [/\.in_layers\.2\./, ".conv1."],
  [/\.out_layers\.0\./, ".norm2."],
  [/\.out_layers\.3\./, ".conv2."],
  [/\.emb_layers\.1\./, ".time_emb_proj."],
  [/\.skip_connection\./, ".conv_shortcut."],
];

/** The UNet's blocks by the original names of their modules, without the trailing dot. */
function unetModules({ blockOutChannels, layersPerBlock, downAttention, upAttention }: UNetConfig) {
  const modules = new Map<string, string>([
    ["time_embed.0", "time_embedding.linear_1"],
    ["time_embed.2", "time_embedding.linear_2"],
    ["input_blocks.0.0", "conv_in"],
    ["middle_block.0", "mid_block.resnets.0"],
    ["middle_block.1", "mid_block.attentions.0"],
    ["middle_block.2", "mid_block.resnets.1"],
    ["out.0", "conv_norm_out"],
    ["out.2", "conv_out"],
  ]);
  const last = blockOutChannels.length - 1;
  let block = 1;
  for (let level = 0; level <= last; level++) {
    for (let layer = 0; layer < layersPerBlock; layer++, block++) {
      modules.set(`input_blocks.${block}.0`, `down_blocks.${level}.resnets.${layer}`);
      if (downAttention[level] === true)
        modules.set(`input_blocks.${block}.1`, `down_blocks.${level}.attentions.${layer}`);
    }
    if (level < last)
      modules.set(`input_blocks.${block++}.0.op`, `down_blocks.${level}.downsamplers.0.conv`);
  }
  block = 0;
  for (let level = 0; level <= last; level++) {
    for (let layer = 0; layer <= layersPerBlock; layer++, block++) {
      let member = 0;
      modules.set(`output_blocks.${block}.${member++}`, `up_blocks.${level}.resnets.${layer}`);
      if (upAttention[level] === true)
        modules.set(`output_blocks.${block}.${member++}`, `up_blocks.${level}.attentions.${layer}`);
      if (level < last && layer === layersPerBlock)
        modules.set(
          `output_blocks.${block}.${member}.conv`,
          `up_blocks.${level}.upsamplers.0.conv`,
        );
    }
  }
  return modules;
}

/** Renames tensors of the UNet, whose names come without `LDM_UNET`; null for what is none of its own. */
export function unetRename(config: UNetConfig): (name: string) => string | null {
  const modules = unetModules(config);
  return (name) => {
    // A module has two to four parts: out.0, input_blocks.1.0, input_blocks.3.0.op
    const parts = name.split(".");
    for (let length = Math.min(4, parts.length - 1); length >= 2; length--) {
      const module = modules.get(parts.slice(0, length).join("."));
      if (module === undefined) continue;
      const inner = `.${parts.slice(length).join(".")}`;
      const renamed = module.includes(".resnets.")
        ? UNET_RESNET.reduce((text, [pattern, to]) => text.replace(pattern, to), inner)
        : inner;
      return module + renamed;
    }
    return null;
  };
}

const VAE_NAMES: readonly Rename[] = [
  [/^encoder\.down\.(\d+)\.block\.(\d+)\./, "encoder.down_blocks.$1.resnets.$2."],
  [/^encoder\.down\.(\d+)\.downsample\.conv\./, "encoder.down_blocks.$1.downsamplers.0.conv."],
  [/^decoder\.up\.(\d+)\.block\.(\d+)\./, "decoder.up_blocks.$1.resnets.$2."],
  [/^decoder\.up\.(\d+)\.upsample\.conv\./, "decoder.up_blocks.$1.upsamplers.0.conv."],
  [/\.mid\.block_1\./, ".mid_block.resnets.0."],
  [/\.mid\.block_2\./, ".mid_block.resnets.1."],
  [/\.mid\.attn_1\.norm\./, ".mid_block.attentions.0.group_norm."],
  [/\.mid\.attn_1\.([qkv])\./, ".mid_block.attentions.0.to_$1."],
  [/\.mid\.attn_1\.proj_out\./, ".mid_block.attentions.0.to_out.0."],
  [/\.nin_shortcut\./, ".conv_shortcut."],
  [/\.norm_out\./, ".conv_norm_out."],
];

/** Renames tensors of the VAE, whose names come without `LDM_VAE`. */
export function vaeRename({ blockOutChannels }: VaeConfig): (name: string) => string {
  const last = blockOutChannels.length - 1;
  return (name) =>
    VAE_NAMES.reduce((text, [pattern, to]) => text.replace(pattern, to), name).replace(
      /^decoder\.up_blocks\.(\d+)\./,
      (_match, level: string) => `decoder.up_blocks.${last - Number(level)}.`,
    );
}
