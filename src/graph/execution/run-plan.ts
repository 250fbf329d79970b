/** Runs kernel plans outside a graph: weight packing at load, image operators, kernel tests. */
import { abortable } from "../../abort.ts";
import type { Gpu } from "../../gpu/device.ts";
import { submitPass } from "../../gpu/submit.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";
import type { OperandBuffers } from "./recorder.ts";
import { Recorder } from "./recorder.ts";

/**
 * Encodes and submits `plan` with the given operands; scratch and params are made here and freed after
 * the submit. Resolves once submitted (not once executed): later readbacks and submits see the result. An abort ends the
 * wait for the compiler; nothing is submitted then.
 */
export async function runPlan(
  gpu: Gpu,
  plan: KernelPlan,
  operands: OperandBuffers,
  signal?: AbortSignal,
): Promise<void> {
  const creation = Recorder.create(gpu, [{ plan }], [operands]);
  const recorder = await abortable(creation, signal, (late) => late.dispose());
  try {
    submitPass(gpu, plan.variant, (pass) => recorder.record(pass, 1));
  } finally {
    recorder.dispose();
  }
}
