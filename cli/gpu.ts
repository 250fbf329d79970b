/** The GPU of a command. */
import type { Gpu } from "../src/gpu/device.ts";
import { requestNodeGpu } from "../src/node/gpu.ts";

/** Requests a device for `use` and destroys it afterwards. Throws `DeviceError` where there is none. */
export async function withGpu<T>(
  dawnToggles: readonly string[],
  use: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  const gpu = await requestNodeGpu({ toggles: dawnToggles });
  try {
    return await use(gpu);
  } finally {
    gpu.destroy();
  }
}
