import { describe, expect, it } from "vitest";
import { BASELINE_CAPS, DEFAULT_LIMITS, isSoftwareAdapter } from "../../src/gpu/caps.ts";

const info = (fields: Partial<Parameters<typeof isSoftwareAdapter>[0]>) => ({
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  ...fields,
});

describe("isSoftwareAdapter", () => {
  it.each([
    info({ vendor: "google", architecture: "swiftshader" }),
    info({ description: "SwiftShader Device (Subzero)" }),
    info({ description: "llvmpipe (LLVM 15.0.6, 256 bits)" }),
    info({ description: "Mesa lavapipe" }),
    info({ vendor: "microsoft", description: "Microsoft Basic Render Driver" }),
    info({ description: "WARP" }),
  ])("knows $vendor $architecture $description", (adapter) => {
    expect(isSoftwareAdapter(adapter)).toBe(true);
  });

  it.each([
    info({ vendor: "nvidia", architecture: "hopper", description: "NVIDIA H200" }),
    info({ vendor: "apple", architecture: "metal-3" }),
    info({ vendor: "intel", architecture: "xe-lpg", description: "Intel(R) Arc(TM) Graphics" }),
    info({ vendor: "amd", architecture: "rdna-3", device: "0x744c" }),
    info({}), // Firefox tells nothing
  ])("takes $vendor $architecture $description for a GPU", (adapter) => {
    expect(isSoftwareAdapter(adapter)).toBe(false);
  });
});

it("describes the baseline by the limits of the WebGPU standard", () => {
  expect(BASELINE_CAPS.limits).toBe(DEFAULT_LIMITS);
  // https://gpuweb.github.io/gpuweb/#limits, column "Default"
  expect(DEFAULT_LIMITS).toEqual({
    maxBufferSize: 256 * 1024 ** 2,
    maxStorageBufferBindingSize: 128 * 1024 ** 2,
    maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupStorageSize: 16 * 1024,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupsPerDimension: 65_535,
    minStorageBufferOffsetAlignment: 256,
    minUniformBufferOffsetAlignment: 256,
    maxTextureDimension2D: 8192,
  });
  expect([
    BASELINE_CAPS.hasShaderF16,
    BASELINE_CAPS.hasSubgroups,
    BASELINE_CAPS.hasTimestampQuery,
    BASELINE_CAPS.subgroupMatrixConfigs.length,
  ]).toEqual([false, false, false, 0]);
});
