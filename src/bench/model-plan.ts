/** What a model is and what it takes, from its configurations alone: parameters, bytes, plans. No GPU, no weights. */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { elementCount } from "../gpu/shape.ts";
import type { Graph, Weight } from "../graph/ir/ir.ts";
import { growSlots } from "../graph/memory-plan.ts";
import { planGraph } from "../graph/plan.ts";
import { weightByteLength } from "../graph/weights/weight-layout.ts";
import type { GraphSummary } from "../rcod/inspect/graph-summary.ts";
import { summarizeGraph } from "../rcod/inspect/graph-summary.ts";
import { DEGRADATION_DTYPE } from "../rcod/networks/degradation.ts";
import { IMAGE_PROJ } from "../rcod/networks/graphs.ts";
import type { ModelPart, WeightStage } from "../rcod/networks/stage-graphs.ts";
import {
  modelParameters,
  modelWeights,
  stageGraphs,
  stageWeights,
} from "../rcod/networks/stage-graphs.ts";
import { vaeFactor } from "../rcod/settings/config.ts";
import type { ModelConfigs } from "../rcod/settings/model-configs.ts";

/** A part of the model as a checkpoint knows it. */
export interface ModuleInfo {
  readonly name: string;
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes on the device: matrices in the storage dtype, vectors and tables in f32, channels padded. */
  readonly deviceBytes: Readonly<Record<DType, number>>;
}

/** A graph of the pipeline at one size. */
export interface StageInfo extends GraphSummary {
  readonly name: string;
}

export interface PlanInfo {
  readonly dtype: DType;
  /** Sides that the networks see: multiples of the VAE's factor. */
  readonly width: number;
  readonly height: number;
  readonly stages: readonly StageInfo[];
  readonly flops: number;
  readonly dispatches: number;
  /** Distinct shaders over all stages. */
  readonly pipelines: number;
  /** The pool that stages share one after another: slot i is as large as the largest slot i. */
  readonly poolSlotBytes: readonly number[];
  readonly poolBytes: number;
  readonly weightBytes: number;
  /** The same by stage: low memory has one of them at a time. Without what RCOD_S keeps to merge. */
  readonly stageWeightBytes: Readonly<Record<WeightStage, number>>;
  readonly largestBinding: { readonly name: string; readonly bytes: number };
  /** Whether every binding fits the device that was planned for. */
  readonly fits: boolean;
}

/** The parts of a model, in the order of the pipeline. */
export function describeModules(configs: ModelConfigs): readonly ModuleInfo[] {
  const parameters = modelParameters(configs);
  const weights = { f16: modelWeights(configs, "f16"), f32: modelWeights(configs, "f32") };
  const info = (
    name: string,
    part: ModelPart,
    belongs: (weight: Weight) => boolean,
  ): ModuleInfo => {
    const own = parameters[part].filter(belongs);
    const deviceBytes = (dtype: DType): number =>
      weights[dtype][part]
        .filter(belongs)
        .reduce((sum, weight) => sum + weightByteLength(weight, storageOf(part, dtype)), 0);
    return {
      name,
      tensors: own.length,
      parameters: own.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      deviceBytes: { f16: deviceBytes("f16"), f32: deviceBytes("f32") },
    };
  };
  const isProjection = ({ name }: Weight): boolean => name.startsWith(`${IMAGE_PROJ}.`);
  const isEncoder = ({ name }: Weight): boolean => /^(encoder|quant_conv)\./.test(name);
  return [
    info("CLIP vision", "clip", (weight) => !isProjection(weight)),
    info("token projection", "clip", isProjection),
    info("VAE encoder", "vae", isEncoder),
    info("UNet", "unet", () => true),
    info("VAE decoder", "vae", (weight) => !isEncoder(weight)),
    ...(configs.mem ? [info("metric estimation", "mem", () => true)] : []),
    ...(configs.degradation ? [info("degradation estimator", "degradation", () => true)] : []),
  ];
}

function storageOf(part: ModelPart, dtype: DType): DType {
  return part === "degradation" ? DEGRADATION_DTYPE : dtype;
}

/** Plans all stages untiled for an output of width × height pixels on a device described by `caps`. */
export function describePlan(
  configs: ModelConfigs,
  outputWidth: number,
  outputHeight: number,
  dtype: DType,
  caps: Caps,
): PlanInfo {
  const factor = vaeFactor(configs.vae);
  const width = Math.ceil(outputWidth / factor) * factor;
  const height = Math.ceil(outputHeight / factor) * factor;
  const graphs = stageGraphs(configs, height, width, dtype);
  const codes = new Set<string>();
  let largestBinding = { name: "", bytes: 0 };
  const bindingOf = (name: string, bytes: number): void => {
    if (bytes > largestBinding.bytes) largestBinding = { name, bytes };
  };
  const poolSlotBytes: number[] = [];
  const stage = (name: string, graph: Graph): StageInfo => {
    const plan = planGraph(graph, caps);
    for (const step of plan.steps) {
      for (const { code } of step.plan.dispatches) codes.add(code);
    }
    const summary = summarizeGraph(plan);
    growSlots(poolSlotBytes, summary.slotBytes);
    bindingOf(`activation of ${name}`, summary.largestBindingBytes);
    return { name, ...summary };
  };
  const stages = Object.entries(graphs).map(([name, graph]) =>
    stage(name === "estimator" ? "degradation" : name, graph),
  );
  const weightsOf = (weights: readonly Weight[], storage = dtype): number =>
    weights.reduce((total, weight) => {
      const bytes = weightByteLength(weight, storage);
      bindingOf(weight.name, bytes);
      return total + bytes;
    }, 0);
  const needed = stageWeights(configs, dtype);
  const stageWeightBytes = {
    tokens: weightsOf(needed.tokens),
    degradation: weightsOf(needed.degradation, DEGRADATION_DTYPE),
    encode: weightsOf(needed.encode),
    mem: weightsOf(needed.mem),
    unet: weightsOf(needed.unet),
    decode: weightsOf(needed.decode),
  };
  const sum = (pick: (s: StageInfo) => number): number =>
    stages.reduce((total, s) => total + pick(s), 0);
  const binding = Math.min(caps.limits.maxStorageBufferBindingSize, caps.limits.maxBufferSize);
  return {
    dtype,
    width,
    height,
    stages,
    flops: sum(({ flops }) => flops),
    dispatches: sum(({ dispatches }) => dispatches),
    pipelines: codes.size,
    poolSlotBytes,
    poolBytes: poolSlotBytes.reduce((total, bytes) => total + bytes, 0),
    weightBytes: Object.values(stageWeightBytes).reduce((total, bytes) => total + bytes, 0),
    stageWeightBytes,
    largestBinding,
    fits: largestBinding.bytes <= binding,
  };
}
