/** Kernel plans bound to buffers, to be recorded into a pass any number of times. */
import type { Gpu } from "../../gpu/device.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";
import type { BindGroups } from "./compiled-plans.ts";
import { CompiledPlans } from "./compiled-plans.ts";

/** A kernel plan and the buffer that each of its operands is; operands not listed have the buffer of their name. */
export interface BoundPlan {
  readonly plan: KernelPlan;
  readonly buffers?: Readonly<Record<string, string>>;
}

/** Buffers by operand name. */
export type Buffers = Readonly<Record<string, GPUBuffer>>;

/** The same; a range of a buffer is given by its bytes (offset a multiple of 256). */
export type OperandBuffers = Readonly<Record<string, GPUBuffer | GPUBufferBinding>>;

/** Owns params and scratch; the operands stay with the caller. Call `dispose`. */
export class Recorder {
  readonly #gpu: Gpu;
  readonly #compiled: CompiledPlans;
  readonly #sets: readonly BindGroups[];
  readonly #scratch: readonly GPUBuffer[];
  #next = 0;

  private constructor(
    gpu: Gpu,
    compiled: CompiledPlans,
    sets: readonly BindGroups[],
    scratch: readonly GPUBuffer[],
  ) {
    this.#gpu = gpu;
    this.#compiled = compiled;
    this.#sets = sets;
    this.#scratch = scratch;
  }

  /**
   * Compiles and binds `plans`. With several sets of buffers, repetitions take them in turn, so that one does
   * not find its operands in the cache. Throws `DeviceError` for a kernel that does not compile.
   */
  static async create(
    gpu: Gpu,
    plans: readonly BoundPlan[],
    sets: readonly OperandBuffers[],
  ): Promise<Recorder> {
    const compiled = await CompiledPlans.create(
      gpu,
      plans.map(({ plan }) => plan),
    );
    const made: GPUBuffer[] = [];
    try {
      const scratch = plans.map(({ plan }) => {
        const byName = new Map<string, GPUBuffer>();
        for (const { name, byteLength } of plan.scratch) {
          const buffer = gpu.memory.create(`scratch ${name}`, byteLength, "activations");
          made.push(buffer);
          byName.set(name, buffer);
        }
        return byName;
      });
      const bindGroups = sets.map((set) =>
        compiled.bind((index, name) => {
          const { plan, buffers = {} } = plans[index] as BoundPlan;
          const buffer = set[buffers[name] ?? name] ?? scratch[index]?.get(name);
          if (buffer !== undefined) return "buffer" in buffer ? buffer : { buffer };
          throw new Error(`internal: ${plan.variant} needs operand "${name}"`);
        }),
      );
      return new Recorder(gpu, compiled, bindGroups, made);
    } catch (error) {
      for (const buffer of made) gpu.memory.release(buffer);
      compiled.dispose();
      throw error;
    }
  }

  /** Records all dispatches `repeats` times. */
  record(pass: GPUComputePassEncoder, repeats: number): void {
    for (let i = 0; i < repeats; i++) {
      this.#compiled.record(pass, this.#sets[this.#next++ % this.#sets.length] as BindGroups);
    }
  }

  /** The next repetition uses the first set. */
  rewind(): void {
    this.#next = 0;
  }

  /** Frees params and scratch. Idempotent; allowed once the work is submitted, as the queue keeps what it needs. */
  dispose(): void {
    for (const buffer of this.#scratch) this.#gpu.memory.release(buffer);
    this.#compiled.dispose();
  }
}
