/** Moving bytes between JavaScript and the device, in bounded pieces. */
import type { Gpu } from "./device.ts";
import type { Purpose } from "./memory.ts";
import { BUFFER_USAGE } from "./memory.ts";
import { submit } from "./submit.ts";

/** Bytes of a piece. `writeBuffer` stages a copy of what it is given, so pieces bound the extra memory. */
export const UPLOAD_CHUNK_BYTES = 8 * 1024 * 1024;

/**
 * Writes `data` at `byteOffset` (a multiple of 4) in pieces. A tail that is no multiple of 4 is zero-padded. What fails is told
 * by the next wait for the device.
 */
export function uploadBytes(
  gpu: Gpu,
  buffer: GPUBuffer,
  byteOffset: number,
  data: Uint8Array,
): void {
  const { queue } = gpu.device;
  const whole = data.byteLength - (data.byteLength % 4);
  gpu.scopes.note(() => {
    for (let start = 0; start < whole; start += UPLOAD_CHUNK_BYTES) {
      const length = Math.min(UPLOAD_CHUNK_BYTES, whole - start);
      queue.writeBuffer(buffer, byteOffset + start, data.buffer, data.byteOffset + start, length);
    }
    if (whole < data.byteLength) {
      const tail = new Uint8Array(4);
      tail.set(data.subarray(whole));
      queue.writeBuffer(buffer, byteOffset + whole, tail);
    }
  });
}

/** A buffer that holds `data`, whose length is a multiple of 4. The caller releases it. */
export function filledBuffer(
  gpu: Gpu,
  label: string,
  data: Uint8Array,
  ...kind: [purpose: Purpose, usage?: number]
): GPUBuffer {
  return gpu.scopes.run(() => {
    const buffer = gpu.memory.create(label, data.byteLength, ...kind);
    uploadBytes(gpu, buffer, 0, data);
    return buffer;
  });
}

/** A copy of the first `byteLength` bytes of a buffer. The caller releases it. */
export function copiedBuffer(
  gpu: Gpu,
  label: string,
  buffer: GPUBuffer,
  byteLength: number,
  purpose: Purpose,
): GPUBuffer {
  const copy = gpu.memory.create(label, byteLength, purpose);
  submit(gpu, label, (encoder) => encoder.copyBufferToBuffer(buffer, 0, copy, 0, byteLength));
  return copy;
}

/**
 * Copies `byteLength` bytes of a buffer to JavaScript. Rejects with the device's loss when it is gone, and with what failed in
 * the work before.
 */
export async function readBytes(
  gpu: Gpu,
  buffer: GPUBuffer,
  byteOffset: number,
  byteLength: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const size = Math.ceil(byteLength / 4) * 4;
  const { MAP_READ, COPY_DST } = BUFFER_USAGE;
  const { memory, scopes } = gpu;
  let staging: GPUBuffer | undefined;
  try {
    return await scopes.wait(async () => {
      const [made, mapped] = scopes.run(() => {
        const to = memory.create("readback", size, "staging", MAP_READ | COPY_DST);
        staging = to;
        submit(gpu, "readback", (encoder) => {
          encoder.copyBufferToBuffer(buffer, byteOffset, to, 0, size);
        });
        return [to, to.mapAsync(1)] as const; // GPUMapMode.READ
      });
      await mapped;
      return new Uint8Array(made.getMappedRange(0, size).slice(0, byteLength));
    });
  } finally {
    if (staging) memory.release(staging);
  }
}

/** Resolves when all submitted work is done; rejects with `DeviceLostError` when the device goes first. */
export async function submittedWorkDone(gpu: Gpu): Promise<void> {
  await gpu.scopes.wait(() => gpu.device.queue.onSubmittedWorkDone());
}
