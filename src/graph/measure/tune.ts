/**
 * Which variant of each kernel is fastest on this device, for the classes of problems that planned graphs hold.
 * Every variant has to agree with the reference on the problem's own shape before its time counts. Buffers hold
 * noise: neither weights nor images are needed.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { Clock } from "../../gpu/clock.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { storedFloats } from "../../gpu/dtype.ts";
import { messageOf } from "../../gpu/errors.ts";
import { recordPass, submit } from "../../gpu/submit.ts";
import { readBytes, submittedWorkDone } from "../../gpu/transfer.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { conv2d } from "../../kernels/contraction/conv2d.ts";
import { linear } from "../../kernels/contraction/linear.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { classKey } from "../../kernels/variant-choice.ts";
import type { Buffers } from "../execution/recorder.ts";
import { Recorder } from "../execution/recorder.ts";
import type { OperandSource } from "../lowering/step.ts";
import type { GraphPlan } from "../plan.ts";
import { weightByteLength } from "../weights/weight-layout.ts";
import { agrees } from "./agreement.ts";
import { noiseBuffer } from "./noise.ts";
import type { SamplingOptions } from "./sampling.ts";
import { sample } from "./sampling.ts";

/** Kernels whose variants are worth measuring. */
const TUNABLE: readonly Kernel<unknown>[] = [conv2d, linear, attention];

/** A class of problems, by one of them. */
export interface TuneCase {
  /** Key in a `VariantChoice`. */
  readonly key: string;
  readonly kernel: string;
  readonly problem: unknown;
  readonly dtype: DType;
  /** Number of steps of this class, and their flops together: what a better variant is worth. */
  readonly steps: number;
  readonly flops: number;
  /** By name. */
  readonly operands: Readonly<Record<string, TuneOperand>>;
}

/** A buffer to measure with. */
interface TuneOperand {
  /** Operands with the same one share it. */
  readonly buffer: string;
  readonly byteLength: number;
  /** What it is filled with. */
  readonly dtype: DType;
}

/** A variant as measured. */
export interface Candidate {
  readonly variant: string;
  /** Milliseconds of one run: a median or, rejected, a first run. */
  readonly medianMs: number;
  /** Why it may not win. */
  readonly rejected?: string;
}

export interface TuneResult extends Pick<TuneCase, "key" | "kernel" | "steps" | "flops"> {
  /** The variant that the kernel selects by itself. */
  readonly defaultVariant: string;
  readonly candidates: readonly Candidate[];
  readonly chosen: string;
}

export interface TuneOptions {
  readonly clock: Clock;
  /** No class and no variant is begun after this many milliseconds; what is left keeps the kernel's own choice. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onResult?: ((result: TuneResult, done: number, total: number) => void) | undefined;
}

/** The classes of the steps of `plans`, most arithmetic first. */
export function tuneCases(plans: readonly GraphPlan[]): readonly TuneCase[] {
  const cases = new Map<string, TuneCase>();
  for (const plan of plans) {
    for (const { kernel: name, problem, cost, operands } of plan.steps) {
      const kernel = TUNABLE.find((candidate) => candidate.name === name);
      const key = kernel && classKey(kernel, problem);
      if (!key) continue;
      const { dtype } = plan.graph;
      const known = cases.get(`${dtype} ${key}`);
      const sizes = Object.entries(operands).map(
        ([operand, source]) => [operand, bufferOf(operand, source, plan)] as const,
      );
      cases.set(`${dtype} ${key}`, {
        key,
        kernel: name,
        problem: kernel.tuningProblem?.(problem) ?? problem,
        dtype,
        operands: Object.fromEntries(sizes),
        ...known,
        steps: (known?.steps ?? 0) + 1,
        flops: (known?.flops ?? 0) + cost.flops,
      });
    }
  }
  return [...cases.values()].toSorted((a, b) => b.flops - a.flops);
}

function bufferOf(
  name: string,
  source: OperandSource,
  { byteLengths, graph }: GraphPlan,
): TuneOperand {
  const dtype = ALWAYS_F32.has(name) ? "f32" : graph.dtype;
  switch (source.kind) {
    case "value":
      return { buffer: `value ${source.id}`, byteLength: byteLengths.get(source.id) ?? 0, dtype };
    case "weight": {
      const { weight } = source;
      const byteLength = weightByteLength(weight, graph.dtype);
      // Integers may be any bits, but their scales are halves, and have to be finite.
      return { buffer: name, byteLength, dtype: weight.storage ? "f16" : dtype };
    }
    case "zeros":
      return { buffer: name, byteLength: source.byteLength, dtype };
    default:
      return source satisfies never;
  }
}

/** Measures the classes in turn until the budget is used up. Rejects when aborted or when the device is lost. */
export async function tune(
  gpu: Gpu,
  cases: readonly TuneCase[],
  options: TuneOptions,
): Promise<readonly TuneResult[]> {
  const endsAt = performance.now() + options.budgetMs;
  const results: TuneResult[] = [];
  for (const tuneCase of cases) {
    options.signal?.throwIfAborted();
    if (performance.now() > endsAt) break;
    const result = await tuneClass(gpu, tuneCase, options, endsAt);
    results.push(result);
    options.onResult?.(result, results.length, cases.length);
  }
  return results;
}

/** The fastest candidate that was measured: the default, unless another one gains more than times scatter by. */
export function fastestVariant(defaultVariant: string, candidates: readonly Candidate[]): string {
  const timed = candidates.filter(({ rejected }) => rejected === undefined);
  const defaultMs = timed.find(({ variant }) => variant === defaultVariant)?.medianMs ?? Infinity;
  const [best] = timed.toSorted((a, b) => a.medianMs - b.medianMs);
  return best !== undefined && best.medianMs < LEAST_GAIN * defaultMs
    ? best.variant
    : defaultVariant;
}

/** Measured medians of one variant differ by about 3 % from run to run. */
const LEAST_GAIN = 0.95;
/** A variant whose first warm run takes this many times that of the best is not measured further. */
const HOPELESS = 2;
/** The naive variant is the reference where it runs no longer than this, judged by a typical slowness. */
const NAIVE_LIMIT_MS = 1500;
const NAIVE_FACTOR = 20;
/** Variants take turns; a pass repeats a run until it lasts 5 ms, as Chrome rounds timestamps to 0.1 ms. */
const SAMPLING: SamplingOptions = { minMs: 5, samples: 5, maxSeriesMs: 500 };

async function tuneClass(
  gpu: Gpu,
  tuneCase: TuneCase,
  { clock, signal }: TuneOptions,
  endsAt: number,
): Promise<TuneResult> {
  const kernel = TUNABLE.find(({ name }) => name === tuneCase.kernel) as Kernel<unknown>;
  const { problem, key, steps, flops, dtype } = tuneCase;
  const defaultVariant = kernel.select(problem, gpu.caps);
  const others = runnable(kernel, problem, gpu.caps).filter((name) => name !== defaultVariant);
  const buffers = await makeBuffers(gpu, tuneCase);
  const runs: VariantRun[] = [];
  try {
    const measureOnce = async (variant: string): Promise<VariantRun> => {
      signal?.throwIfAborted();
      const made = await runVariant(gpu, kernel, tuneCase, variant, buffers, clock);
      runs.push(made);
      return made;
    };
    const first = await measureOnce(defaultVariant);
    const isShort = first.runMs * NAIVE_FACTOR <= NAIVE_LIMIT_MS;
    const naive = isShort && others.includes("naive") ? await measureOnce("naive") : first;
    const oracle = naive.failure === null ? naive : first;
    for (const variant of others) {
      if (variant !== "naive" && performance.now() < endsAt) await measureOnce(variant);
    }
    const measured = runs.filter((candidate) => candidate === first || candidate !== naive);
    const fastestMs = Math.min(...measured.map(({ runMs }) => runMs));
    const rejected = measured.map(({ failure, output, runMs }) => {
      if (failure !== null) return failure;
      if (!agrees(output, oracle.output, dtype)) return "its result is wrong";
      return runMs > HOPELESS * fastestMs ? "too slow" : null;
    });
    const timed = measured.filter((_, i) => rejected[i] === null);
    const timings = await sample(
      clock,
      timed.map(({ recorder }) => recorder as Recorder),
      SAMPLING,
    );
    const candidates = measured.map((candidate, i): Candidate => {
      const reason = rejected[i];
      return {
        variant: candidate.variant,
        medianMs: timings[timed.indexOf(candidate)]?.medianMs ?? candidate.runMs,
        ...(typeof reason === "string" && { rejected: reason }),
      };
    });
    const chosen = fastestVariant(defaultVariant, candidates);
    return { key, kernel: kernel.name, steps, flops, defaultVariant, candidates, chosen };
  } finally {
    for (const { recorder } of runs) recorder?.dispose();
    for (const buffer of new Set(Object.values(buffers))) gpu.memory.release(buffer);
  }
}

/** The variants that can run a problem here. */
function runnable(kernel: Kernel<unknown>, problem: unknown, caps: Caps): readonly string[] {
  return kernel.variants.filter(
    (variant) => (kernel.refusal?.(problem, caps, variant) ?? null) === null,
  );
}

interface VariantRun {
  readonly variant: string;
  /** Why it did not run; the other fields then say nothing. */
  readonly failure: string | null;
  readonly recorder: Recorder | null;
  readonly output: Float32Array;
  /** One run, compiled and warm. */
  readonly runMs: number;
}

/** Compiles and runs a variant twice, the first time for its result. */
async function runVariant(
  gpu: Gpu,
  kernel: Kernel<unknown>,
  { problem, dtype }: TuneCase,
  variant: string,
  buffers: Buffers,
  clock: Clock,
): Promise<VariantRun> {
  let made: Recorder | null = null;
  try {
    const plan = kernel.plan(problem, gpu.caps, variant);
    const recorder = await Recorder.create(gpu, [{ plan }], [buffers]);
    made = recorder;
    const y = buffers["y"] as GPUBuffer;
    submit(gpu, "tune", (encoder) => {
      encoder.clearBuffer(y); // so that what a variant skips is not the last one's result
      recordPass(encoder, { label: "tune" }, (pass) => recorder.record(pass, 1));
    });
    const output = await sampleOutput(gpu, y, dtype);
    const runMs = await clock.measure((timed) => recorder.record(timed, 1));
    return { variant, failure: null, recorder, output, runMs };
  } catch (error) {
    made?.dispose();
    if (gpu.lostError) throw gpu.lostError;
    const failure = messageOf(error);
    return { variant, failure, recorder: null, output: new Float32Array(), runMs: Infinity };
  }
}

/** Windows of the result that are compared, and bytes of each: whole rows, first and last included. */
const WINDOWS = 32;
const WINDOW_BYTES = 16_384;

async function sampleOutput(gpu: Gpu, y: GPUBuffer, dtype: DType): Promise<Float32Array> {
  const count = y.size <= WINDOWS * WINDOW_BYTES ? 1 : WINDOWS;
  const bytes = count === 1 ? y.size : WINDOW_BYTES;
  const picked = gpu.memory.create("tune samples", count * bytes, "staging");
  try {
    submit(gpu, "tune samples", (encoder) => {
      for (let i = 0; i < count; i++) {
        const offset = count === 1 ? 0 : Math.floor((i * (y.size - bytes)) / (count - 1) / 16) * 16;
        encoder.copyBufferToBuffer(y, offset, picked, i * bytes, bytes);
      }
    });
    return storedFloats(await readBytes(gpu, picked, 0, count * bytes), dtype);
  } finally {
    gpu.memory.release(picked);
  }
}

/** Operands that are not stored in the graph's dtype. */
const ALWAYS_F32: ReadonlySet<string> = new Set(["bias", "norm"]);

/** Buffers by operand name, filled with noise. Throws `DeviceError` where one does not fit. */
async function makeBuffers(gpu: Gpu, { operands, key }: TuneCase): Promise<Buffers> {
  const byName: Record<string, GPUBuffer> = {};
  const made = new Map<string, GPUBuffer>();
  try {
    for (const [name, { buffer, byteLength, dtype }] of Object.entries(operands)) {
      const shared = made.get(buffer) ?? noiseBuffer(gpu, `tune ${key}`, byteLength, dtype);
      made.set(buffer, shared);
      byName[name] = shared;
    }
    await submittedWorkDone(gpu);
    return byName;
  } catch (error) {
    for (const buffer of made.values()) gpu.memory.release(buffer);
    throw error;
  }
}
