/** Measuring which kernel variants are fastest for a model on a device. */
import type { Caps } from "../../gpu/caps.ts";
import type { Clock } from "../../gpu/clock.ts";
import { chooseClock } from "../../gpu/clock.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { Recorder } from "../../graph/execution/recorder.ts";
import { noiseBuffer } from "../../graph/measure/noise.ts";
import type { TuneOptions, TuneResult } from "../../graph/measure/tune.ts";
import { tune, tuneCases } from "../../graph/measure/tune.ts";
import { planGraph } from "../../graph/plan.ts";
import { elementwise } from "../../kernels/pointwise/elementwise.ts";
import { VERSION } from "../../version.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { TuningTable } from "./tuning-table.ts";
import { adapterKey } from "./tuning-table.ts";

export interface TuneModelOptions extends Pick<TuneOptions, "signal" | "onResult"> {
  /** Output pixels whose shapes are measured; larger images share them up to a factor of √2. Default 512 × 512. */
  readonly size?: readonly [width: number, height: number];
  /** After this long no measurement begins. Those with the largest share of the work come first. Default 20 s. */
  readonly budgetMs?: number;
}

const DEFAULT_SIDE = 512;
const DEFAULT_BUDGET_MS = 20_000;

/** A table for a model, and the measurements that it was made of. */
export interface TunedModel {
  readonly table: TuningTable;
  readonly results: readonly TuneResult[];
  /** Classes of problems that the model has. */
  readonly classes: number;
  readonly clock: Clock["kind"];
}

/**
 * Measures the kernel variants at a model's own shapes on `gpu`, from its configurations alone. A variant counts
 * only where its result agrees with the reference. The table holds what differs from the kernels' own choice.
 */
export async function tuneModel(
  gpu: Gpu,
  configs: ModelConfigs,
  dtype: DType,
  options: TuneModelOptions = {},
): Promise<TunedModel> {
  const { size = [DEFAULT_SIDE, DEFAULT_SIDE], budgetMs = DEFAULT_BUDGET_MS } = options;
  const { signal, onResult } = options;
  const { variants: _unused, ...caps } = gpu.caps;
  const factor = vaeFactor(configs.vae);
  const [width, height] = size.map((side) => Math.ceil(side / factor) * factor) as [number, number];
  const graphs = Object.values(stageGraphs(configs, height, width, dtype));
  const cases = tuneCases(
    graphs.filter((graph) => graph.dtype === dtype).map((graph) => planGraph(graph, caps)),
  );
  const clock = await tuneClock(gpu, caps);
  const results = await tune(gpu, cases, { clock, budgetMs, signal, onResult });
  const chosen = results.filter(
    ({ defaultVariant, chosen: variant }) => variant !== defaultVariant,
  );
  const table: TuningTable = {
    adapter: adapterKey(caps),
    dtype,
    engine: VERSION,
    variants: Object.fromEntries(chosen.map(({ key, chosen: variant }) => [key, variant])),
  };
  return { table, results, classes: cases.length, clock: clock.kind };
}

/** Timestamps where they can be trusted, judged on a copy of a few MiB. */
async function tuneClock(gpu: Gpu, caps: Caps): Promise<Clock> {
  const quads = 2 ** 18;
  const buffers = {
    a: noiseBuffer(gpu, "tune clock", 16 * quads, "f32"),
    y: noiseBuffer(gpu, "tune clock", 16 * quads, "f32"),
  };
  const problem = {
    dtype: "f32",
    quads,
    hasB: false,
    scaleA: 1,
    scaleB: 1,
    activation: "none",
  } as const;
  try {
    const plan = elementwise.plan(problem, caps);
    const recorder = await Recorder.create(gpu, [{ plan }], [buffers]);
    try {
      const { clock } = await chooseClock(gpu, (pass, repeats) => recorder.record(pass, repeats));
      return clock;
    } finally {
      recorder.dispose();
    }
  } finally {
    for (const buffer of Object.values(buffers)) gpu.memory.release(buffer);
  }
}
