/**
 * diffusers' AutoencoderKL: encoder with `quant_conv`, decoder with `post_quant_conv`.
 *
 * Beside it, where the configuration has `pixel_channels`, the pixel path: `pixel_conv` unshuffles the picture to the size of the
 * latents and mixes it by one matrix, and the result goes along as more channels. UNet and decoder find there what the picture
 * already holds, which then need not pass the encoder.
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import type { VaeConfig } from "../settings/config.ts";
import { sampleChannels, vaeFactor } from "../settings/config.ts";
import { resnetBlock } from "./resnet.ts";
import { attention } from "./transformer.ts";

/** Every GroupNorm of the VAE; fixed in diffusers, not in the config. */
const EPS = 1e-6;

const CONV3 = { kernelSize: 3, stride: 1, padding: 1, bias: true } as const;
const CONV1 = { kernelSize: 1, stride: 1, padding: 0, bias: true } as const;

/** A network of the VAE, or half of one. `root` is the root of the checkpoint. */
export type VaeNetwork = (g: GraphBuilder, root: WeightScope, x: Value, config: VaeConfig) => Value;

/** Channels of the moments: mean, log-variance, and the pixel path's. */
export const momentChannels = (config: VaeConfig): number =>
  config.latentChannels + sampleChannels(config);

/** Channels of the map between the halves of the encoder or the decoder. */
export function middleChannels(config: VaeConfig, kind: "encode" | "decode"): number {
  const width = config.blockOutChannels.at(-1) as number;
  return kind === "encode" ? width + config.pixelChannels : width;
}

/**
 * image [1, H, W, 3] in −1 … 1 → moments [1, h, w, 2·latentChannels + pixelChannels]: mean, then log-variance (not clamped), then
 * the pixel path.
 */
export const vaeEncoder: VaeNetwork = (g, root, image, config) => {
  const pixels = pixelPath(g, root, image, config);
  const moments = posteriorMoments(g, root, downBlocks(g, root, image, config), config);
  return withPixels(g, moments, pixels);
};

/** The half of the encoder that only looks around each pixel: conv_in and the down blocks; and the pixel path. */
export const vaeEncoderHead: VaeNetwork = (g, root, image, config) => {
  const pixels = pixelPath(g, root, image, config);
  return withPixels(g, downBlocks(g, root, image, config), pixels);
};

/** The half of the encoder at latent resolution: mid block (with attention over the whole map), output convs. */
export const vaeEncoderTail: VaeNetwork = (g, root, x, config) => {
  const { pixelChannels } = config;
  if (pixelChannels === 0) return posteriorMoments(g, root, x, config);
  const width = channelsOf(x) - pixelChannels;
  const features = g.sliceChannels(x, 0, width, null, "encoder.features");
  const pixels = g.sliceChannels(x, width, pixelChannels, null, "encoder.pixels");
  return withPixels(g, posteriorMoments(g, root, features, config), pixels);
};

/** The picture at the size of the latents, pixelChannels wide; null where there is no pixel path. */
function pixelPath(
  g: GraphBuilder,
  root: WeightScope,
  image: Value,
  config: VaeConfig,
): Value | null {
  const { pixelChannels: outChannels } = config;
  if (outChannels === 0) return null;
  const w = root.at("pixel_conv");
  const side = vaeFactor(config);
  const square = { kernelSize: side, stride: side, padding: 0, bias: true };
  return g.name(w.path, g.conv2d(image, w, { ...square, outChannels }));
}

const withPixels = (g: GraphBuilder, x: Value, pixels: Value | null): Value =>
  pixels ? g.concat(x, pixels, "encoder.with_pixels") : x;

/** conv_in and the down blocks. */
const downBlocks: VaeNetwork = (g, root, image, config) => {
  const { blockOutChannels, layersPerBlock, normNumGroups: numGroups } = config;
  const w = root.at("encoder");
  let h = g.conv2d(image, w.at("conv_in"), {
    ...CONV3,
    outChannels: blockOutChannels[0] as number,
  });
  g.name(w.at("conv_in").path, h);
  blockOutChannels.forEach((outChannels, level) => {
    const block = w.at(`down_blocks.${level}`);
    for (let layer = 0; layer < layersPerBlock; layer++) {
      h = resnet(g, block.at(`resnets.${layer}`), h, outChannels, numGroups);
    }
    if (level < blockOutChannels.length - 1) {
      const down = block.at("downsamplers.0");
      // One zero row below and one zero column to the right, unlike the UNet's symmetric padding.
      const conv = { ...CONV3, outChannels, stride: 2, padding: [0, 1, 0, 1] } as const;
      h = g.conv2d(h, down.at("conv"), conv);
      g.name(down.path, h);
    }
  });
  return h;
};

/** Mid block and output convs, to mean and log-variance. */
const posteriorMoments: VaeNetwork = (g, root, x, config) => {
  const { latentChannels, normNumGroups: numGroups } = config;
  const w = root.at("encoder");
  let h = midBlock(g, w.at("mid_block"), x, config);
  h = normOut(g, w, h, numGroups);
  h = g.conv2d(h, w.at("conv_out"), { ...CONV3, outChannels: 2 * latentChannels });
  g.name(w.at("conv_out").path, h);
  const quant = root.at("quant_conv");
  h = g.conv2d(h, quant, { ...CONV1, outChannels: 2 * latentChannels });
  return g.name(quant.path, h);
};

/** z [1, h, w, `sampleChannels`] (already divided by the scaling factor) → image [1, H, W, 3], not clamped. */
export const vaeDecoder: VaeNetwork = (g, root, z, config) =>
  vaeDecoderTail(g, root, vaeDecoderHead(g, root, z, config), config);

/** The half of the decoder at latent resolution: input convs and mid block. */
export const vaeDecoderHead: VaeNetwork = (g, root, z, config) => {
  const { blockOutChannels } = config;
  const w = root.at("decoder");
  const postQuant = root.at("post_quant_conv");
  let h = g.conv2d(z, postQuant, { ...CONV1, outChannels: sampleChannels(config) });
  g.name(postQuant.path, h);
  h = g.conv2d(h, w.at("conv_in"), { ...CONV3, outChannels: blockOutChannels.at(-1) as number });
  g.name(w.at("conv_in").path, h);
  return midBlock(g, w.at("mid_block"), h, config);
};

/** The half of the decoder that only looks around each pixel: up blocks and conv_out. */
export const vaeDecoderTail: VaeNetwork = (g, root, x, config) => {
  const { blockOutChannels, layersPerBlock, normNumGroups: numGroups } = config;
  const w = root.at("decoder");
  const widths = blockOutChannels.toReversed();
  let h = x;
  widths.forEach((outChannels, level) => {
    const block = w.at(`up_blocks.${level}`);
    for (let layer = 0; layer <= layersPerBlock; layer++) {
      h = resnet(g, block.at(`resnets.${layer}`), h, outChannels, numGroups);
    }
    if (level < widths.length - 1) {
      const up = block.at("upsamplers.0");
      const [, height = 1, width = 1] = h.shape;
      h = g.upsampleNearest(h, 2 * height, 2 * width, up.path);
      h = g.name(up.path, g.conv2d(h, up.at("conv"), { ...CONV3, outChannels }));
    }
  });
  h = normOut(g, w, h, numGroups);
  h = g.conv2d(h, w.at("conv_out"), { ...CONV3, outChannels: config.outChannels });
  return g.name(w.at("conv_out").path, h);
};

function resnet(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  outChannels: number,
  numGroups: number,
): Value {
  return resnetBlock(g, w, x, { outChannels, numGroups, eps: EPS, siluTemb: null });
}

function normOut(g: GraphBuilder, w: WeightScope, x: Value, numGroups: number): Value {
  const norm = w.at("conv_norm_out");
  const h = g.name(norm.path, g.groupNorm(x, norm, { numGroups, eps: EPS }));
  return g.activation(h, "silu", norm.path);
}

/** resnet, attention (one head as wide as the block; left out by some small models), resnet. */
export function midBlock(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  config: Pick<VaeConfig, "midAttention" | "normNumGroups">,
): Value {
  const { midAttention, normNumGroups: numGroups } = config;
  const channels = channelsOf(x);
  let h = resnet(g, w.at("resnets.0"), x, channels, numGroups);
  if (midAttention) h = spatialAttention(g, w.at("attentions.0"), h, numGroups);
  h = resnet(g, w.at("resnets.1"), h, channels, numGroups);
  return g.name(w.path, h);
}

/** x [N, H, W, C] + to_out(attention over H·W tokens of group_norm(x)); all four projections have bias. */
export function spatialAttention(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  numGroups: number,
): Value {
  const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
  const tokens = [batch, height * width, channels];
  const h = g.reshape(g.groupNorm(x, w.at("group_norm"), { numGroups, eps: EPS }), tokens);
  const out = attention(g, w, h, h, 1, true);
  return g.name(w.path, g.reshape(g.add(g.reshape(x, tokens), out, w.path), x.shape));
}
