/**
 * The one place that acquires a WebGPU device: browser, Deno, or Node through the `webgpu` package
 * (Dawn). Features and limits are negotiated here and described as `Caps`.
 */
import type { OptionRules } from "../options.ts";
import { checkOptions, flag, nameList, objectValue, oneOf } from "../options.ts";
import type { Caps, CapsLimits, SubgroupMatrixConfig } from "./caps.ts";
import {
  DEFAULT_LIMITS,
  MATRIX_FEATURE,
  SUBGROUP_SIZE_FEATURE,
  isSoftwareAdapter,
} from "./caps.ts";
import { ErrorScopes } from "./error-scopes.ts";
import type { DeviceLostError } from "./errors.ts";
import { DeviceError, messageOf } from "./errors.ts";
import { DeviceLoss } from "./loss.ts";
import { probeMatrixUnits } from "./matrix-probe.ts";
import { DeviceMemory } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";

/** Features requested when the adapter has them. The engine needs none of them. */
const OPTIONAL_FEATURES = ["shader-f16", "subgroups", "timestamp-query", MATRIX_FEATURE] as const;

/** How a device is requested. */
export interface GpuOptions {
  /** Gives the adapter. Default: `navigator.gpu`. Node passes Dawn's `GPU` here, which is kept as long as the device. */
  readonly gpu?: GPU;
  /** Which adapter, where there are several. Default: the browser's choice. */
  readonly powerPreference?: "low-power" | "high-performance";
  /** Features not to use even when offered: `["shader-f16"]` tests packed halves, for example. */
  readonly withoutFeatures?: readonly string[];
  /** Keep the WebGPU default limits instead of requesting the adapter's. */
  readonly defaultLimits?: boolean;
}

/** A device and what the engine keeps for it. `destroy()` is idempotent and frees everything. */
export interface Gpu {
  /** The WebGPU device. */
  readonly device: GPUDevice;
  /** What it can do. */
  readonly caps: Caps;
  /** Its compiled shaders. */
  readonly pipelines: PipelineCache;
  /** Its buffers, counted. */
  readonly memory: DeviceMemory;
  /** Finds the errors of the work that goes through this object, among those of all code on the device. */
  readonly scopes: ErrorScopes;
  /** Set once the device is gone; calls that need it throw this. */
  readonly lostError: DeviceLostError | undefined;
  /** Throws the device's loss, or the first error of this object's own work (out of memory, validation), once. */
  throwIfFailed(): void;
  /** Resolves when the device is lost for any reason. */
  readonly lost: Promise<DeviceLostError>;
  /** Frees all buffers, and the device when `requestGpu` made it. Idempotent. */
  destroy(): void;
}

const GPU_RULES: OptionRules<GpuOptions> = {
  gpu: objectValue,
  powerPreference: oneOf("low-power", "high-performance"),
  withoutFeatures: nameList,
  defaultLimits: flag,
};

/**
 * Acquires a device. Throws `DeviceError` when there is no WebGPU, no adapter, or the adapter gives no
 * device; the message says what to do.
 */
export async function requestGpu(options: GpuOptions = {}): Promise<Gpu> {
  checkOptions("requestGpu", options, GPU_RULES);
  const gpu = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  if (gpu === undefined) {
    throw new DeviceError(
      "device: this environment has no WebGPU (navigator.gpu is missing). Use a current browser, " +
        'Deno with --unstable-webgpu, or pass { gpu } from the npm package "webgpu" in Node',
    );
  }
  let adapter: GPUAdapter | null;
  try {
    const { powerPreference } = options;
    adapter = await gpu.requestAdapter(powerPreference ? { powerPreference } : {});
  } catch (error) {
    throw new DeviceError(`device: asking for an adapter failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (adapter === null) {
    throw new DeviceError(
      "device: WebGPU is here but no adapter answered. Check the graphics driver, or use a software adapter",
    );
  }
  const refused = new Set(options.withoutFeatures ?? []);
  const isOffered = (name: string): boolean => adapter.features.has(name) && !refused.has(name);
  const features: string[] = OPTIONAL_FEATURES.filter(isOffered);
  // The feature that pins sizes brings subgroups along, requested or not.
  const needsPinning = features.includes(MATRIX_FEATURE) && features.includes("subgroups");
  if (needsPinning && isOffered(SUBGROUP_SIZE_FEATURE)) features.push(SUBGROUP_SIZE_FEATURE);
  const requiredLimits: Record<string, number> = {};
  if (!options.defaultLimits) {
    for (const name of Object.keys(DEFAULT_LIMITS) as (keyof CapsLimits)[]) {
      if (!name.startsWith("max")) continue;
      const offered = adapter.limits[name];
      if (typeof offered === "number" && offered > DEFAULT_LIMITS[name]) {
        requiredLimits[name] = offered;
      }
    }
  }
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      label: "rcod",
      requiredFeatures: features as GPUFeatureName[],
      requiredLimits,
    });
  } catch (error) {
    throw new DeviceError(`device: the adapter refused a device: ${messageOf(error)}`, {
      cause: error,
    });
  }
  providers.set(device, gpu);
  const held = { gpu };
  inUse.add(held);
  return withMatrixUnits(
    wrapDevice(device, adapter.info, () => {
      device.destroy();
      inUse.delete(held);
    }),
  );
}

/**
 * Dawn's `GPU` must not be collected before its devices, and not while anything waits for one: both end the process. The
 * second holds it until `destroy()`, which ends all waits; the first as long as somebody has the device.
 */
const providers = new WeakMap<GPUDevice, GPU>();
const inUse = new Set<{ readonly gpu: GPU }>();

/**
 * Wraps a device that the caller already has, for sharing it with other WebGPU code. The caller keeps the device:
 * `destroy()` of the result frees the buffers that were made with it. Wrapping a device again shares the compiled shaders.
 * Matrix units are used only after `withMatrixUnits`.
 */
export function adoptDevice(device: GPUDevice, info?: GPUAdapterInfo): Gpu {
  return wrapDevice(device, info);
}

/** The same device for one of several users: the errors of its work are found apart from those of others. */
export function withOwnErrors(gpu: Gpu): Gpu {
  const scopes = new ErrorScopes(gpu.device, gpu.scopes.loss);
  return derived(gpu, { scopes, memory: gpu.memory.withScopes(scopes) });
}

/**
 * The same device, on which kernels run in these variants (`caps.variants`) instead of their defaults. Buffers,
 * pipelines and lifetime are shared with `gpu`.
 */
export function withVariants(gpu: Gpu, variants: NonNullable<Caps["variants"]>): Gpu {
  return withCaps(gpu, { variants });
}

/** The same device for calls that stay within so many bytes, besides weights. */
export function withMemoryBudget(gpu: Gpu, memoryBudget: number): Gpu {
  return withCaps(gpu, { memoryBudget });
}

/**
 * The same device, with its matrix units in `caps.matrixUnits`. Where it has the feature, a probe runs a product of a
 * few matrices on it. Never rejects: `caps.matrixRefusal` says why there are none.
 */
export async function withMatrixUnits(gpu: Gpu): Promise<Gpu> {
  if (!gpu.device.features.has(MATRIX_FEATURE)) return gpu;
  const found = await probeMatrixUnits(gpu.device, gpu.caps);
  return withCaps(gpu, { matrixUnits: found.units, matrixRefusal: found.refusal });
}

/** The same device, which kernels and plans take for one with other caps. */
export function withCaps(gpu: Gpu, changed: Partial<Caps>): Gpu {
  return derived(gpu, { caps: { ...gpu.caps, ...changed } });
}

function derived(gpu: Gpu, own: Partial<Gpu>): Gpu {
  const properties = Object.entries(own).map(([name, value]) => [
    name,
    { value, enumerable: true },
  ]);
  return Object.create(gpu, Object.fromEntries(properties) as PropertyDescriptorMap) as Gpu;
}

/** What all who wrap a device share, as long as one of them has not been destroyed. */
interface Shared {
  readonly pipelines: PipelineCache;
  users: number;
}
const sharedByDevice = new WeakMap<GPUDevice, Shared>();
/** As long as the device: see `DeviceLoss`. */
const losses = new WeakMap<GPUDevice, DeviceLoss>();

function wrapDevice(device: GPUDevice, info?: GPUAdapterInfo, end?: () => void): Gpu {
  const caps = describeDevice(device, info ?? device.adapterInfo);
  const loss = losses.get(device) ?? new DeviceLoss(device);
  losses.set(device, loss);
  const shared = sharedByDevice.get(device) ?? {
    pipelines: new PipelineCache(device, loss),
    users: 0,
  };
  sharedByDevice.set(device, shared);
  shared.users++;
  const scopes = new ErrorScopes(device, loss);
  let isDestroyed = false;
  return {
    device,
    caps,
    pipelines: shared.pipelines,
    memory: new DeviceMemory(device, caps, scopes),
    scopes,
    lost: loss.happened,
    get lostError() {
      return loss.error;
    },
    throwIfFailed() {
      this.scopes.throwIfFailed();
    },
    destroy() {
      if (isDestroyed) return;
      isDestroyed = true;
      this.memory.destroyAll();
      if (--shared.users === 0) sharedByDevice.delete(device);
      end?.();
    },
  };
}

function describeDevice(device: GPUDevice, info: GPUAdapterInfo | undefined): Caps {
  const names = {
    vendor: info?.vendor ?? "",
    architecture: info?.architecture ?? "",
    device: info?.device ?? "",
    description: info?.description ?? "",
  };
  const limits = Object.fromEntries(
    (Object.keys(DEFAULT_LIMITS) as (keyof CapsLimits)[]).map((name) => [
      name,
      device.limits[name] ?? DEFAULT_LIMITS[name],
    ]),
  ) as unknown as CapsLimits;
  const hasMatrices = device.features.has(MATRIX_FEATURE);
  const { subgroupMatrixConfigs: matrices = [] } = (hasMatrices ? (info ?? {}) : {}) as {
    readonly subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[];
  };
  return {
    ...names,
    isSoftware: isSoftwareAdapter(names) || info?.isFallbackAdapter === true,
    hasShaderF16: device.features.has("shader-f16"),
    hasSubgroups: device.features.has("subgroups"),
    hasTimestampQuery: device.features.has("timestamp-query"),
    subgroupSizes: [info?.subgroupMinSize ?? 0, info?.subgroupMaxSize ?? 0],
    subgroupMatrixConfigs: matrices.map(({ componentType, resultComponentType, M, N, K }) => ({
      componentType,
      resultComponentType,
      M,
      N,
      K,
    })),
    matrixUnits: null,
    matrixRefusal: hasMatrices ? "not probed" : `the device has no feature ${MATRIX_FEATURE}`,
    limits,
  };
}
