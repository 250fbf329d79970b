/** Moving bytes between JavaScript and the device, in bounded pieces. */
import type { Gpu } from "./device.ts";
import { DeviceError, messageOf } from "./errors.ts";
import { BUFFER_USAGE } from "./memory.ts";

/** Bytes of a piece. `writeBuffer` stages a copy of what it is given, so pieces bound the extra memory. */
export const UPLOAD_CHUNK_BYTES = 8 * 1024 * 1024;

/** Writes `data` at `byteOffset` (a multiple of 4) in pieces. A tail that is no multiple of 4 is zero-padded. */
export function uploadBytes(
  gpu: Gpu,
  buffer: GPUBuffer,
  byteOffset: number,
  data: Uint8Array,
): void {
  const { queue } = gpu.device;
  const whole = data.byteLength - (data.byteLength % 4);
  for (let start = 0; start < whole; start += UPLOAD_CHUNK_BYTES) {
    const length = Math.min(UPLOAD_CHUNK_BYTES, whole - start);
    queue.writeBuffer(buffer, byteOffset + start, data.buffer, data.byteOffset + start, length);
  }
  if (whole < data.byteLength) {
    const tail = new Uint8Array(4);
    tail.set(data.subarray(whole));
    queue.writeBuffer(buffer, byteOffset + whole, tail);
  }
}

/** Copies `byteLength` bytes of a buffer to JavaScript. Throws the device's loss when it is gone. */
export async function readBytes(
  gpu: Gpu,
  buffer: GPUBuffer,
  byteOffset: number,
  byteLength: number,
): Promise<Uint8Array<ArrayBuffer>> {
  gpu.throwIfFailed();
  const size = Math.ceil(byteLength / 4) * 4;
  const staging = gpu.memory.create(
    "readback",
    size,
    "staging",
    BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST,
  );
  try {
    const encoder = gpu.device.createCommandEncoder({ label: "readback" });
    encoder.copyBufferToBuffer(buffer, byteOffset, staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1); // GPUMapMode.READ
    gpu.throwIfFailed();
    const bytes = new Uint8Array(staging.getMappedRange(0, size).slice(0, byteLength));
    staging.unmap();
    return bytes;
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    gpu.throwIfFailed();
    throw new DeviceError(`device: reading ${byteLength} bytes back failed: ${messageOf(error)}`);
  } finally {
    gpu.memory.release(staging);
  }
}

/** Resolves when all submitted work is done; rejects with `DeviceLostError` when the device goes first. */
export async function submittedWorkDone(gpu: Gpu): Promise<void> {
  gpu.throwIfFailed();
  const waits = waitsOf(gpu);
  await new Promise<void>((resolve, reject) => {
    const wait = (): void => resolve();
    waits.add(wait);
    gpu.device.queue
      .onSubmittedWorkDone()
      .then(resolve, reject)
      .finally(() => waits.delete(wait));
  });
  gpu.throwIfFailed(); // where the loss ended the wait
}

/**
 * Waits under way on each device; the loss of the device ends them. They share one reaction to `gpu.lost`. A race with
 * `gpu.lost` for each wait would stay in memory as long as the device: 0.37 MB after 500 small images, Chromium 143.
 */
const waitsByDevice = new WeakMap<GPUDevice, Set<() => void>>();

function waitsOf(gpu: Gpu): Set<() => void> {
  let waits = waitsByDevice.get(gpu.device);
  if (waits === undefined) {
    const made = new Set<() => void>();
    waits = made;
    waitsByDevice.set(gpu.device, made);
    void gpu.lost.then(() => made.forEach((wait) => wait()));
  }
  return waits;
}
