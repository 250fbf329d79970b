/**
 * What an adapter can do, as plain data. Kernels select variants on this record and never see a
 * GPUDevice, so that selection can be printed, tested and stored without a GPU.
 */

/** One shape of `subgroup_matrix` multiply-accumulate that the adapter offers. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The limits that decide between variants and about textures. Units: bytes, counts, or pixels. */
export interface CapsLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly minStorageBufferOffsetAlignment: number;
  readonly minUniformBufferOffsetAlignment: number;
  readonly maxTextureDimension2D: number;
}

export interface Caps {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** True where the "GPU" is a CPU rasteriser (SwiftShader, llvmpipe, WARP): other variants win. */
  readonly isSoftware: boolean;
  readonly hasShaderF16: boolean;
  readonly hasSubgroups: boolean;
  readonly hasTimestampQuery: boolean;
  /** Empty where the adapter offers no matrix units. */
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
  readonly limits: CapsLimits;
}

/** The WebGPU defaults: what every adapter guarantees. Kernels must have a variant that fits these. */
export const DEFAULT_LIMITS: CapsLimits = {
  maxBufferSize: 268_435_456,
  maxStorageBufferBindingSize: 134_217_728,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65_535,
  minStorageBufferOffsetAlignment: 256,
  minUniformBufferOffsetAlignment: 256,
  maxTextureDimension2D: 8192,
};

/** The least capable adapter the standard allows: for planning and tests without a GPU. */
export const BASELINE_CAPS: Caps = {
  vendor: "",
  architecture: "",
  device: "",
  description: "WebGPU baseline",
  isSoftware: false,
  hasShaderF16: false,
  hasSubgroups: false,
  hasTimestampQuery: false,
  subgroupMatrixConfigs: [],
  limits: DEFAULT_LIMITS,
};

const SOFTWARE_NAMES = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp\b|software/i;

/** Whether adapter strings name a CPU rasteriser. */
export function isSoftwareAdapter(info: {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}): boolean {
  return SOFTWARE_NAMES.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}
