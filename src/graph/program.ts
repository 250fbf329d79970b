/**
 * A planned graph on a device. Pipelines, slots and bind groups are made once; every run records and submits them anew,
 * because WebGPU's command buffers cannot be reused. Recording is cheap: set pipeline, set bind group, dispatch.
 */
import type { Gpu } from "../gpu/device.ts";
import { DeviceError } from "../gpu/errors.ts";
import type { PassSpan } from "../gpu/pass-timer.ts";
import { PassTimer } from "../gpu/pass-timer.ts";
import { ShapeError } from "../gpu/shape.ts";
import { recordPass, submit, submitPass } from "../gpu/submit.ts";
import { readBytes, submittedWorkDone, uploadBytes } from "../gpu/transfer.ts";
import { FAULTS } from "../gpu/wgsl.ts";
import { workOf } from "../kernels/kernel.ts";
import type { BindGroups } from "./execution/compiled-plans.ts";
import { CompiledPlans } from "./execution/compiled-plans.ts";
import type { Value } from "./ir/ir.ts";
import type { Step } from "./lowering/lower.ts";
import { unpackActivation } from "./pack-activation.ts";
import type { GraphPlan } from "./plan.ts";
import { SlotPool } from "./slot-pool.ts";
import type { DeviceWeights } from "./weights/device-weights.ts";

/** Work of one submit in flop-equivalents: about 100 ms on a software adapter, less on a slow GPU. */
const SUBMIT_WORK_SOFTWARE = 1e8;
const SUBMIT_WORK = 5e10;
/** Submits under way at once: enough to keep the device busy, few enough to abort soon. */
const SUBMITS_IN_FLIGHT = 2;

/** An input: packed bytes of the graph's dtype, or a device buffer holding them. */
export type ProgramInput = Uint8Array | GPUBuffer;

/** Options of a run. */
export interface RunOptions {
  /** Ends the run between submits. */
  readonly signal?: AbortSignal | undefined;
  /** Fraction of this run's work that the device has finished, 0 … 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** First and one past the last step to run; default all. For segmented execution. */
  readonly steps?: readonly [number, number];
  /**
   * Called after each submit with the device times of its steps, in order. Puts every step into a pass of its own.
   * Never called on devices without `timestamp-query`.
   */
  readonly onTimes?: (times: readonly StepTime[]) => void;
}

/** Runs a program: `Program.run`, or what does more beside it. */
export type RunProgram = (
  program: Program,
  inputs: Readonly<Record<string, ProgramInput>>,
  options: RunOptions,
) => Promise<void>;

/** A result on the host: values without channel padding. */
export interface HostTensor {
  /** Channels last. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** Device time of one step. */
export interface StepTime {
  /** Module path of its node. */
  readonly path: string;
  /** Name of its kernel. */
  readonly kernel: string;
  /** Variant of its kernel. */
  readonly variant: string;
  /** Label of its first dispatch. */
  readonly label: string;
  /** Milliseconds on the device's clock, which starts anywhere. */
  readonly startMs: number;
  /** Milliseconds on the device. */
  readonly durationMs: number;
  /** Floating-point operations of it. */
  readonly flops: number;
  /** Bytes read and written. */
  readonly bytes: number;
}

/** Options of a program. */
export interface ProgramOptions {
  /** Activation memory shared with programs that never run at the same time. Default: memory of its own. */
  readonly pool?: SlotPool;
  /** Counters of a plan that `countsFaults`; they stay with the caller. */
  readonly faults?: GPUBufferBinding;
}

/** A planned graph on a device: compiled, bound, ready to run again and again. */
export class Program {
  /** What it runs. */
  readonly plan: GraphPlan;
  readonly #gpu: Gpu;
  readonly #weights: DeviceWeights;
  readonly #pool: SlotPool;
  readonly #ownsPool: boolean;
  readonly #compiled: CompiledPlans;
  readonly #faults: GPUBufferBinding | undefined;
  /** Of every step; valid for one generation of the pool. */
  #bindGroups: BindGroups = [];
  #generation = -1;
  #disposed = false;

  private constructor(
    gpu: Gpu,
    plan: GraphPlan,
    weights: DeviceWeights,
    compiled: CompiledPlans,
    { pool, faults }: ProgramOptions,
  ) {
    this.#gpu = gpu;
    this.plan = plan;
    this.#weights = weights;
    this.#compiled = compiled;
    this.#faults = faults;
    this.#pool = pool ?? new SlotPool(gpu);
    this.#ownsPool = pool === undefined;
  }

  /**
   * Compiles the pipelines and reserves the slots. `weights` must have loaded `plan.weights` before `run`.
   * Throws `DeviceError` naming the kernel that does not compile or the buffer that does not fit.
   */
  static async create(
    gpu: Gpu,
    plan: GraphPlan,
    weights: DeviceWeights,
    options: ProgramOptions = {},
  ): Promise<Program> {
    const compiled = await CompiledPlans.create(
      gpu,
      plan.steps.map((step) => step.plan),
    );
    const program = new Program(gpu, plan, weights, compiled, options);
    try {
      program.#pool.reserve(plan.memory.slotByteLengths);
    } catch (error) {
      program.dispose();
      throw error;
    }
    return program;
  }

  /** Begins to compile what `create` will need, and does not wait for it. */
  static prepare(gpu: Gpu, { steps }: GraphPlan): void {
    CompiledPlans.prepare(
      gpu,
      steps.map(({ plan }) => plan),
    );
  }

  /** The device buffer and byte length that hold a value while it is alive. */
  binding(value: Pick<Value, "id">): { readonly buffer: GPUBuffer; readonly size: number } {
    return this.#slotBinding(value.id, this.plan.byteLengths.get(value.id) ?? 0);
  }

  /** Where a named input is written, for kernels that produce it on the device. */
  input(name: string): { readonly buffer: GPUBuffer; readonly size: number } {
    const value = this.plan.graph.inputs.get(name);
    if (value === undefined) {
      throw new ShapeError(
        `program: no input "${name}". Inputs: ${[...this.plan.graph.inputs.keys()].join(", ")}`,
      );
    }
    return this.binding(value);
  }

  /** Device buffer of a named result; valid until the next run. */
  result(name: string): {
    readonly buffer: GPUBuffer;
    readonly size: number;
    readonly value: Value;
  } {
    const value = this.plan.results.get(name);
    if (value === undefined) {
      throw new ShapeError(
        `program: no result "${name}". Results: ${[...this.plan.results.keys()].join(", ")}`,
      );
    }
    return { ...this.binding(value), value };
  }

  /** Writes the inputs without running; `run` does it too. */
  setInputs(inputs: Readonly<Record<string, ProgramInput>>): void {
    for (const [name, data] of Object.entries(inputs)) {
      const value = this.plan.graph.inputs.get(name);
      const { buffer, size } = this.input(name);
      // Device buffers are rounded up in size.
      const given = data instanceof Uint8Array ? data.byteLength : data.size;
      if (data instanceof Uint8Array ? given !== size : given < size) {
        throw new ShapeError(
          `program: input "${name}" [${value?.shape.join(", ")}] takes ${size} bytes, got ${given}`,
        );
      }
      if (data instanceof Uint8Array) {
        uploadBytes(this.#gpu, buffer, 0, data);
      } else {
        submit(this.#gpu, `input ${name}`, (encoder) => {
          encoder.copyBufferToBuffer(data, 0, buffer, 0, size);
        });
      }
    }
  }

  /** New uniform bytes for the dispatches of one step, e.g. another region of statistics. */
  setParams(stepIndex: number, params: readonly Uint8Array<ArrayBuffer>[]): void {
    this.#compiled.setParams(stepIndex, params);
  }

  /**
   * Runs the program. Resolves when the device has finished; rejects with the signal's reason when aborted
   * (after the submits under way), with `DeviceLostError` when the device goes.
   */
  async run(
    inputs: Readonly<Record<string, ProgramInput>> = {},
    options: RunOptions = {},
  ): Promise<void> {
    this.#assertUsable();
    const { signal, onProgress, onTimes } = options;
    const [from, to] = options.steps ?? [0, this.plan.steps.length];
    signal?.throwIfAborted();
    this.setInputs(inputs);
    const gpu = this.#gpu;
    const budget = gpu.caps.isSoftware ? SUBMIT_WORK_SOFTWARE : SUBMIT_WORK;
    const timed = gpu.caps.hasTimestampQuery ? onTimes : undefined;
    const most = timed ? PassTimer.MAX_PASSES : Infinity;
    const works = this.plan.steps.map(({ cost }) => workOf(cost));
    const total = works.slice(from, to).reduce((sum, work) => sum + work, 0);
    const inFlight: { done: Promise<void>; fraction: number }[] = [];
    const settleOldest = async (): Promise<void> => {
      const oldest = inFlight.shift();
      if (oldest === undefined) return;
      await oldest.done;
      onProgress?.(oldest.fraction);
    };
    let submitted = 0;
    let start = from;
    try {
      while (start < to) {
        let end = start;
        let work = 0;
        while (end < to && (end === start || work + (works[end] as number) <= budget)) {
          if (end - start >= most) break;
          work += works[end++] as number;
        }
        submitted += work;
        const done = timed ? this.#submitTimed(start, end, timed) : this.#submit(start, end);
        done.catch(() => undefined); // reported by whoever awaits it; never an unhandled rejection
        start = end;
        inFlight.push({ done, fraction: start < to ? Math.min(1, submitted / total) : 1 });
        if (inFlight.length >= SUBMITS_IN_FLIGHT) await settleOldest();
        signal?.throwIfAborted();
      }
      while (inFlight.length > 0) await settleOldest();
    } catch (error) {
      await Promise.allSettled(inFlight.map(({ done }) => done));
      throw error;
    }
  }

  /** Records all steps, without inputs, into a pass of the caller. Only `run` cuts large programs into several submits. */
  record(pass: GPUComputePassEncoder): void {
    this.#assertUsable();
    this.#record(pass, 0, this.plan.steps.length);
  }

  /** Runs once with a timestamp pair around every step. Needs `timestamp-query`. */
  async profile(inputs: Readonly<Record<string, ProgramInput>> = {}): Promise<StepTime[]> {
    this.#assertUsable();
    if (!this.#gpu.caps.hasTimestampQuery) {
      throw new DeviceError(
        "device: profiling needs the feature timestamp-query, which this adapter lacks",
      );
    }
    const times: StepTime[] = [];
    await this.run(inputs, { onTimes: (more) => times.push(...more) });
    return times;
  }

  /** A result or capture as floats in its logical shape. */
  async read(name: string): Promise<HostTensor> {
    this.#assertUsable();
    const { buffer, size, value } = this.result(name);
    const bytes = await readBytes(this.#gpu, buffer, 0, size);
    return { shape: value.shape, data: unpackActivation(bytes, value, this.plan.graph.dtype) };
  }

  /** Frees its params, and its slots unless they come from a shared pool; weights stay. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#compiled.dispose();
    if (this.#ownsPool) this.#pool.dispose();
  }

  /** Submits steps in one pass; resolves when they are done. */
  #submit(from: number, to: number): Promise<void> {
    submitPass(this.#gpu, "program", (pass) => this.#record(pass, from, to));
    return submittedWorkDone(this.#gpu);
  }

  /** Submits steps in a pass each, and reports their times when they are done. */
  async #submitTimed(
    from: number,
    to: number,
    onTimes: NonNullable<RunOptions["onTimes"]>,
  ): Promise<void> {
    const steps = this.plan.steps.slice(from, to);
    const timer = new PassTimer(this.#gpu, steps.length);
    submit(this.#gpu, "timed program", (encoder) => {
      steps.forEach(({ node }, index) => {
        const step = from + index;
        const descriptor = { label: node.path, timestampWrites: timer.writes(index) };
        recordPass(encoder, descriptor, (pass) => this.#record(pass, step, step + 1));
      });
      timer.resolve(encoder);
    });
    const spans = await timer.read();
    onTimes(
      steps.map(({ node, kernel, plan, cost }, index) => ({
        path: node.path,
        kernel,
        variant: plan.variant,
        label: plan.dispatches[0]?.label ?? kernel,
        ...(spans[index] as PassSpan),
        flops: cost.flops,
        bytes: cost.bytesRead + cost.bytesWritten,
      })),
    );
  }

  #record(pass: GPUComputePassEncoder, from: number, to: number): void {
    // The first run, or another program of the pool has replaced buffers of slots.
    if (this.#generation !== this.#pool.generation) {
      this.#bindGroups = this.#compiled.bind(
        (step, name) => this.#operand(step, name),
        this.plan.steps.map(({ node }) => node.path),
      );
      this.#generation = this.#pool.generation;
    }
    this.#compiled.record(pass, this.#bindGroups, from, to);
  }

  #operand(stepIndex: number, name: string): GPUBufferBinding {
    const step = this.plan.steps[stepIndex] as Step;
    if (name === FAULTS.name && this.#faults) return this.#faults;
    const operand = step.operands[name];
    if (operand === undefined) {
      const scratch = step.plan.scratch.find((candidate) => candidate.name === name);
      const id = this.plan.scratchIds[stepIndex]?.[name];
      if (scratch === undefined || id === undefined) {
        throw new Error(`internal: ${step.kernel} needs operand "${name}" (${step.node.path})`);
      }
      return this.#slotBinding(id, scratch.byteLength);
    }
    switch (operand.kind) {
      case "value":
        return this.#slotBinding(operand.id, this.plan.byteLengths.get(operand.id) ?? 0);
      case "weight":
        return { buffer: this.#weights.buffer(operand.weight) };
      case "zeros":
        return { buffer: this.#weights.zeros(operand.byteLength) };
      default:
        return operand satisfies never;
    }
  }

  #slotBinding(id: number, byteLength: number): { buffer: GPUBuffer; size: number } {
    if (this.#disposed) throw disposedError();
    // Another program of the pool may have failed to grow a slot and left it empty.
    if (this.#generation !== this.#pool.generation)
      this.#pool.reserve(this.plan.memory.slotByteLengths);
    const slot = this.plan.memory.slotOf.get(id);
    if (slot === undefined) throw new Error(`internal: value ${id} has no slot`);
    return { buffer: this.#pool.buffer(slot), size: byteLength };
  }

  #assertUsable(): void {
    if (this.#disposed) throw disposedError();
    if (this.#gpu.lostError) throw this.#gpu.lostError;
  }
}

function disposedError(): DeviceError {
  return new DeviceError("device: this program was disposed. Build a new one");
}
