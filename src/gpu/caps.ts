/**
 * What an adapter can do, as plain data. Kernels select variants on this record and never see a
 * GPUDevice, so that selection can be printed, tested and stored without a GPU.
 */

import type { DType } from "./dtype.ts";
import type { MatrixUnits } from "./subgroup-matrix.ts";

/** Gives shaders matrix units; an experiment of Chromium's. */
export const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";
/** Lets shaders pin the size of their subgroups. */
export const SUBGROUP_SIZE_FEATURE = "subgroup-size-control";

/** One shape of `subgroup_matrix` multiply-accumulate that the adapter offers. */
export interface SubgroupMatrixConfig {
  /** Type of the factors' elements. */
  readonly componentType: string;
  /** Type of the accumulator's elements. */
  readonly resultComponentType: string;
  /** Rows of the result. */
  readonly M: number;
  /** Columns of the result. */
  readonly N: number;
  /** Length of the sums. */
  readonly K: number;
}

/** The limits by which variants and sizes of textures are chosen. Units: bytes, counts, or pixels. */
export interface CapsLimits {
  /** Bytes of a buffer. */
  readonly maxBufferSize: number;
  /** Bytes of a storage binding. */
  readonly maxStorageBufferBindingSize: number;
  /** Storage bindings of a shader. */
  readonly maxStorageBuffersPerShaderStage: number;
  /** Bytes of workgroup memory. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** Invocations of a workgroup. */
  readonly maxComputeInvocationsPerWorkgroup: number;
  /** Invocations of a workgroup along x. */
  readonly maxComputeWorkgroupSizeX: number;
  /** Workgroups of a dispatch along each axis. */
  readonly maxComputeWorkgroupsPerDimension: number;
  /** Offsets of storage bindings are multiples of this many bytes. */
  readonly minStorageBufferOffsetAlignment: number;
  /** Offsets of uniform bindings are multiples of this many bytes. */
  readonly minUniformBufferOffsetAlignment: number;
  /** Side of a texture in pixels. */
  readonly maxTextureDimension2D: number;
}

/** What a device can do. Variants and plans depend on nothing else of it. */
export interface Caps {
  /** Bytes that the activations and pictures of a call should stay within. Nothing tells how much memory a device has. */
  readonly memoryBudget?: number;
  /** Vendor, as the adapter tells it; may be empty. */
  readonly vendor: string;
  /** Architecture, as the adapter tells it; may be empty. */
  readonly architecture: string;
  /** Device, as the adapter tells it; may be empty. */
  readonly device: string;
  /** Description, as the adapter tells it; may be empty. */
  readonly description: string;
  /** Whether the "GPU" is a CPU rasteriser (SwiftShader, llvmpipe, WARP), on which other variants are faster. */
  readonly isSoftware: boolean;
  /** Whether shaders may use `f16`; else halves are packed in `u32`. */
  readonly hasShaderF16: boolean;
  /** Whether shaders may use subgroup operations. */
  readonly hasSubgroups: boolean;
  /** Whether steps can be timed. */
  readonly hasTimestampQuery: boolean;
  /** Least and largest size of a subgroup; 0 where the adapter does not tell. */
  readonly subgroupSizes: readonly [least: number, largest: number];
  /** Empty where the adapter offers no matrix units. */
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
  /** The matrix units that kernels can use. A probe has compared their numbers. Null: there are none. */
  readonly matrixUnits: MatrixUnits | null;
  /** Why `matrixUnits` is null; null where it is not. */
  readonly matrixRefusal: string | null;
  /** The device's limits. */
  readonly limits: CapsLimits;
  /**
   * Kernel variants to take instead of the kernels' defaults: forced, or measured on this adapter. Keys as in
   * `kernels/variant-choice.ts`.
   */
  readonly variants?: Readonly<Record<string, string>>;
  /** Whether shaders count the values that they cannot store as they are: see `FAULTS` in `wgsl.ts`. Default false. */
  readonly countsFaults?: boolean;
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
  subgroupSizes: [0, 0],
  subgroupMatrixConfigs: [],
  matrixUnits: null,
  matrixRefusal: "the WebGPU baseline has none",
  limits: DEFAULT_LIMITS,
};

const SOFTWARE_NAMES = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp\b|software/i;

/** Whether adapter strings name a CPU rasteriser. */
export function isSoftwareAdapter(
  info: Pick<Caps, "vendor" | "architecture" | "device" | "description">,
): boolean {
  return SOFTWARE_NAMES.test(adapterNames(info));
}

/** The storage that is faster on a device: f16 on GPUs, f32 on software adapters, which widen halves slowly. */
export function fasterDType({ isSoftware }: Pick<Caps, "isSoftware">): DType {
  return isSoftware ? "f32" : "f16";
}

/** The names that an adapter gives, without empty and repeated ones. Empty where it gives none, as in Firefox. */
export function adapterNames({
  vendor,
  architecture,
  device,
  description,
}: Pick<Caps, "vendor" | "architecture" | "device" | "description">): string {
  const names = [vendor, architecture, device, description].filter((name) => name !== "");
  return [...new Set(names)].join(", ");
}
