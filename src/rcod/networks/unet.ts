/**
 * diffusers' UNet2DConditionModel, built from its config. Up-samplers always resize to the size of the next
 * skip tensor: with sides divisible by 2^(levels − 1) that is ×2, and otherwise it is diffusers' rule too.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import type { UNetConfig } from "../settings/config.ts";
import { resnetBlock } from "./resnet.ts";
import { transformer2d } from "./transformer.ts";

export interface UNetInputs {
  /** [N, h, w, inChannels]. */
  readonly sample: Value;
  /** `timestepEmbedding(t, config)` of each sample as [N, blockOutChannels[0]]. */
  readonly timestepEmbedding: Value;
  /** Visual tokens [N, T, crossAttentionDim], or [1, T, crossAttentionDim] for all. */
  readonly encoderHiddenStates: Value;
}

/** Predicted noise [N, h, w, outChannels]. */
export function unet2dConditionModel(
  g: GraphBuilder,
  w: WeightScope,
  { sample, timestepEmbedding: timeProj, encoderHiddenStates: context }: UNetInputs,
  config: UNetConfig,
): Value {
  const { blockOutChannels, layersPerBlock, normNumGroups: numGroups, normEps: eps } = config;
  if (
    channelsOf(sample) !== config.inChannels ||
    channelsOf(context) !== config.crossAttentionDim
  ) {
    throw new ShapeError(
      `unet: needs a sample of ${config.inChannels} channels and tokens of ${config.crossAttentionDim}, ` +
        `got ${channelsOf(sample)} and ${channelsOf(context)}`,
    );
  }
  const levels = blockOutChannels.length;
  const width = (level: number): number => blockOutChannels[level] as number;
  const heads = (level: number): number => config.numHeads[level] as number;
  const siluTemb = timeEmbedding(g, w.at("time_embedding"), timeProj, 4 * width(0));
  const resnet = (scope: WeightScope, x: Value, outChannels: number): Value =>
    resnetBlock(g, scope, x, { outChannels, numGroups, eps, siluTemb });
  const attend = (scope: WeightScope, x: Value, level: number): Value =>
    transformer2d(g, scope, x, context, { numHeads: heads(level), numGroups });

  const conv3 = { kernelSize: 3, stride: 1, padding: 1, bias: true };
  let h = g.conv2d(sample, w.at("conv_in"), { ...conv3, outChannels: width(0) });
  g.name(w.at("conv_in").path, h);
  const skips: Value[] = [h];
  for (let level = 0; level < levels; level++) {
    const block = w.at(`down_blocks.${level}`);
    for (let layer = 0; layer < layersPerBlock; layer++) {
      h = resnet(block.at(`resnets.${layer}`), h, width(level));
      if (config.downAttention[level]) h = attend(block.at(`attentions.${layer}`), h, level);
      skips.push(h);
    }
    if (level < levels - 1) {
      const down = block.at("downsamplers.0");
      const conv = { ...conv3, stride: 2, padding: config.downsamplePadding };
      h = g.conv2d(h, down.at("conv"), { ...conv, outChannels: width(level) });
      g.name(down.path, h);
      skips.push(h);
    }
  }

  const mid = w.at("mid_block");
  h = resnet(mid.at("resnets.0"), h, width(levels - 1));
  if (config.midAttention) h = attend(mid.at("attentions.0"), h, levels - 1);
  h = resnet(mid.at("resnets.1"), h, width(levels - 1));

  for (let i = 0; i < levels; i++) {
    const level = levels - 1 - i;
    const block = w.at(`up_blocks.${i}`);
    for (let layer = 0; layer <= layersPerBlock; layer++) {
      const skip = skips.pop() as Value;
      const resnetScope = block.at(`resnets.${layer}`);
      h = resnet(resnetScope, g.concat(h, skip, resnetScope.path), width(level));
      if (config.upAttention[i]) h = attend(block.at(`attentions.${layer}`), h, level);
    }
    if (level > 0) {
      const up = block.at("upsamplers.0");
      const [, height = 1, nextWidth = 1] = (skips[skips.length - 1] as Value).shape;
      h = g.upsampleNearest(h, height, nextWidth, up.path);
      h = g.conv2d(h, up.at("conv"), { ...conv3, outChannels: width(level) });
      g.name(up.path, h);
    }
  }
  h = g.groupNorm(h, w.at("conv_norm_out"), { numGroups, eps });
  g.name(w.at("conv_norm_out").path, h);
  h = g.activation(h, "silu", w.at("conv_norm_out").path);
  h = g.conv2d(h, w.at("conv_out"), { ...conv3, outChannels: config.outChannels });
  return g.name(w.at("conv_out").path, h);
}

/** linear_1 → SiLU → linear_2, and the SiLU that every resnet would apply again. */
function timeEmbedding(g: GraphBuilder, w: WeightScope, timeProj: Value, channels: number): Value {
  let temb = g.linear(timeProj, w.at("linear_1"), channels, true);
  temb = g.activation(temb, "silu", w.path);
  temb = g.name(w.path, g.linear(temb, w.at("linear_2"), channels, true));
  return g.activation(temb, "silu", w.path);
}

/**
 * diffusers' Timesteps: [cos | sin] (or [sin | cos]) of t·f_i, f_i = exp(−ln(10000)·i / (half − freqShift)).
 * On the CPU in doubles: t·f reaches 999 rad, where GPU sin and cos are not accurate. t may be fractional.
 */
export function timestepEmbedding(
  timestep: number,
  config: Pick<UNetConfig, "flipSinToCos" | "freqShift">,
  channels: number,
): Float32Array<ArrayBuffer> {
  const half = Math.floor(channels / 2);
  const out = new Float32Array(channels);
  for (let i = 0; i < half; i++) {
    const angle = timestep * Math.exp((-Math.log(10000) * i) / (half - config.freqShift));
    out[config.flipSinToCos ? i : half + i] = Math.cos(angle);
    out[config.flipSinToCos ? half + i : i] = Math.sin(angle);
  }
  return out;
}
