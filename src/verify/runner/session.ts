/**
 * Runs the graphs of cases the way users run them: built, optimised, lowered, planned, replayed. Pipelines stay
 * on the device for the whole session. Weights stay until a graph needs another set: one model at a time.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { GraphBuilder } from "../../graph/ir/builder.ts";
import type { Graph, Weight } from "../../graph/ir/ir.ts";
import { channelsOf, graphWeights } from "../../graph/ir/ir.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import type { GraphPlan } from "../../graph/plan.ts";
import { planGraph } from "../../graph/plan.ts";
import type { HostTensor } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import { DeviceWeights } from "../../graph/weights/device-weights.ts";

export interface SessionOptions {
  readonly dtype: DType;
  readonly signal?: AbortSignal;
  /** Hears the fraction of a stage of the current graph. */
  readonly onProgress?: (stage: "load" | "run", fraction: number) => void;
}

/** Where a session's weights come from. */
export interface WeightSource extends TensorSource {
  /** Takes note of what a graph needs, before `tensor` is requested for it. */
  expect(weights: readonly Weight[]): void;
}

/** Weights by identity: equal keys are the same bytes on the device. */
export interface WeightSet {
  readonly key: string;
  readonly source: WeightSource;
  /** Round merged matrices to f16 also in f32 storage. */
  readonly roundToHalf?: boolean;
  /** Called once the weights of a graph are loaded, before it runs. */
  readonly prepare?: (device: DeviceWeights) => Promise<void>;
}

/** A graph with its weights and its inputs (channels last). */
export interface GraphJob {
  readonly weights: WeightSet;
  readonly build: (g: GraphBuilder) => void;
  readonly inputs: Readonly<Record<string, Float32Array>>;
}

/** A program that is kept for several runs. */
export interface OpenProgram {
  readonly program: Program;
  /** Runs with these inputs (channels last). */
  readonly run: (inputs: Readonly<Record<string, Float32Array>>) => Promise<void>;
}

/** Requested variants, see `caps.variants`: numbers of steps by `kernel=variant`. */
export interface VariantUse {
  readonly asRequested: Readonly<Record<string, number>>;
  /** Steps that run another variant; the key ends in the reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** The sum of two counts. */
export function addVariantUse(a: VariantUse, b: VariantUse): VariantUse {
  return {
    asRequested: addCounts(a.asRequested, b.asRequested),
    refused: addCounts(a.refused, b.refused),
  };
}

function addCounts(
  a: VariantUse["asRequested"],
  b: VariantUse["asRequested"],
): VariantUse["asRequested"] {
  const sum = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}

const NO_VARIANTS: VariantUse = { asRequested: {}, refused: {} };

export class Session {
  readonly gpu: Gpu;
  readonly dtype: DType;
  readonly #options: SessionOptions;
  #weights: { readonly set: WeightSet; readonly device: DeviceWeights } | undefined;
  #jobs: GraphJob[] = [];
  #variants: VariantUse = NO_VARIANTS;

  constructor(gpu: Gpu, options: SessionOptions) {
    this.gpu = gpu;
    this.dtype = options.dtype;
    this.#options = options;
  }

  get signal(): AbortSignal | undefined {
    return this.#options.signal;
  }

  /** Runs a graph once and reads its outputs, channels last. `Name` is what the graph is known to give. */
  async run<Name extends string>(
    job: GraphJob,
    captures: readonly string[] = [],
  ): Promise<Record<Name, HostTensor>> {
    this.#jobs.push(job);
    return this.withProgram(
      job.weights,
      job.build,
      async ({ program, run }) => {
        await run(job.inputs);
        const outputs: Record<string, HostTensor> = {};
        for (const name of program.plan.results.keys()) outputs[name] = await program.read(name);
        return outputs;
      },
      captures,
    );
  }

  /** Builds a program, hands it to `use`, and frees it. */
  async withProgram<T>(
    weights: WeightSet,
    build: (g: GraphBuilder) => void,
    use: (opened: OpenProgram) => Promise<T>,
    captures: readonly string[] = [],
  ): Promise<T> {
    const { signal, onProgress } = this.#options;
    signal?.throwIfAborted();
    const graph = buildGraph(this.dtype, build);
    const plan = planGraph(graph, this.gpu.caps, {
      captures: captures.filter((name) => graph.named.has(name)),
    });
    this.#countVariants(plan);
    const device = this.deviceWeights(weights, graphWeights(graph));
    await device.load(plan.weights, {
      ...(signal && { signal }),
      onProgress: (loaded, total) => onProgress?.("load", loaded / total),
    });
    await weights.prepare?.(device);
    const program = await Program.create(this.gpu, plan, device);
    try {
      return await use({
        program,
        run: (inputs) =>
          program.run(
            Object.fromEntries(
              Object.entries(inputs).map(([name, data]) => {
                const value = graph.inputs.get(name);
                if (value === undefined) throw new Error(`internal: graph has no input "${name}"`);
                return [name, packActivation(data, channelsOf(value), this.dtype)];
              }),
            ),
            { ...(signal && { signal }), onProgress: (fraction) => onProgress?.("run", fraction) },
          ),
      });
    } finally {
      program.dispose();
    }
  }

  /** The device's copy of a weight set, whose source must have `needed`; frees the set before. */
  deviceWeights(set: WeightSet, needed: readonly Weight[]): DeviceWeights {
    if (this.#weights?.set.key !== set.key) {
      this.#weights?.device.dispose();
      this.#weights = {
        set,
        device: new DeviceWeights(this.gpu, set.source, {
          dtype: this.dtype,
          roundToHalf: set.roundToHalf ?? false,
        }),
      };
    }
    // An equal set of an earlier case stays, and so does its source.
    this.#weights.set.source.expect(needed);
    return this.#weights.device;
  }

  /** The use of requested variants since the last call. */
  takeVariants(): VariantUse {
    const variants = this.#variants;
    this.#variants = NO_VARIANTS;
    return variants;
  }

  #countVariants({ steps }: GraphPlan): void {
    for (const { kernel, requested } of steps) {
      if (requested === undefined) continue;
      const name = `${kernel}=${requested.variant}`;
      this.#variants = addVariantUse(
        this.#variants,
        requested.refusal === undefined
          ? { asRequested: { [name]: 1 }, refused: {} }
          : { asRequested: {}, refused: { [`${name}: ${requested.refusal}`]: 1 } },
      );
    }
  }

  /** The graphs run since the last call, for tracing. */
  takeJobs(): readonly GraphJob[] {
    const jobs = this.#jobs;
    this.#jobs = [];
    return jobs;
  }

  dispose(): void {
    this.#weights?.device.dispose();
    this.#weights = undefined;
  }
}

function buildGraph(dtype: DType, build: (g: GraphBuilder) => void): Graph {
  const g = new GraphBuilder(dtype);
  build(g);
  return g.build();
}
