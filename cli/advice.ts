/** What to do when no GPU answers, or when one hides features: by platform, from what is visible in /dev. */
import { accessSync, constants, readdirSync } from "node:fs";
import type { Caps } from "../src/gpu/caps.ts";

/** Steps towards a working driver, most likely first; each one sentence without its full stop. */
export function driverAdvice(): readonly string[] {
  if (process.platform !== "linux") {
    return ["Update the graphics driver; WebGPU needs Metal on macOS and Direct3D 12 on Windows"];
  }
  const advice: string[] = [];
  if (listed("/dev", /^nvidia\d+$/).length > 0) {
    advice.push(
      "An NVIDIA device is present but its Vulkan driver does not answer: install the driver's GL part " +
        "(Debian: nvidia-vulkan-icd, Ubuntu: libnvidia-gl-<version>), in a container also set " +
        "NVIDIA_DRIVER_CAPABILITIES=all",
    );
  }
  const renderNodes = listed("/dev/dri", /^renderD\d+$/);
  if (renderNodes.length > 0 && !renderNodes.some(isUsable)) {
    advice.push(`This user may not open ${renderNodes.join(", ")}: add it to the group "render"`);
  }
  if (renderNodes.some(isUsable)) {
    advice.push(
      "AMD or Intel: install the Vulkan driver and loader (Debian, Ubuntu: mesa-vulkan-drivers libvulkan1)",
    );
  }
  if (advice.length === 0) {
    advice.push(
      "No graphics device is visible in /dev. On a machine with a GPU install its driver with Vulkan " +
        "(NVIDIA: nvidia-driver; AMD and Intel: mesa-vulkan-drivers libvulkan1), in a container hand the device in",
    );
  }
  return advice;
}

/** Dawn's switches without which NVIDIA under Vulkan offers neither halves nor matrix units. */
export const NVIDIA_TOGGLES = "allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/** Hints about features that the adapter could have but does not show. */
export function featureAdvice(caps: Caps, implementation: string): readonly string[] {
  const advice: string[] = [];
  if (
    implementation.startsWith("Dawn") &&
    process.platform === "linux" &&
    /nvidia/i.test(caps.vendor)
  ) {
    if (!caps.hasShaderF16 || caps.matrixUnits === null) {
      advice.push(
        `NVIDIA under Vulkan hides f16 and matrix units unless asked: add --dawn-toggles ${NVIDIA_TOGGLES}`,
      );
    }
  }
  return advice;
}

function listed(folder: string, pattern: RegExp): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => pattern.test(name))
      .map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
