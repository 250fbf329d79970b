/**
 * The Metric Estimation Module: predicts the latent metric M_L, the cosine similarity of the LQ
 * and the HQ image's latents, from the LQ latents alone. Its value selects the timestep.
 *
 *   M = ReLU( mean over pixels of head(f) ),   f = SiLU(conv 3×3, stride 2) repeated, from the scaled latents
 *
 * The released module is one affine layer over the features of a separate degradation network; this small
 * form reads the latents that the pipeline has anyway.
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import type { MemConfig } from "../settings/config.ts";

/** latents [1, h, w, L] → the head at every pixel [1, h', w', 1], a side of n giving ⌈n / 2⌉ per convolution. */
export function metricMap(
  g: GraphBuilder,
  w: WeightScope,
  latents: Value,
  { blockOutChannels }: MemConfig,
): Value {
  let h = latents;
  blockOutChannels.forEach((outChannels, i) => {
    const conv = w.at(`convs.${i}`);
    h = g.conv2d(h, conv, { outChannels, kernelSize: 3, stride: 2, padding: 1, bias: true });
    h = g.name(conv.path, g.activation(h, "silu", conv.path));
  });
  return g.linear(h, w.at("head"), 1, true);
}

/**
 * M_L from the values of the map. On the host and in doubles: the map has a few hundred values, so reading
 * it is cheaper than a kernel of its own, and the mean may come after the head because the head is linear.
 */
export function metricOfMap(map: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < map.length; i++) sum += map[i] as number;
  return Math.max(0, sum / map.length);
}
