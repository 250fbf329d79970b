/** What a model is and what it takes, from its configurations alone: parameters, bytes, plans. No GPU, no weights. */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { elementCount, paddedChannels } from "../gpu/shape.ts";
import type { Graph, Weight } from "../graph/ir.ts";
import { graphWeights } from "../graph/ir.ts";
import { optimize } from "../graph/passes.ts";
import { planGraph } from "../graph/plan.ts";
import { packedColumnQuads, packedWeightByteLength } from "../kernels/pack-weight.ts";
import { vaeFactor } from "../rcod/config.ts";
import { IMAGE_PROJ } from "../rcod/graphs.ts";
import type { ModelConfigs } from "../rcod/load.ts";
import { stageGraphs } from "../rcod/load.ts";

/** A part of the model as a checkpoint knows it. */
export interface ModuleInfo {
  readonly name: string;
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes on the device: matrices in the storage dtype, vectors and tables in f32, channels padded. */
  readonly deviceBytes: Readonly<Record<DType, number>>;
}

/** A graph of the pipeline at one size. */
export interface StageInfo {
  readonly name: string;
  readonly flops: number;
  readonly dispatches: number;
  /** Distinct shaders. */
  readonly pipelines: number;
  /** Bytes of the activation slots, largest first. */
  readonly slotBytes: readonly number[];
  readonly activationBytes: number;
  /** Largest sum of live values at any step. */
  readonly peakLiveBytes: number;
  /** Largest value that one binding holds. */
  readonly largestBindingBytes: number;
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
  readonly largestBinding: { readonly name: string; readonly bytes: number };
  /** Whether every binding fits the device that was planned for. */
  readonly fits: boolean;
}

/** The parts of a model, in the order of the pipeline. */
export function describeModules(configs: ModelConfigs): readonly ModuleInfo[] {
  const side = 8 * vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, "f32");
  const isProjection = ({ name }: Weight): boolean => name.startsWith(`${IMAGE_PROJ}.`);
  const tokens = fusedWeights(graphs.tokens);
  return [
    moduleInfo(
      "CLIP vision",
      tokens.filter((weight) => !isProjection(weight)),
    ),
    moduleInfo("token projection", tokens.filter(isProjection)),
    moduleInfo("VAE encoder", fusedWeights(graphs.encode)),
    moduleInfo("UNet", fusedWeights(graphs.unet)),
    moduleInfo("VAE decoder", fusedWeights(graphs.decode)),
    ...(graphs.mem ? [moduleInfo("metric estimation", fusedWeights(graphs.mem))] : []),
    ...(graphs.estimator
      ? [moduleInfo("degradation estimator", fusedWeights(graphs.estimator))]
      : []),
    ...(graphs.modulation ? [moduleInfo("LoRA modulation", fusedWeights(graphs.modulation))] : []),
  ];
}

function moduleInfo(name: string, weights: readonly Weight[]): ModuleInfo {
  const total = (bytes: (weight: Weight) => number): number =>
    weights.reduce((sum, w) => sum + bytes(w), 0);
  return {
    name,
    tensors: weights.length,
    parameters: total(({ shape }) => elementCount(shape)),
    deviceBytes: {
      f16: total((weight) => deviceByteLength(weight, "f16")),
      f32: total((weight) => deviceByteLength(weight, "f32")),
    },
  };
}

/** The weights in the layouts that the fused graph reads. */
function fusedWeights(graph: Graph): readonly Weight[] {
  return graphWeights(optimize({ ...graph, named: new Map() }));
}

/** Bytes of a weight as `DeviceWeights` stores it. */
function deviceByteLength({ layout, shape }: Weight, dtype: DType): number {
  const [rows = 1, inChannels = 1, kernelHeight = 1, kernelWidth = 1] = shape;
  switch (layout) {
    case "matrix":
    case "geglu-matrix":
      return packedWeightByteLength({
        dtype,
        outChannels: rows,
        inChannels,
        taps: kernelHeight * kernelWidth,
        geglu: layout === "geglu-matrix",
      });
    case "geglu-vector":
      return packedColumnQuads(rows, true) * 16;
    case "vector":
    case "table": {
      const channels = shape[shape.length - 1] ?? 1;
      return (elementCount(shape) / channels) * paddedChannels(channels) * 4;
    }
    default:
      return layout satisfies never;
  }
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
  const weights = new Map<string, number>();
  const stage = (name: string, graph: Graph): StageInfo => {
    const { steps, memory, weights: read } = planGraph(graph, caps);
    const dispatches = steps.flatMap((step) => step.plan.dispatches);
    const own = new Set(dispatches.map(({ code }) => code));
    for (const code of own) codes.add(code);
    memory.slotByteLengths.forEach(
      (bytes, i) => (poolSlotBytes[i] = Math.max(poolSlotBytes[i] ?? 0, bytes)),
    );
    for (const weight of read) {
      const bytes = deviceByteLength(weight, dtype);
      weights.set(`${name} ${weight.name}`, bytes);
      bindingOf(weight.name, bytes);
    }
    const largest = Math.max(...memory.slotByteLengths);
    bindingOf(`activation of ${name}`, largest);
    return {
      name,
      flops: steps.reduce((sum, { cost }) => sum + cost.flops, 0),
      dispatches: dispatches.length,
      pipelines: own.size,
      slotBytes: memory.slotByteLengths,
      activationBytes: memory.totalBytes,
      peakLiveBytes: memory.peakLiveBytes,
      largestBindingBytes: largest,
    };
  };
  const stages = [
    stage("tokens", graphs.tokens),
    stage("encode", graphs.encode),
    stage("unet", graphs.unet),
    stage("decode", graphs.decode),
    ...(graphs.mem ? [stage("mem", graphs.mem)] : []),
    ...(graphs.estimator ? [stage("degradation", graphs.estimator)] : []),
    ...(graphs.modulation ? [stage("modulation", graphs.modulation)] : []),
  ];
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
    weightBytes: [...weights.values()].reduce((total, bytes) => total + bytes, 0),
    largestBinding,
    fits: largestBinding.bytes <= binding,
  };
}
