/** The golden files of the page, in groups and with names for people. */

export type Group = "kernels" | "blocks" | "networks" | "yours";

export const GROUP_TITLES: Readonly<Record<Group, string>> = {
  kernels: "Kernels: one operation at a time",
  blocks: "Blocks: layers as the networks use them",
  networks: "Networks: small ones, from end to end",
  yours: "Your files",
};

const KNOWN: Readonly<Record<string, readonly [group: Group, title: string]>> = {
  ops_conv: ["kernels", "Convolution"],
  ops_linear_act: ["kernels", "Matrix products and activations"],
  ops_attention: ["kernels", "Attention"],
  ops_norm: ["kernels", "Group and layer norm"],
  ops_resize_time: ["kernels", "Nearest-neighbour resize, timestep embedding"],
  ops_image: ["kernels", "Image resizes and colour fixes"],
  lora_ops: ["kernels", "LoRA merge"],
  blocks_resnet: ["blocks", "Residual blocks"],
  blocks_transformer: ["blocks", "Transformer blocks"],
  blocks_sampling: ["blocks", "Down- and upsampling"],
  blocks_vae_mid: ["blocks", "The VAE's middle"],
  blocks_clip: ["blocks", "Layers of the image encoder"],
  batch: ["blocks", "The same and small networks on batches"],
  tiny_unet_a: ["networks", "A small UNet"],
  lora_unet: ["networks", "The same with LoRA merged in"],
  tiny_vae_b: ["networks", "A small VAE"],
  tiling: ["networks", "Tiles and their seams"],
  rcod_s: ["networks", "RCOD_S: weights that depend on the picture"],
};

/** Of a file as results name it. */
export function groupOf(file: string): Group {
  return KNOWN[stem(file)]?.[0] ?? "yours";
}

export function titleOf(file: string): string {
  return KNOWN[stem(file)]?.[1] ?? file;
}

/** In the order in which they are shown and run. */
export function inOrder(files: readonly string[]): readonly string[] {
  const order = Object.keys(KNOWN);
  const place = (file: string): number => {
    const at = order.indexOf(stem(file));
    return at < 0 ? order.length : at;
  };
  return files.toSorted((a, b) => place(a) - place(b));
}

function stem(file: string): string {
  return file.replace(/\.safetensors$/, "");
}
