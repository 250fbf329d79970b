/** Buffers of pseudo-random values, for measuring kernels without weights and images. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { floatToHalfBits } from "../../gpu/dtype.ts";
import { submit } from "../../gpu/submit.ts";
import { filledBuffer } from "../../gpu/transfer.ts";

const BLOCK_BYTES = 65_536;

/**
 * A storage buffer of values within ±0.5, from one block that is repeated: sums of some ten thousand products
 * stay far below the largest half. The caller releases it.
 */
export function noiseBuffer(gpu: Gpu, label: string, byteLength: number, dtype: DType): GPUBuffer {
  const buffer = gpu.memory.create(label, byteLength, "activations");
  const block = noiseBlock(dtype, Math.min(BLOCK_BYTES, buffer.size));
  try {
    const source = filledBuffer(gpu, label, block, "staging");
    submit(gpu, label, (encoder) => {
      for (let at = 0; at < buffer.size; at += block.byteLength) {
        const size = Math.min(block.byteLength, buffer.size - at);
        encoder.copyBufferToBuffer(source, 0, buffer, at, size);
      }
    });
    gpu.memory.release(source);
    return buffer;
  } catch (error) {
    gpu.memory.release(buffer);
    throw error;
  }
}

function noiseBlock(dtype: DType, byteLength: number): Uint8Array<ArrayBuffer> {
  let state = 0x2545f491;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
  const values =
    dtype === "f32"
      ? Float32Array.from({ length: byteLength / 4 }, next)
      : Uint16Array.from({ length: byteLength / 2 }, () => floatToHalfBits(next()));
  return new Uint8Array(values.buffer);
}
