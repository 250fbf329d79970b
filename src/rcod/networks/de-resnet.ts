/**
 * RCOD_S's degradation estimator, S3Diff's DEResNet: two independent branches that look at the
 * low-resolution image and each give a score in 0 … 1 and pooled features.
 *
 *   conv_first → 6 ResBlocks → conv 3×3, stride 2 → 2 ResBlocks → global average pool = f_d
 *   s_d = sigmoid(fc_degree.2 · ReLU(fc_degree.0 · f_d)),     ResBlock: x + conv2(ReLU(conv1(x)))
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import type { DeResNetConfig } from "../settings/degradation-config.ts";

/** Kinds of degradation that are scored: blur and noise upstream, in an order that is not documented. */
export const DEGRADATIONS = 2;

const FULL_BLOCKS = 6;
const HALF_BLOCKS = 2;

/**
 * Image [1, H, W, 3] in 0 … 1 → `logits` [1, 2], the scores before their sigmoid, and `features`
 * [1, 2·outWidth], branch 0 first. The sigmoid is the host's (`degreesOfLogits`): two numbers, in doubles.
 */
export function deResNet(
  g: GraphBuilder,
  root: WeightScope,
  image: Value,
  config: DeResNetConfig,
): { readonly logits: Value; readonly features: Value } {
  const branches = Array.from({ length: DEGRADATIONS }, (_, d) =>
    branch(g, root, image, d, config),
  );
  const [first, second] = branches as [(typeof branches)[number], (typeof branches)[number]];
  return {
    logits: g.concat(first.logit, second.logit, "degrees"),
    features: g.concat(first.features, second.features, "features"),
  };
}

function branch(
  g: GraphBuilder,
  root: WeightScope,
  image: Value,
  d: number,
  { width, outWidth, hidden }: DeResNetConfig,
): { readonly logit: Value; readonly features: Value } {
  const conv3 = { kernelSize: 3, stride: 1, padding: 1, bias: true };
  let h = g.conv2d(image, root.at(`conv_first.${d}`), { ...conv3, outChannels: width });
  for (let i = 0; i <= FULL_BLOCKS + HALF_BLOCKS; i++) {
    const w = root.at(`body.${d}.${i}`);
    if (i === FULL_BLOCKS) {
      h = g.name(w.path, g.conv2d(h, w, { ...conv3, stride: 2, outChannels: outWidth }));
      continue;
    }
    const conv = { ...conv3, outChannels: i < FULL_BLOCKS ? width : outWidth };
    let inner = g.activation(g.conv2d(h, w.at("conv1"), conv), "relu", w.path);
    inner = g.conv2d(inner, w.at("conv2"), conv);
    h = g.name(w.path, g.add(h, inner, w.path));
  }
  const features = g.globalAveragePool(h, `features.${d}`);
  const fc = root.at(`fc_degree.${d}`);
  const score = g.activation(g.linear(features, fc.at("0"), hidden, true), "relu", fc.path);
  return { logit: g.linear(score, fc.at("2"), 1, true), features };
}

/** Scores in 0 … 1. */
export function degreesOfLogits(logits: ArrayLike<number>): number[] {
  return Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
}
