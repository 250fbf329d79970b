/**
 * diffusers' ResnetBlock2D: norm1 → SiLU → conv1 → (+ time embedding) → norm2 → SiLU → conv2, plus the
 * input, through `conv_shortcut` where the widths differ.
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";

export interface ResnetOptions {
  readonly outChannels: number;
  readonly numGroups: number;
  readonly eps: number;
  /** SiLU(temb) [N, T], or null in the VAE. */
  readonly siluTemb: Value | null;
}

/** x [N, H, W, C] → [N, H, W, outChannels]. */
export function resnetBlock(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  options: ResnetOptions,
): Value {
  const { outChannels, numGroups, eps, siluTemb } = options;
  const conv = { outChannels, kernelSize: 3, stride: 1, padding: 1, bias: true };
  let h = g.groupNorm(x, w.at("norm1"), { numGroups, eps });
  h = g.activation(h, "silu", w.path);
  h = g.conv2d(h, w.at("conv1"), conv);
  if (siluTemb !== null) {
    const shift = g.linear(siluTemb, w.at("time_emb_proj"), outChannels, true); // [N, outChannels]
    h = g.channelAdd(h, shift, w.path);
  }
  h = g.groupNorm(h, w.at("norm2"), { numGroups, eps });
  h = g.activation(h, "silu", w.path);
  h = g.conv2d(h, w.at("conv2"), conv);
  const shortcut =
    channelsOf(x) === outChannels
      ? x
      : g.conv2d(x, w.at("conv_shortcut"), { ...conv, kernelSize: 1, padding: 0 });
  return g.name(w.path, g.add(shortcut, h, w.path));
}
