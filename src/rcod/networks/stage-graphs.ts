/**
 * The graphs of a model's stages, and the weights that they need: which parameters the files of each part must hold,
 * and which weights each stage loads.
 */
import type { DType } from "../../gpu/dtype.ts";
import type { Graph, Weight } from "../../graph/ir/ir.ts";
import { graphWeights } from "../../graph/ir/ir.ts";
import type { PassName } from "../../graph/passes/passes.ts";
import { optimize } from "../../graph/passes/passes.ts";
import { clipTokens, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage } from "../settings/options.ts";
import { estimatorGraph, modulationGraph } from "./degradation.ts";
import { decoderGraph, encoderGraph, memGraph, tokenGraph, unetGraph } from "./graphs.ts";
import { blockCounts } from "./modulation.ts";

/** The parts of a model: its networks by whose weights they are. */
export const MODEL_PARTS = ["clip", "vae", "unet", "mem", "degradation"] as const;
export type ModelPart = (typeof MODEL_PARTS)[number];

/** Weights of each part; none for a part that the model does not have. */
export type PartWeights = Readonly<Record<ModelPart, readonly Weight[]>>;

/** The parts that a model has. */
export function modelParts({ mem, degradation }: ModelConfigs): readonly ModelPart[] {
  return [
    "clip",
    "vae",
    "unet",
    ...(mem ? ["mem" as const] : []),
    ...(degradation ? ["degradation" as const] : []),
  ];
}

/** Graphs of the stages for an output of width × height pixels, which are multiples of the VAE's factor. */
export function stageGraphs(
  { rcod, unet, vae, clip, mem, degradation }: ModelConfigs,
  height: number,
  width: number,
  dtype: DType,
): Readonly<
  Record<NetworkStage, Graph> & Partial<Record<"mem" | "estimator" | "modulation", Graph>>
> {
  const factor = vaeFactor(vae);
  const [h, w] = [height / factor, width / factor];
  return {
    tokens: tokenGraph(clip, unet.crossAttentionDim, dtype),
    encode: encoderGraph(vae, height, width, dtype),
    unet: unetGraph(unet, h, w, clipTokens(clip), dtype),
    decode: decoderGraph(vae, h, w, dtype),
    ...(mem && { mem: memGraph(mem, vae, h, w, dtype) }),
    ...(degradation && {
      estimator: estimatorGraph(
        degradation,
        Math.ceil(height / rcod.upscale),
        Math.ceil(width / rcod.upscale),
      ),
      modulation: modulationGraph(degradation, blockCounts({ unet, vae })),
    }),
  };
}

/** The parameters that the files of each part must hold, in plain layouts. They do not depend on sizes. */
export function modelParameters(configs: ModelConfigs): PartWeights {
  const side = vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, "f32");
  const weights = (...used: readonly (Graph | undefined)[]): Weight[] =>
    graphWeights({ nodes: used.flatMap((graph) => graph?.nodes ?? []) });
  return {
    clip: weights(graphs.tokens),
    vae: weights(graphs.encode, graphs.decode),
    unet: weights(graphs.unet),
    mem: weights(graphs.mem),
    degradation: weights(graphs.estimator, graphs.modulation),
  };
}

/**
 * What is loaded at a time in low memory: the weights of a network stage, or those of a network that runs within
 * "encode" ("degradation": estimator and modulation layers).
 */
export type WeightStage = NetworkStage | "degradation" | "mem";

/** The part whose weights a stage uses. */
export const STAGE_PART: Readonly<Record<WeightStage, ModelPart>> = {
  tokens: "clip",
  degradation: "degradation",
  encode: "vae",
  mem: "mem",
  unet: "unet",
  decode: "vae",
};

/**
 * The weights that each stage loads, in the layouts that the optimized graphs read. They serve images of every size.
 * Two networks read other layouts at some sizes; they load the layouts of both cases:
 *
 * - An up-sampler of the UNet reads another layout where it doubles its map exactly than where it does not.
 * - The VAE's attention reads its projections stacked, as one product; in the largest images it reads three.
 */
export function stageWeights(
  configs: ModelConfigs,
  dtype: DType,
): Readonly<Record<WeightStage, readonly Weight[]>> {
  const { unet, vae, clip } = configs;
  // 2^levels stays even when it is halved, with rounding up, once per level; 2^levels + 1 stays odd.
  const side = 2 ** unet.blockOutChannels.length;
  const pixels = side * vaeFactor(vae);
  const graphs = stageGraphs(configs, pixels, pixels, dtype);
  const oddUNet = unetGraph(unet, side + 1, side + 1, clipTokens(clip), dtype);
  const nodes = (graph: Graph, without: readonly PassName[] = []): Graph["nodes"] =>
    optimize({ ...graph, named: new Map() }, without).nodes;
  const weights = (...used: readonly (Graph | undefined)[]): Weight[] =>
    graphWeights({ nodes: used.flatMap((graph) => (graph ? nodes(graph) : [])) });
  const vaeWeights = (graph: Graph): Weight[] =>
    graphWeights({ nodes: [...nodes(graph), ...nodes(graph, ["stack-projections"])] });
  return {
    tokens: weights(graphs.tokens),
    encode: vaeWeights(graphs.encode),
    decode: vaeWeights(graphs.decode),
    unet: weights(graphs.unet, oddUNet),
    mem: weights(graphs.mem),
    degradation: weights(graphs.estimator, graphs.modulation),
  };
}

/** The weights that each part loads for all of its stages. */
export function partWeights({
  tokens,
  encode,
  decode,
  ...others
}: Readonly<Record<WeightStage, readonly Weight[]>>): PartWeights {
  return { clip: tokens, vae: [...encode, ...decode], ...others };
}

/** The same for a model whose parts all have one storage. */
export function modelWeights(configs: ModelConfigs, dtype: DType): PartWeights {
  return partWeights(stageWeights(configs, dtype));
}
