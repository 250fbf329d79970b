/** Work for the device. What fails in it is told by the next wait. */
import type { Gpu } from "./device.ts";

/** Submits what `record` puts into an encoder. */
export function submit(
  gpu: Gpu,
  label: string,
  record: (encoder: GPUCommandEncoder) => void,
): void {
  gpu.scopes.note(() => {
    const encoder = gpu.device.createCommandEncoder({ label });
    record(encoder);
    gpu.device.queue.submit([encoder.finish()]);
  });
}

/** Submits what `record` puts into a compute pass. */
export function submitPass(
  gpu: Gpu,
  label: string,
  record: (pass: GPUComputePassEncoder) => void,
): void {
  submit(gpu, label, (encoder) => recordPass(encoder, { label }, record));
}

/** Puts what `record` does into a compute pass. */
export function recordPass(
  encoder: GPUCommandEncoder,
  descriptor: GPUComputePassDescriptor,
  record: (pass: GPUComputePassEncoder) => void,
): void {
  const pass = encoder.beginComputePass(descriptor);
  record(pass);
  pass.end();
}
