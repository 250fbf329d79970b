/** A device with matrix units, or a failure that says what is missing. */
import type { Gpu } from "../../src/gpu/device.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";

export async function openMatrixGpu(): Promise<Gpu> {
  const gpu = await requestNodeGpu({ toggles: ["allow_unsafe_apis"] });
  const { matrixRefusal, description } = gpu.caps;
  if (matrixRefusal === null) return gpu;
  gpu.destroy();
  throw new Error(
    `${description} has no matrix units: ${matrixRefusal}. Use tests/matrix-units/run.sh`,
  );
}
