/**
 * The kernel benchmark. For every case: results first, against double precision on samples; then the first
 * run with its compile time; then the steady state, all variants in turn. A variant that computes wrong is reported and not timed. Runs wherever WebGPU does; imports nothing of Node.
 */
import type { Clock } from "../gpu/clock.ts";
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { messageOf } from "../gpu/errors.ts";
import { submitPass } from "../gpu/submit.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import type { Buffers } from "../graph/execution/recorder.ts";
import { Recorder } from "../graph/execution/recorder.ts";
import { runPlan } from "../graph/execution/run-plan.ts";
import { weightKey } from "../graph/ir/ir.ts";
import type { SamplingOptions, Timing } from "../graph/measure/sampling.ts";
import { sample } from "../graph/measure/sampling.ts";
import { DeviceWeights } from "../graph/weights/device-weights.ts";
import { KERNEL_VARIANTS } from "../kernels/variant-choice.ts";
import type { BenchCase } from "./cases.ts";
import { CASES } from "./cases.ts";
import type { CheckResult } from "./check.ts";
import { compareSamples, readPoints, samplePoints } from "./check.ts";
import type { Roofline, RooflineSizes } from "./roofline.ts";
import { measureRoofline, rooflineMs, rooflineOf, rooflineSizes } from "./roofline.ts";
import type { CaseShape } from "./workloads/case-shape.ts";
import { fillPlan, poisonPlan, testTensorByteLength } from "./workloads/test-data.ts";
import { bufferByteLengths, fitShape, workloadOf } from "./workloads/workload-of.ts";
import type { Workload } from "./workloads/workload.ts";

/** What to run and how long. */
export interface KernelSuiteOptions {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Variants to time, by kernel name: one (beside it the naive one), or `"all"`, the default. */
  readonly variants?: Readonly<Record<string, string>>;
  /** "full" runs the model's shapes, "small" cuts them down. Default: small on software adapters. */
  readonly scale?: "full" | "small";
  /** A pass is repeated within itself until it takes this many milliseconds. */
  readonly minMs?: number;
  /** Timed passes of each variant. */
  readonly samples?: number;
  /** Milliseconds after which no further case is begun. Default: none. */
  readonly budgetMs?: number;
  /** Ends the run between cases; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Cases to run; default: the model's. */
  readonly cases?: readonly BenchCase[];
  /** Work of the two bounds. Default: by the kind of adapter. */
  readonly rooflineSizes?: RooflineSizes;
}

/** One variant of one case. */
export interface VariantRecord {
  /** Name of the variant. */
  readonly variant: string;
  /** Whether the engine takes it on this device, `caps.variants` included. */
  readonly selected: boolean;
  /** Its result against double precision. */
  readonly check: CheckResult;
  /** Pipeline creation; 0 where an earlier case had the same code. */
  readonly compileMs: number;
  /** From nothing to a finished result: creation, binding and one run. */
  readonly firstRunMs: number;
  /** Absent where the check failed. */
  readonly timing?: Timing;
  /** Arithmetic per second, GFLOP/s. */
  readonly gflops?: number;
  /** Least traffic per second, GB/s. */
  readonly gbps?: number;
  /** Share of what the roofline allows for this work, in percent. */
  readonly rooflinePercent?: number;
}

/** One case, with all variants that were timed. */
export interface CaseRecord {
  /** Name of the case. */
  readonly case: string;
  /** Name of the kernel. */
  readonly kernel: string;
  /** Runs per image of RCOD_O. */
  readonly count: number;
  /** What was computed. */
  readonly shape: CaseShape;
  /** Present when the shape was cut down: the model's own. */
  readonly scaledFrom?: CaseShape;
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Floating-point operations of a run. */
  readonly flops: number;
  /** Bytes that a run must at least read and write. */
  readonly bytes: number;
  /** Copies of the operands that timed runs take in turn. */
  readonly bufferSets: number;
  /** Each variant that ran. */
  readonly variants: readonly VariantRecord[];
  /** Variants that would have kept the GPU busy for too long. */
  readonly skipped?: readonly string[];
  /** Why the case did not run. */
  readonly error?: string;
}

/** How a run measured. */
export interface KernelSuiteSettings {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Whether shapes are the model's own or cut down. */
  readonly scale: "full" | "small";
  /** Least milliseconds of a timed pass. */
  readonly minMs: number;
  /** Timed passes of each variant. */
  readonly samples: number;
  /** What times were taken with. */
  readonly clock: Clock["kind"];
  /** Why this clock. */
  readonly clockReason: string;
  /** Both bounds, measured in this run. */
  readonly roofline: Roofline;
}

/** A run. */
export interface KernelSuiteResult {
  /** How it measured. */
  readonly settings: KernelSuiteSettings;
  /** What ran. */
  readonly cases: readonly CaseRecord[];
  /** Names of cases that the budget had no time for. */
  readonly leftOut: readonly string[];
}

/** Flop-equivalents of a case in the small scale: about 20 ms on SwiftShader on two cores. */
export const SMALL_WORK = 2e7;
/** Timed runs take copies of the operands in turn, of this many bytes together: more than a GPU's cache holds. */
const ROTATION_BYTES = 128 * 2 ** 20;
const MAX_SETS = 8;
/**
 * The naive variant is left out where it would run for longer than this; it takes about 20 times the selected variant's
 * time. Windows resets a GPU that is busy for about 2 s.
 */
const NAIVE_LIMIT_MS = 1500;
const NAIVE_FACTOR = 20;

/** Runs the suite; each case is handed to `onCase` as soon as it is done. */
export async function runKernelSuite(
  gpu: Gpu,
  options: KernelSuiteOptions,
  events: {
    readonly onStart?: (settings: KernelSuiteSettings) => void;
    readonly onCase?: (record: CaseRecord) => void;
  } = {},
): Promise<KernelSuiteResult> {
  const { caps } = gpu;
  const { dtype, filter = "", signal, budgetMs = Infinity } = options;
  const startedAt = performance.now();
  const scale = options.scale ?? (caps.isSoftware ? "small" : "full");
  const sampling: SamplingOptions = {
    minMs: options.minMs ?? 10,
    samples: options.samples ?? (caps.isSoftware ? 5 : 20),
    maxSeriesMs: caps.isSoftware ? 500 : 4000,
  };
  const { roofline, clock, clockReason } = await measureRoofline(
    gpu,
    options.rooflineSizes ?? rooflineSizes(caps),
    sampling,
  );
  const { minMs, samples } = sampling;
  const settings = { dtype, scale, minMs, samples, clock: clock.kind, clockReason, roofline };
  events.onStart?.(settings);
  const records: CaseRecord[] = [];
  const leftOut: string[] = [];
  for (const benchCase of options.cases ?? CASES) {
    if (!benchCase.name.includes(filter)) continue;
    signal?.throwIfAborted();
    if (performance.now() - startedAt > budgetMs) {
      leftOut.push(benchCase.name);
      continue;
    }
    const record = await runCase(gpu, benchCase, {
      dtype,
      scale,
      clock,
      roofline,
      sampling,
      chosen: options.variants ?? {},
    });
    records.push(record);
    events.onCase?.(record);
  }
  return { settings, cases: records, leftOut };
}

/** Whether everything in a record was computed right. */
export function casePasses({ error, variants }: CaseRecord): boolean {
  return error === undefined && variants.every(({ check }) => check.pass);
}

/** Count × median of the first variant, summed: what these kernels take of one image. */
export function imageEstimateMs(records: readonly CaseRecord[]): number {
  return records.reduce(
    (sum, { count, variants }) => sum + count * (variants[0]?.timing?.medianMs ?? 0),
    0,
  );
}

interface CaseContext {
  readonly dtype: DType;
  readonly scale: "full" | "small";
  readonly clock: Clock;
  readonly roofline: Roofline;
  readonly sampling: SamplingOptions;
  readonly chosen: Readonly<Record<string, string>>;
}

async function runCase(
  gpu: Gpu,
  { name, count, shape }: BenchCase,
  context: CaseContext,
): Promise<CaseRecord> {
  const { dtype, scale } = context;
  const fitted = fitShape(shape, dtype, gpu.caps, scale === "small" ? SMALL_WORK : Infinity);
  const workload = workloadOf(fitted, dtype, gpu.caps);
  const { flops, bytesRead, bytesWritten } = workload.cost;
  const setBytes = bufferByteLengths(workload).reduce((sum, bytes) => sum + bytes, 0);
  const bufferSets = gpu.caps.isSoftware
    ? 1
    : Math.max(1, Math.min(MAX_SETS, Math.ceil(ROTATION_BYTES / setBytes)));
  const base = {
    case: name,
    kernel: workload.kernel,
    count,
    shape: fitted,
    ...(fitted !== shape && { scaledFrom: shape }),
    dtype,
    flops,
    bytes: bytesRead + bytesWritten,
    bufferSets,
  };
  try {
    const variants = variantsToRun(workload, context.chosen[workload.kernel] ?? "all");
    const measured = await runWorkload(gpu, workload, variants, bufferSets, context);
    const ran = new Set(measured.map(({ variant }) => variant));
    const skipped = variants.filter((variant) => !ran.has(variant));
    return { ...base, variants: measured, ...(skipped.length > 0 && { skipped }) };
  } catch (error) {
    if (gpu.lostError) throw error;
    return { ...base, variants: [], error: messageOf(error) };
  }
}

/** Variants by kernel name, for those who choose; some need what not every device has. */
export function knownVariants(
  cases: readonly BenchCase[] = CASES,
): ReadonlyMap<string, readonly string[]> {
  const known = new Map<string, readonly string[]>();
  for (const { shape } of cases) {
    const { kernel, variants } = workloadOf(shape, "f32");
    const all = KERNEL_VARIANTS[kernel] ?? variants;
    known.set(kernel, [...new Set([...(known.get(kernel) ?? []), ...all])]);
  }
  return known;
}

/** The requested variant or else the selected one, first; then naive or, for "all", all others. */
export function variantsToRun(
  { variants, selected }: Workload,
  chosen?: string,
): readonly string[] {
  const first = chosen !== undefined && variants.includes(chosen) ? chosen : selected;
  const others = variants.filter((variant) => chosen === "all" || variant === "naive");
  return [...new Set([first, ...others])];
}

/** Checks and times variants of a workload on buffers of its own. */
export async function runWorkload(
  gpu: Gpu,
  workload: Workload,
  variants: readonly string[],
  bufferSets: number,
  { clock, roofline, sampling }: Pick<CaseContext, "clock" | "roofline" | "sampling">,
): Promise<readonly VariantRecord[]> {
  const sets: OwnedBuffers[] = [];
  const recorders: Recorder[] = [];
  try {
    for (let i = 0; i < bufferSets; i++) sets.push(await createBuffers(gpu, workload));
    await submittedWorkDone(gpu);
    const points = samplePoints(workload.output);
    const reference = workload.reference();
    const { channels } = workload.output;
    const expected = points.map(({ row, channel }) => reference(row * channels + channel));
    const records: VariantRecord[] = [];
    const runMs: number[] = [];
    for (const variant of variants) {
      const isNaive = variant === "naive";
      const isRisky = !gpu.caps.isSoftware && (runMs[0] ?? 0) * NAIVE_FACTOR > NAIVE_LIMIT_MS;
      if (isNaive && isRisky) continue;
      const output = sets[0]?.buffers["y"] as GPUBuffer;
      await runPlan(gpu, poisonPlan(output.size, gpu.caps), { y: output });
      const plans = workload.plan(variant);
      const compiledBefore = gpu.pipelines.compileMs;
      const startedAt = performance.now();
      const recorder = await Recorder.create(
        gpu,
        plans,
        sets.map(({ buffers }) => buffers),
      );
      recorders.push(recorder);
      const firstMs = await runOnce(gpu, recorder);
      const firstRunMs = performance.now() - startedAt;
      const got = await readPoints(gpu, output, workload.output, points);
      // The first run of a variant may include compiling. The slow naive one is not run a second time.
      runMs.push(isNaive ? firstMs : await runOnce(gpu, recorder));
      records.push({
        variant,
        selected: variant === workload.selected,
        check: compareSamples(points, got, expected, workload.tolerance),
        compileMs: gpu.pipelines.compileMs - compiledBefore,
        firstRunMs,
      });
    }
    const isLong = (i: number): boolean => (runMs[i] ?? 0) > sampling.maxSeriesMs;
    const timed = recorders.filter((_, i) => records[i]?.check.pass && !isLong(i));
    const timings = timed.length > 0 ? await sample(clock, timed, sampling) : [];
    return records.map((record, i) => {
      if (!record.check.pass) return record;
      const ms = runMs[i] as number;
      // A run that takes longer than a series may is its own only sample.
      const alone: Timing = { medianMs: ms, p10Ms: ms, p90Ms: ms, samples: 1, repeats: 1 };
      const timing = timings[timed.indexOf(recorders[i] as Recorder)] ?? alone;
      const { flops, bytesRead, bytesWritten } = workload.cost;
      const { medianMs } = timing;
      return {
        ...record,
        timing,
        gflops: flops / (medianMs * 1e6),
        gbps: (bytesRead + bytesWritten) / (medianMs * 1e6),
        rooflinePercent:
          (100 * rooflineMs(workload.cost, rooflineOf(record.variant, roofline))) / medianMs,
      };
    });
  } finally {
    for (const recorder of recorders) recorder.dispose();
    for (const set of sets) set.release();
  }
}

/** Runs on the first set of buffers; wall milliseconds. */
async function runOnce(gpu: Gpu, recorder: Recorder): Promise<number> {
  const startedAt = performance.now();
  recorder.rewind();
  submitPass(gpu, "bench first run", (pass) => recorder.record(pass, 1));
  await submittedWorkDone(gpu);
  return performance.now() - startedAt;
}

interface OwnedBuffers {
  readonly buffers: Buffers;
  readonly release: () => void;
}

/** Inputs filled on the device, weights packed as the engine packs them; temporaries and the result are empty. */
async function createBuffers(gpu: Gpu, workload: Workload): Promise<OwnedBuffers> {
  const { memory, caps } = gpu;
  const { inputs, weights, source, temporaries, output } = workload;
  const made: Record<string, GPUBuffer> = {};
  const create = (name: string, byteLength: number): GPUBuffer =>
    (made[name] = memory.create(`bench ${name}`, byteLength, "activations"));
  const packed = new DeviceWeights(gpu, source, { dtype: output.dtype });
  const release = (): void => {
    for (const buffer of Object.values(made)) memory.release(buffer);
    packed.dispose();
  };
  try {
    for (const tensor of inputs) {
      await runPlan(gpu, fillPlan(tensor, caps), {
        y: create(tensor.name, testTensorByteLength(tensor)),
      });
    }
    for (const [name, byteLength] of Object.entries(temporaries)) create(name, byteLength);
    create("y", testTensorByteLength(output));
    await packed.load(weights);
    const named = weights.map((weight) => [weightKey(weight), packed.buffer(weight)] as const);
    return { buffers: { ...made, ...Object.fromEntries(named) }, release };
  } catch (error) {
    release();
    throw error;
  }
}
