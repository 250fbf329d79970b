/** What the page shows of the device, and of a model's weights on it. */
import type { Gpu, RcodModel } from "rcod-webgpu";
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

/** The kinds of integers among a model's weights; null where all are floats. */
export function integersOf({ configs: { clip, vae, unet } }: RcodModel): string | null {
  const schemes = [unet, clip, vae].flatMap(({ quantization }) => quantization?.scheme ?? []);
  return schemes.length === 0 ? null : [...new Set(schemes)].join(" and ");
}
