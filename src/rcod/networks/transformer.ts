/**
 * diffusers' Transformer2DModel with one BasicTransformerBlock: self-attention, cross-attention to the
 * visual tokens, GEGLU feed-forward. Weights of `proj_in` and `proj_out` may be stored as linear [C, C] or
 * as 1×1 convolutions [C, C, 1, 1]; it is the same map.
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";

export interface TransformerOptions {
  readonly numHeads: number;
  readonly numGroups: number;
}

/** GroupNorm eps inside Transformer2DModel; unlike the resnets' it is not in the config. */
const NORM_EPS = 1e-6;
const LAYER_NORM_EPS = 1e-5;

/** x [N, H, W, C], context [N or 1, T, D] → [N, H, W, C]. */
export function transformer2d(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  context: Value,
  { numHeads, numGroups }: TransformerOptions,
): Value {
  const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
  let h = g.groupNorm(x, w.at("norm"), { numGroups, eps: NORM_EPS });
  h = g.reshape(h, [batch, height * width, channels]);
  h = g.linear(h, w.at("proj_in"), channels, true);
  h = basicTransformerBlock(g, w.at("transformer_blocks").at("0"), h, context, numHeads);
  h = g.linear(h, w.at("proj_out"), channels, true);
  const residual = g.reshape(x, [batch, height * width, channels]);
  const y = g.add(residual, h, w.path);
  return g.name(w.path, g.reshape(y, x.shape));
}

/** x [B, T, C], context [B or 1, S, D] → [B, T, C]. */
export function basicTransformerBlock(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  context: Value,
  numHeads: number,
): Value {
  const channels = channelsOf(x);
  const self = g.layerNorm(x, w.at("norm1"), LAYER_NORM_EPS);
  let h = g.add(x, attention(g, w.at("attn1"), self, self, numHeads, false), w.path);
  const cross = g.layerNorm(h, w.at("norm2"), LAYER_NORM_EPS);
  h = g.add(h, attention(g, w.at("attn2"), cross, context, numHeads, false), w.path);
  let ff = g.layerNorm(h, w.at("norm3"), LAYER_NORM_EPS);
  const net = w.at("ff").at("net");
  ff = g.linear(ff, net.at("0").at("proj"), 8 * channels, true); // [B, T, value 4C | gate 4C]
  ff = g.geglu(ff, net.at("0").path);
  ff = g.linear(ff, net.at("2"), channels, true);
  return g.add(h, ff, w.path);
}

/** diffusers' Attention: queries from x, keys and values from context; `hasBias` is that of q, k and v. */
export function attention(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  context: Value,
  numHeads: number,
  hasBias: boolean,
): Value {
  const channels = channelsOf(x);
  const q = g.linear(x, w.at("to_q"), channels, hasBias);
  const k = g.linear(context, w.at("to_k"), channels, hasBias);
  const v = g.linear(context, w.at("to_v"), channels, hasBias);
  const attended = g.attention(q, k, v, { numHeads, scale: (channels / numHeads) ** -0.5 }, w.path);
  return g.linear(attended, w.at("to_out").at("0"), channels, true);
}
