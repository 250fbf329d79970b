/**
 * RCOD_S's graphs that look at the low-resolution image: one gives its degradation scores and metric, the other makes
 * modulation matrices of the scores. Their sizes come out of the weight files.
 */
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import type { DegradationConfig, LoraPart } from "../settings/degradation-config.ts";
import { LORA_PARTS } from "../settings/degradation-config.ts";
import { DEGRADATIONS, deResNet } from "./de-resnet.ts";
import { modulationMatrices } from "./modulation.ts";

/** Scope of the metric estimation module's layer; `0` is its index in the released sequence. */
const MEM = "mem.0";

/**
 * The estimator and the metric estimation module always compute in f32, as the release does. An activation of
 * the released width must fit one binding: 724² pixels with 128 MiB.
 */
export const DEGRADATION_DTYPE = "f32";

/** "image" [1, H, W, 3] in 0 … 1 → "logits" [1, 2], "features" [1, F], and with a module "metric" [1, 1]. */
export function estimatorGraph(config: DegradationConfig, height: number, width: number): Graph {
  const g = new GraphBuilder(DEGRADATION_DTYPE);
  const root = new WeightScope();
  const image = g.input("image", [1, height, width, 3]);
  const { logits, features } = deResNet(g, root, image, config.estimator);
  g.output("logits", logits);
  g.output("features", features);
  if (config.hasMem) g.output("metric", metricOfFeatures(g, root, features));
  return g.build();
}

/** RCOD_S's metric estimation module: features [N, F] → ReLU(w·f + b), the predicted latent metric [N, 1]. */
export function metricOfFeatures(g: GraphBuilder, root: WeightScope, features: Value): Value {
  return g.activation(g.linear(features, root.at(MEM), 1, true), "relu", MEM);
}

/**
 * "<part>_embedding" [blocks, 4·F] and "<part>_blocks" [blocks, E] → "<part>" [blocks, rank²], for `vae` and
 * `unet`.
 */
export function modulationGraph(
  config: DegradationConfig,
  blocks: Readonly<Record<LoraPart, number>>,
): Graph {
  const g = new GraphBuilder(DEGRADATION_DTYPE);
  const root = new WeightScope();
  for (const part of LORA_PARTS) {
    const inputs = {
      embedding: g.input(`${part}_embedding`, [
        blocks[part],
        2 * DEGRADATIONS * config.frequencies,
      ]),
      blocks: g.input(`${part}_blocks`, [blocks[part], config.blockEmbedding]),
    };
    g.output(part, modulationMatrices(g, root, part, inputs, config.ranks[part]));
  }
  return g.build();
}
