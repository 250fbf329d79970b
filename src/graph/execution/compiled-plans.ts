/**
 * Kernel plans on a device: the one place where pipelines, params and operands become bind groups and dispatches.
 * `Program` runs a graph with it, `Recorder` times plans, `runPlan` runs one.
 */
import type { Gpu } from "../../gpu/device.ts";
import { BUFFER_USAGE } from "../../gpu/memory.ts";
import type { BindingAccess, CompiledPipeline } from "../../gpu/pipelines.ts";
import { filledBuffer, uploadBytes } from "../../gpu/transfer.ts";
import type { Dispatch, KernelPlan } from "../../kernels/kernel.ts";

/** The buffer of operand `name` of plan number `plan`. Scratch is an operand too. */
export type OperandOf = (plan: number, name: string) => GPUBufferBinding;

/** One for each dispatch, in order. */
export type BindGroups = readonly GPUBindGroup[];

interface CompiledDispatch extends CompiledPipeline {
  readonly dispatch: Dispatch;
  /** Number of its plan. */
  readonly plan: number;
}

const bindingsOf = (operands: Dispatch["operands"]): readonly BindingAccess[] => [
  ...operands.map(({ access }) => access),
  "uniform",
];

/** Owns the params; operands and scratch stay with the caller. Call `dispose`. */
export class CompiledPlans {
  readonly #gpu: Gpu;
  readonly #dispatches: readonly CompiledDispatch[];
  /** Number of the first dispatch of each plan; at last the number of all dispatches. */
  readonly #first: readonly number[];
  /** The params of all dispatches, `#stride` bytes apart. */
  readonly #params: GPUBuffer;
  readonly #stride: number;

  private constructor(
    gpu: Gpu,
    plans: readonly KernelPlan[],
    dispatches: readonly CompiledDispatch[],
  ) {
    this.#gpu = gpu;
    this.#dispatches = dispatches;
    let count = 0;
    this.#first = [0, ...plans.map((plan) => (count += plan.dispatches.length))];
    this.#stride = Math.max(256, gpu.caps.limits.minUniformBufferOffsetAlignment);
    const bytes = new Uint8Array(dispatches.length * this.#stride);
    dispatches.forEach(({ dispatch }, i) => bytes.set(dispatch.params, i * this.#stride));
    const usage = BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST;
    this.#params = filledBuffer(gpu, "params", bytes, "params", usage);
  }

  /** Begins to compile, in the order of the plans; `create` finds what is done. */
  static prepare(gpu: Gpu, plans: readonly KernelPlan[]): void {
    for (const { label, code, operands } of plans.flatMap(({ dispatches }) => dispatches))
      gpu.pipelines.prepare(label, code, bindingsOf(operands));
  }

  /** Throws `DeviceError` naming the kernel that does not compile, and the device's loss. */
  static async create(gpu: Gpu, plans: readonly KernelPlan[]): Promise<CompiledPlans> {
    const dispatches = await Promise.all(
      plans.flatMap((plan, number) =>
        plan.dispatches.map(async (dispatch): Promise<CompiledDispatch> => {
          const { label, code, operands } = dispatch;
          const compiled = await gpu.pipelines.get(label, code, bindingsOf(operands));
          return { ...compiled, dispatch, plan: number };
        }),
      ),
    );
    if (gpu.lostError) throw gpu.lostError;
    return new CompiledPlans(gpu, plans, dispatches);
  }

  /** Binds all operands. `paths` name the plans in the labels of bind groups, for the device's messages. */
  bind(operandOf: OperandOf, paths?: readonly string[]): BindGroups {
    const bindOne = ({ dispatch, layout, plan }: CompiledDispatch, i: number): GPUBindGroup => {
      const { label, operands, params } = dispatch;
      const entries = operands.map(({ name }, binding): GPUBindGroupEntry => ({
        binding,
        resource: operandOf(plan, name),
      }));
      entries.push({
        binding: operands.length,
        resource: { buffer: this.#params, offset: i * this.#stride, size: params.byteLength },
      });
      return this.#gpu.device.createBindGroup({
        label: paths ? `${paths[plan]} ${label}` : label,
        layout,
        entries,
      });
    };
    return this.#gpu.scopes.run(() => this.#dispatches.map(bindOne));
  }

  /** Records the plans `from` … `to − 1`, by default all, with bind groups of `bind`. */
  record(
    pass: GPUComputePassEncoder,
    bindGroups: BindGroups,
    from = 0,
    to = this.#first.length - 1,
  ): void {
    for (let i = this.#first[from] as number; i < (this.#first[to] as number); i++) {
      const { pipeline, dispatch } = this.#dispatches[i] as CompiledDispatch;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroups[i] as GPUBindGroup);
      pass.dispatchWorkgroups(...dispatch.workgroups);
    }
  }

  /** New uniform bytes for the dispatches of one plan. */
  setParams(plan: number, params: readonly Uint8Array<ArrayBuffer>[]): void {
    const first = this.#first[plan] as number;
    params.forEach((bytes, i) => {
      uploadBytes(this.#gpu, this.#params, (first + i) * this.#stride, bytes);
    });
  }

  /** Frees the params. Idempotent. */
  dispose(): void {
    this.#gpu.memory.release(this.#params);
  }
}
