/** A matrix of integers on its way to the device: its bytes go up as they are, and a kernel puts them in their places. */
import type { Gpu } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { UPLOAD_CHUNK_BYTES, uploadBytes } from "../../gpu/transfer.ts";
import { packIntegers } from "../../kernels/quantized/pack-integers.ts";
import { blockCount } from "../../kernels/quantized/storage.ts";
import { runPlan } from "../execution/run-plan.ts";
import type { Weight } from "../ir/ir.ts";
import type { IntegerTensor, StoredBytes, TensorSource } from "./tensor-source.ts";
import type { WeightCheck } from "./weight-check.ts";
import { integerMembers, weightByteLength } from "./weight-layout.ts";

/** The integers and scales of a matrix. Throws where the source has none. */
export function integersOf(source: TensorSource, name: string): IntegerTensor {
  if (source.integers === undefined) {
    throw new ShapeError(`weights: the source must have integers (${name})`);
  }
  return source.integers(name);
}

/** A buffer with the packed weight. The caller releases it. */
export async function loadIntegers(
  gpu: Gpu,
  weight: Weight,
  source: TensorSource,
  check: WeightCheck,
  signal?: AbortSignal,
): Promise<GPUBuffer> {
  const { memory } = gpu;
  const packed = memory.create(weight.name, weightByteLength(weight, "f32"), "weights");
  const staging: GPUBuffer[] = [];
  /** Uploads a tensor, of which the host sees each piece once. */
  const stage = async (
    label: string,
    tensor: StoredBytes,
    look: (bytes: Uint8Array) => void,
  ): Promise<GPUBuffer> => {
    const { byteLength } = tensor;
    const buffer = memory.create(label, byteLength, "staging");
    staging.push(buffer);
    for (let start = 0; start < byteLength; start += UPLOAD_CHUNK_BYTES) {
      const length = Math.min(UPLOAD_CHUNK_BYTES, byteLength - start);
      const bytes = await tensor.read(start, length, signal);
      look(bytes);
      uploadBytes(gpu, buffer, start, bytes);
    }
    return buffer;
  };
  try {
    for (const { name, problem } of integerMembers(weight)) {
      const { values, scales } = integersOf(source, name);
      const { outChannels, inChannels, taps, storage } = problem;
      const rowBytes = storage === "int8" ? inChannels : Math.ceil(inChannels / 2);
      checkByteLength(name, values, outChannels * rowBytes * taps);
      checkByteLength(`${name}.scales`, scales, outChannels * blockCount(inChannels) * taps * 2);
      const operands = {
        values: await stage(`${name} (integers)`, values, () => undefined),
        scales: await stage(`${name} (scales)`, scales, (bytes) =>
          check.look(`${name}.scales`, "F16", bytes),
        ),
        packed,
      };
      await runPlan(gpu, packIntegers.plan(problem, gpu.caps), operands, signal);
      for (const buffer of staging.splice(0)) memory.release(buffer);
    }
    return packed;
  } catch (error) {
    memory.release(packed);
    throw error;
  } finally {
    for (const buffer of staging) memory.release(buffer);
  }
}

function checkByteLength(name: string, { byteLength }: StoredBytes, needed: number): void {
  if (byteLength === needed) return;
  throw new ShapeError(`weights: must have ${needed} bytes, got ${byteLength} (${name})`);
}
