/**
 * One case after the other: every engine's result against double precision first, then the engines in turn
 * (A B C A B C …), then the results again, so that what was timed is known to have been right.
 */
import type { Gpu } from "../../src/gpu/device.ts";
import type { Measure, SamplingOptions, Timing } from "../../src/graph/measure/sampling.ts";
import { sampleInTurn } from "../../src/graph/measure/sampling.ts";
import type { CompareCase, NamedCase } from "./cases.ts";
import type { Engine } from "./engine.ts";
import type { OrtBackend } from "./ort-engine.ts";
import { openOrt } from "./ort-engine.ts";
import { openRcod } from "./rcod-engine.ts";

export interface ComparedEngine {
  readonly engine: string;
  /** ‖got − expected‖ / ‖expected‖ before the timed runs and after them; null for NaN and Infinity. */
  readonly relRms: number | null;
  readonly relRmsAfter?: number | null;
  readonly pass: boolean;
  /** Session or program made, weights uploaded and the first run done: compile time, mostly. */
  readonly firstRunMs: number;
  readonly timing?: Timing;
  readonly gflops?: number;
  /** Why the engine did not run. */
  readonly error?: string;
}

export interface CompareRecord {
  readonly case: string;
  readonly flops: number;
  readonly bytes: number;
  readonly engines: readonly ComparedEngine[];
  /** Times of the best right variant of another runtime over ours; absent where either has no right result. */
  readonly speedup: { readonly webgpu?: number; readonly wasm?: number };
}

/** f32 arithmetic over sums of thousands lands near 1e-6; a single wrong element of a million is above 1e-3. */
export const MAX_REL_RMS = 1e-5;

/** An engine to compare, opened for a case. */
export type OpenEngine = (compared: CompareCase) => Promise<Engine>;

/** All engines of a case; maps get both layouts of onnxruntime's, because a graph's ends cost it conversions. */
export function enginesFor(
  gpu: Gpu,
  { onnx }: CompareCase,
): readonly (readonly [string, OpenEngine])[] {
  const isMap = Object.values(onnx.inputs).some(({ length }) => length === 4);
  const backends: readonly OrtBackend[] = [
    ...(isMap ? (["NHWC", "NCHW"] as const) : [undefined]).map((layout): OrtBackend => ({
      provider: "webgpu",
      ...(layout && { layout }),
    })),
    { provider: "wasm" },
  ];
  return [
    ["rcod", (compared) => openRcod(gpu, compared)],
    ...backends.map((backend): readonly [string, OpenEngine] => [
      ["ort", backend.provider, ...(backend.layout ? [backend.layout] : [])].join(" "),
      (compared) => openOrt(compared, backend),
    ]),
  ];
}

/** Runs one case. Engines that fail or compute wrong are reported and not timed. */
export async function runCompareCase(
  named: NamedCase,
  engines: (compared: CompareCase) => readonly (readonly [string, OpenEngine])[],
  sampling: SamplingOptions,
): Promise<CompareRecord> {
  const compared = named.make();
  const expected = compared.expected();
  const opened: OpenedEngine[] = [];
  try {
    for (const [name, open] of engines(compared)) {
      opened.push(await firstRun(name, () => open(compared), expected));
    }
    const right = opened.filter(({ record }) => record.pass);
    const timings =
      right.length === 0
        ? []
        : await sampleInTurn(
            right.map(({ engine }) => timed(engine)),
            sampling,
          );
    for (const [i, entry] of right.entries()) {
      const timing = timings[i] as Timing;
      const after = verdict(relativeRms(await (entry.engine as Engine).read(), expected));
      entry.record = {
        ...entry.record,
        relRmsAfter: after.relRms,
        pass: after.pass,
        timing,
        gflops: compared.flops / (timing.medianMs * 1e6),
      };
    }
  } finally {
    for (const { engine } of opened) await engine?.dispose();
  }
  const records = opened.map(({ record }) => record);
  const { flops, bytes } = compared;
  return { case: named.name, flops, bytes, engines: records, speedup: speedups(records) };
}

/** Without an engine where it failed. */
interface OpenedEngine {
  readonly engine: Engine | null;
  record: ComparedEngine;
}

async function firstRun(
  name: string,
  open: () => Promise<Engine>,
  expected: Float64Array,
): Promise<OpenedEngine> {
  const startedAt = performance.now();
  let engine: Engine | null = null;
  try {
    engine = await open();
    await engine.run();
    await engine.settle();
    const firstRunMs = performance.now() - startedAt;
    const result = verdict(relativeRms(await engine.read(), expected));
    return { engine, record: { engine: name, ...result, firstRunMs } };
  } catch (error) {
    await engine?.dispose();
    const message = error instanceof Error ? error.message : String(error);
    const record = { engine: name, relRms: null, pass: false, firstRunMs: 0, error: message };
    return { engine: null, record };
  }
}

/** Whether every engine of ours is right. Others may be wrong: that is a finding, not a failure. */
export function comparePasses({ engines }: CompareRecord): boolean {
  return engines.filter(({ engine }) => engine.startsWith("rcod")).every(({ pass }) => pass);
}

/** Wall milliseconds until `repeats` runs are done. */
function timed(engine: Engine | null): Measure {
  return async (repeats) => {
    const startedAt = performance.now();
    for (let i = 0; i < repeats; i++) await engine?.run();
    await engine?.settle();
    return performance.now() - startedAt;
  };
}

function verdict(relRms: number): { readonly relRms: number | null; readonly pass: boolean } {
  // JSON has no NaN.
  return { relRms: Number.isFinite(relRms) ? relRms : null, pass: relRms <= MAX_REL_RMS };
}

/** ‖got − expected‖ / ‖expected‖; NaN where an element is NaN, Infinity where the counts differ. */
export function relativeRms(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Infinity;
  let [errors, squares] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number;
    errors += ((got[i] as number) - e) ** 2;
    squares += e * e;
  }
  return Math.sqrt(errors / squares);
}

function speedups(engines: readonly ComparedEngine[]): CompareRecord["speedup"] {
  const best = (prefix: string): number =>
    Math.min(
      ...engines.map(({ engine, pass, timing }) =>
        engine.startsWith(prefix) && pass && timing ? timing.medianMs : Infinity,
      ),
    );
  const ours = best("rcod");
  const [webgpu, wasm] = [best("ort webgpu") / ours, best("ort wasm") / ours];
  return {
    ...(Number.isFinite(webgpu) && webgpu > 0 && { webgpu }),
    ...(Number.isFinite(wasm) && wasm > 0 && { wasm }),
  };
}
