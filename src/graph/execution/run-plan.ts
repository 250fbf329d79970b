/** Runs kernel plans outside a graph: weight packing at load, image operators, kernel tests. */
import type { Gpu } from "../../gpu/device.ts";
import { BUFFER_USAGE } from "../../gpu/memory.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";

/** Buffers by operand name; a part of a buffer is given with its byte range (offset a multiple of 256). */
export type OperandBuffers = Readonly<Record<string, GPUBuffer | GPUBufferBinding>>;

/**
 * Encodes and submits `plan` with the given operands; scratch and params are made here and freed after
 * the submit. Resolves once submitted (not once executed): later readbacks and submits see the result.
 */
export async function runPlan(gpu: Gpu, plan: KernelPlan, operands: OperandBuffers): Promise<void> {
  const { device, memory, pipelines } = gpu;
  const compiled = await Promise.all(
    plan.dispatches.map(({ label, code, operands: decls }) =>
      pipelines.get(label, code, [...decls.map(({ access }) => access), "uniform"]),
    ),
  );
  if (gpu.lostError) throw gpu.lostError;
  const temporary: GPUBuffer[] = [];
  const scratch = new Map<string, GPUBuffer>();
  try {
    for (const { name, byteLength } of plan.scratch) {
      const buffer = memory.create(`scratch ${name}`, byteLength, "activations");
      temporary.push(buffer);
      scratch.set(name, buffer);
    }
    const encoder = device.createCommandEncoder({ label: plan.variant });
    const pass = encoder.beginComputePass({ label: plan.variant });
    plan.dispatches.forEach((step, index) => {
      const { pipeline, layout } = compiled[index] as NonNullable<(typeof compiled)[number]>;
      const params = memory.create(
        `params ${step.label}`,
        step.params.byteLength,
        "params",
        BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
      );
      temporary.push(params);
      device.queue.writeBuffer(params, 0, step.params);
      const entries = step.operands.map(({ name }, binding) => {
        const operand = operands[name] ?? scratch.get(name);
        if (operand === undefined) {
          throw new Error(`internal: ${step.label} needs operand "${name}"`);
        }
        return { binding, resource: "buffer" in operand ? operand : { buffer: operand } };
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(
        0,
        device.createBindGroup({
          label: step.label,
          layout,
          entries: [...entries, { binding: entries.length, resource: { buffer: params } }],
        }),
      );
      pass.dispatchWorkgroups(...step.workgroups);
    });
    pass.end();
    device.queue.submit([encoder.finish()]);
  } finally {
    // Destroying after submit is allowed: the queue keeps what it needs.
    for (const buffer of temporary) memory.release(buffer);
  }
}
