/** The parts of a model: the graphs that use their weights, and the parameters that their files must hold. */
import type { DType } from "../../gpu/dtype.ts";
import type { Graph, Weight } from "../../graph/ir/ir.ts";
import { graphWeights } from "../../graph/ir/ir.ts";
import type { PassName } from "../../graph/passes/passes.ts";
import { optimize } from "../../graph/passes/passes.ts";
import { clipTokens, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { estimatorGraph, modulationGraph } from "./degradation.ts";
import { decoderGraph, encoderGraph, memGraph, tokenGraph, unetGraph } from "./graphs.ts";
import { blockCounts } from "./modulation.ts";

/** The parts of a model that have weights of their own on the device. */
export type ModelPart = "clip" | "vae" | "unet" | "mem" | "degradation";

/** Graphs of the stages for an output of width × height pixels (multiples of the VAE's factor). */
export function stageGraphs(
  { rcod, unet, vae, clip, mem, degradation }: ModelConfigs,
  height: number,
  width: number,
  dtype: DType,
): {
  readonly tokens: Graph;
  readonly encode: Graph;
  readonly unet: Graph;
  readonly decode: Graph;
  readonly mem?: Graph;
  readonly estimator?: Graph;
  readonly modulation?: Graph;
} {
  const factor = vaeFactor(vae);
  const [h, w] = [height / factor, width / factor];
  return {
    tokens: tokenGraph(clip, unet.crossAttentionDim, dtype),
    encode: encoderGraph(vae, height, width, dtype),
    unet: unetGraph(unet, h, w, clipTokens(clip), dtype),
    decode: decoderGraph(vae, h, w, dtype),
    ...(mem && { mem: memGraph(mem, h, w, dtype) }),
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

/** Something of each part of a model; empty for an absent `mem/`. */
type ByPart<T> = Readonly<Record<ModelPart, readonly T[]>>;

/** The checkpoint's parameters of each part, in plain layouts. They do not depend on sizes. */
export function modelParameters(configs: ModelConfigs): ByPart<Weight> {
  const side = vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, "f32");
  return {
    clip: graphWeights(graphs.tokens),
    vae: graphWeights({ nodes: [...graphs.encode.nodes, ...graphs.decode.nodes] }),
    unet: graphWeights(graphs.unet),
    mem: graphs.mem ? graphWeights(graphs.mem) : [],
    degradation:
      graphs.estimator && graphs.modulation
        ? graphWeights({ nodes: [...graphs.estimator.nodes, ...graphs.modulation.nodes] })
        : [],
  };
}

/** The stages of the pipeline that have weights of their own. */
export type WeightStage = "tokens" | "degradation" | "encode" | "mem" | "unet" | "decode";

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
 * What each stage loads: the parameters in the layouts that the fused graphs read, whatever the size. Some read
 * others by size, and both are loaded: up-samplers of the UNet, as they double exactly or not, and the attention of the
 * VAE, whose projections are one product but in the largest images.
 */
export function stageWeights(
  configs: ModelConfigs,
  dtype: DType,
): Readonly<Record<WeightStage, readonly Weight[]>> {
  const { unet, vae, clip } = configs;
  // Halved once a level with rounding up, 2^n stays even and 2^n + 1 odd.
  const side = 2 ** unet.blockOutChannels.length;
  const [height, width] = [side * vaeFactor(vae), side * vaeFactor(vae)];
  const graphs = stageGraphs(configs, height, width, dtype);
  const oddUNet = unetGraph(unet, side + 1, side + 1, clipTokens(clip), dtype);
  const nodes = (graph: Graph, without: readonly PassName[] = []) =>
    optimize({ ...graph, named: new Map() }, without).nodes;
  const weights = (...parts: readonly Graph[]): Weight[] =>
    graphWeights({ nodes: parts.flatMap((graph) => nodes(graph)) });
  const vaeWeights = (graph: Graph): Weight[] =>
    graphWeights({ nodes: [...nodes(graph), ...nodes(graph, ["stack-projections"])] });
  return {
    tokens: weights(graphs.tokens),
    encode: vaeWeights(graphs.encode),
    decode: vaeWeights(graphs.decode),
    unet: weights(graphs.unet, oddUNet),
    mem: graphs.mem ? weights(graphs.mem) : [],
    degradation:
      graphs.estimator && graphs.modulation ? weights(graphs.estimator, graphs.modulation) : [],
  };
}

/** What each part loads for all of its stages (`stageWeights`). */
export function modelWeights(configs: ModelConfigs, dtype: DType): ByPart<Weight> {
  const { tokens, encode, decode, ...others } = stageWeights(configs, dtype);
  return { clip: tokens, vae: [...encode, ...decode], ...others };
}

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
