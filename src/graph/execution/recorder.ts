/** Kernel plans with their pipelines and bind groups ready, to be recorded into a pass any number of times. */
import type { Gpu } from "../../gpu/device.ts";
import { BUFFER_USAGE } from "../../gpu/memory.ts";
import type { CompiledPipeline } from "../../gpu/pipelines.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";

/** A kernel plan and the buffer that each of its operands is; operands not listed have the buffer of their name. */
export interface BoundPlan {
  readonly plan: KernelPlan;
  readonly buffers?: Readonly<Record<string, string>>;
}

export type Buffers = Readonly<Record<string, GPUBuffer>>;

interface Command {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroups: readonly GPUBindGroup[];
  readonly workgroups: readonly [number, number, number];
}

/** Owns params and scratch; the operands stay with the caller. Call `dispose`. */
export class Recorder {
  readonly #gpu: Gpu;
  readonly #commands: readonly Command[];
  readonly #owned: readonly GPUBuffer[];
  readonly #sets: number;
  #next = 0;

  private constructor(
    gpu: Gpu,
    commands: readonly Command[],
    owned: readonly GPUBuffer[],
    sets: number,
  ) {
    this.#gpu = gpu;
    this.#commands = commands;
    this.#owned = owned;
    this.#sets = sets;
  }

  /**
   * Compiles and binds `plans`. With several sets of buffers, repetitions take them in turn, so that one does
   * not find its operands in the cache. Throws `DeviceError` for a kernel that does not compile.
   */
  static async create(
    gpu: Gpu,
    plans: readonly BoundPlan[],
    sets: readonly Buffers[],
  ): Promise<Recorder> {
    const owned: GPUBuffer[] = [];
    const own = (label: string, byteLength: number, usage?: number): GPUBuffer => {
      const buffer = gpu.memory.create(
        label,
        byteLength,
        usage === undefined ? "activations" : "params",
        usage,
      );
      owned.push(buffer);
      return buffer;
    };
    try {
      const commands: Command[] = [];
      for (const { plan, buffers = {} } of plans) {
        const scratch = new Map(
          plan.scratch.map(({ name, byteLength }) => [name, own(`scratch ${name}`, byteLength)]),
        );
        for (const { label, code, operands, params, workgroups } of plan.dispatches) {
          const compiled: CompiledPipeline = await gpu.pipelines.get(label, code, [
            ...operands.map(({ access }) => access),
            "uniform",
          ]);
          const uniform = own(
            `params ${label}`,
            params.byteLength,
            BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
          );
          gpu.device.queue.writeBuffer(uniform, 0, params);
          const bindGroups = sets.map((set) =>
            gpu.device.createBindGroup({
              label,
              layout: compiled.layout,
              entries: [
                ...operands.map(({ name }, binding) => {
                  const buffer = set[buffers[name] ?? name] ?? scratch.get(name);
                  if (buffer === undefined)
                    throw new Error(`internal: ${label} needs operand "${name}"`);
                  return { binding, resource: { buffer } };
                }),
                { binding: operands.length, resource: { buffer: uniform } },
              ],
            }),
          );
          commands.push({ pipeline: compiled.pipeline, bindGroups, workgroups });
        }
      }
      return new Recorder(gpu, commands, owned, sets.length);
    } catch (error) {
      for (const buffer of owned) gpu.memory.release(buffer);
      throw error;
    }
  }

  /** Records all dispatches `repeats` times. */
  record(pass: GPUComputePassEncoder, repeats: number): void {
    for (let i = 0; i < repeats; i++) {
      const set = this.#next++ % this.#sets;
      for (const { pipeline, bindGroups, workgroups } of this.#commands) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroups[set] as GPUBindGroup);
        pass.dispatchWorkgroups(...workgroups);
      }
    }
  }

  /** The next repetition uses the first set. */
  rewind(): void {
    this.#next = 0;
  }

  dispose(): void {
    for (const buffer of this.#owned) this.#gpu.memory.release(buffer);
  }
}
