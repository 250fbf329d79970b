/** One device per test file, and running a kernel plan on plain numbers. */
import { afterAll, beforeAll, expect } from "vitest";
import type { Caps } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import { floatToHalfBits, halvesToFloats } from "../../src/gpu/dtype.ts";
import { paddedChannels } from "../../src/gpu/shape.ts";
import { readBytes, uploadBytes } from "../../src/gpu/transfer.ts";
import { runPlan } from "../../src/graph/execution/run-plan.ts";
import type { KernelPlan } from "../../src/kernels/kernel.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";

/** Registers setup and teardown of a device; call at the top of a file and use the result inside tests. */
export function useGpu(): { readonly gpu: Gpu; readonly caps: Caps } {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await requestNodeGpu();
  });
  afterAll(() => gpu?.destroy());
  return {
    get gpu() {
      if (gpu === undefined) throw new Error("useGpu: no device yet");
      return gpu;
    },
    get caps() {
      return this.gpu.caps;
    },
  };
}

/** Rows of `channels` values with the channel axis padded to quads, as bytes of `dtype`. */
export function packRows(
  values: ArrayLike<number>,
  channels: number,
  dtype: DType,
): Uint8Array<ArrayBuffer> {
  const stride = paddedChannels(channels);
  const rows = values.length / channels;
  const out = dtype === "f32" ? new Float32Array(rows * stride) : new Uint16Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) {
      const value = values[row * channels + c] as number;
      out[row * stride + c] = dtype === "f32" ? value : floatToHalfBits(value);
    }
  }
  return new Uint8Array(out.buffer);
}

/** Inverse of `packRows`. Fails the test where padding is not zero. */
export function unpackRows(
  bytes: Uint8Array<ArrayBuffer>,
  channels: number,
  dtype: DType,
): Float64Array {
  const stride = paddedChannels(channels);
  const stored =
    dtype === "f32"
      ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
      : halvesToFloats(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2));
  const rows = stored.length / stride;
  const out = new Float64Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < stride; c++) {
      const value = stored[row * stride + c] as number;
      if (c < channels) out[row * channels + c] = value;
      else if (value !== 0)
        throw new Error(`padding of row ${row}, channel ${c} is ${value}, not 0`);
    }
  }
  return out;
}

/** Bytes written behind every output; a kernel that changes them wrote out of bounds. */
const SENTINEL_BYTES = 256;
const SENTINEL = 0xa5;

/**
 * Runs a plan. `inputs` are bytes by operand name, `outputs` byte lengths by operand name; the outputs come
 * back as bytes. Every output is pre-filled with a sentinel pattern and followed by a sentinel region that
 * must survive. Operands listed in both are in/out.
 */
export async function runKernel(
  gpu: Gpu,
  plan: KernelPlan,
  inputs: Readonly<Record<string, Uint8Array<ArrayBuffer>>>,
  outputs: Readonly<Record<string, number>>,
): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const buffers: Record<string, GPUBuffer> = {};
  try {
    for (const [name, bytes] of Object.entries(inputs)) {
      const tail = name in outputs ? SENTINEL_BYTES : 0;
      buffers[name] = gpu.memory.create(name, bytes.byteLength + tail, "activations");
      uploadBytes(gpu, buffers[name], 0, bytes);
    }
    for (const [name, byteLength] of Object.entries(outputs)) {
      buffers[name] ??= gpu.memory.create(name, byteLength + SENTINEL_BYTES, "activations");
      const start = name in inputs ? byteLength : 0;
      uploadBytes(
        gpu,
        buffers[name],
        start,
        new Uint8Array(byteLength - start + SENTINEL_BYTES).fill(SENTINEL),
      );
    }
    await runPlan(gpu, plan, buffers);
    const results: Record<string, Uint8Array<ArrayBuffer>> = {};
    for (const [name, byteLength] of Object.entries(outputs)) {
      const bytes = await readBytes(
        gpu,
        buffers[name] as GPUBuffer,
        0,
        byteLength + SENTINEL_BYTES,
      );
      const damaged = bytes.subarray(byteLength).findIndex((byte) => byte !== SENTINEL);
      expect(damaged, `${name}: byte ${damaged} behind the output was overwritten`).toBe(-1);
      results[name] = bytes.slice(0, byteLength);
    }
    return results;
  } finally {
    for (const buffer of Object.values(buffers)) gpu.memory.release(buffer);
  }
}

/** The same device for what destroys its own in the end. */
export const keptGpu = (gpu: Gpu): Gpu =>
  Object.create(gpu, { destroy: { value: () => undefined } }) as Gpu;
