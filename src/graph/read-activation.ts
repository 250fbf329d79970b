/** Reads an activation back to the host. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { readBytes } from "../gpu/transfer.ts";
import { activationByteLength } from "./lowering/lower.ts";
import { unpackActivation } from "./pack-activation.ts";

/** The values of an activation of `shape` at the start of `buffer`, row-major, without the padding of channels. */
export async function readActivation(
  gpu: Gpu,
  buffer: GPUBuffer,
  shape: readonly number[],
  dtype: DType,
): Promise<Float32Array<ArrayBuffer>> {
  const bytes = await readBytes(gpu, buffer, 0, activationByteLength(shape, dtype));
  return unpackActivation(bytes, { id: 0, shape }, dtype);
}
