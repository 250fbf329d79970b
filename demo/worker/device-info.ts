/** What the page shows of the device. */
import type { Gpu } from "rcod-webgpu";
import type { DeviceInfo } from "../protocol.ts";

export function describeDevice({ caps }: Gpu): DeviceInfo {
  const names = [caps.description, caps.device, `${caps.vendor} ${caps.architecture}`];
  return {
    name: names.map((name) => name.trim()).find((name) => name !== "") ?? "WebGPU adapter",
    isSoftware: caps.isSoftware,
    hasShaderF16: caps.hasShaderF16,
    maxBindingBytes: caps.limits.maxStorageBufferBindingSize,
  };
}
