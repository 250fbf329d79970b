/**
 * RCOD_S's look at the low-resolution image, as graphs: degradation scores and metric from the image, and from
 * the scores the modulation matrices. Its sizes come out of its weight files.
 */
import type { Graph, Value } from "../../graph/ir/ir.ts";
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { FileSet } from "../../weights/index.ts";
import { openWeightFile } from "../../weights/index.ts";
import type { RcodConfig } from "../settings/config.ts";
import type { DeResNetConfig } from "./de-resnet.ts";
import { DEGRADATIONS, deResNet } from "./de-resnet.ts";
import type { ModulatedPart } from "./modulation.ts";
import { MODULATED_PARTS, modulationMatrices } from "./modulation.ts";

/** Sizes of the degradation estimator and of what makes modulation matrices of its scores. */
export interface DegradationConfig {
  readonly estimator: DeResNetConfig;
  /** Frequencies of the scores' Fourier features; an embedding has four values for each. */
  readonly frequencies: number;
  /** Length of a block embedding. */
  readonly blockEmbedding: number;
  /** LoRA ranks, the sides of the modulation matrices. */
  readonly ranks: Readonly<Record<ModulatedPart, number>>;
  /** Whether the metric estimation module is there. */
  readonly hasMem: boolean;
}

/** Scope of the metric estimation module's layer; `0` is its index in the released sequence. */
const MEM = "mem.0";

/**
 * The estimator and the metric estimation module always compute in f32, as the release does. An activation of
 * the released width must fit one binding: 724² pixels with 128 MiB.
 */
export const DEGRADATION_DTYPE = "f32";

/** The released sizes. */
const RELEASED: DegradationConfig = {
  estimator: { width: 64, outWidth: 128, hidden: 512 },
  frequencies: 64,
  blockEmbedding: 64,
  ranks: { vae: 16, unet: 32 },
  hasMem: false,
};

/**
 * Sizes as the files of a model folder say them, released ones where a file is absent or says nothing: whether
 * everything fits together is checked with all other tensors. Throws `WeightsError` for broken files.
 */
export async function readDegradationConfig(
  files: FileSet,
  rcod: RcodConfig,
  signal?: AbortSignal,
): Promise<DegradationConfig> {
  /** First sizes of tensors, and plain values, of a file; null where it is absent. */
  const look = async (name: string | null) => {
    const file = name === null ? null : await openWeightFile(files, name, signal);
    if (file === null) return null;
    const { store, values } = file;
    try {
      const sizes = new Map([...store.names()].map((tensor) => [tensor, store.info(tensor).shape]));
      return { sizes, values };
    } finally {
      await store.close();
    }
  };
  const net = await look(rcod.degradationEstimator);
  const trained = await look(rcod.checkpoint);
  const mem = await look(rcod.memCheckpoint);
  const size = (file: typeof net, tensor: string, axis: number, released: number): number => {
    const found = file?.sizes.get(tensor)?.[axis] ?? 0;
    return found >= 1 ? found : released;
  };
  const rank = (part: ModulatedPart): number => {
    const value = Number(trained?.values.get(`rank_${part}`));
    return Number.isSafeInteger(value) && value >= 1 && value <= MAX_RANK
      ? value
      : RELEASED.ranks[part];
  };
  const { estimator } = RELEASED;
  return {
    estimator: {
      width: size(net, "conv_first.0.weight", 0, estimator.width),
      outWidth: size(net, "body.0.6.weight", 0, estimator.outWidth),
      hidden: size(net, "fc_degree.0.0.weight", 0, estimator.hidden),
    },
    frequencies: size(trained, "w", 0, RELEASED.frequencies),
    blockEmbedding: size(
      trained,
      "state_embeddings.state_dict_unet_block.weight",
      1,
      RELEASED.blockEmbedding,
    ),
    ranks: { vae: rank("vae"), unet: rank("unet") },
    hasMem: mem !== null,
  };
}

/** Far above every real rank; a modulation matrix has its square in elements. */
const MAX_RANK = 1024;

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
  blocks: Readonly<Record<ModulatedPart, number>>,
): Graph {
  const g = new GraphBuilder(DEGRADATION_DTYPE);
  const root = new WeightScope();
  for (const part of MODULATED_PARTS) {
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
