/** WebGPU in Node through the npm package `webgpu` (Dawn), or whatever `navigator.gpu` already offers (Deno). */
import { freemem, tmpdir } from "node:os";
import { adapterNames, isSoftwareAdapter } from "../gpu/caps.ts";
import type { Gpu, GpuOptions } from "../gpu/device.ts";
import { requestGpu, withMemoryBudget } from "../gpu/device.ts";
import { DeviceError, messageOf } from "../gpu/errors.ts";
import { pollPatiently } from "./patient-polling.ts";

/** How Dawn is started and a device requested. */
export interface NodeGpuOptions extends Omit<GpuOptions, "gpu"> {
  /**
   * Dawn toggles, e.g. `["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"]`; those with `-` in front are switched off
   * (`-timestamp_quantization`). Ignored outside Dawn.
   */
  readonly toggles?: readonly string[];
  /** Name of the adapter, or a part of it, where there are several. Ignored outside Dawn. */
  readonly adapter?: string;
}

/** Dawn's instance stays referenced while any of its objects lives: dropping it crashes the process. */
const instances: GPU[] = [];

/** The environment's `GPU` object. Throws `DeviceError` when neither Deno's nor the package's exists. */
export async function nodeGpuProvider(
  toggles: readonly string[] = [],
  adapter?: string,
): Promise<GPU> {
  quietVulkanLoader();
  const builtin = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (builtin !== undefined) return builtin;
  let dawn: typeof import("webgpu");
  try {
    dawn = await import("webgpu");
  } catch (error) {
    throw new DeviceError(
      `device: the npm package "webgpu" (WebGPU for Node) cannot be loaded: ` +
        `${messageOf(error)}. Run npm install webgpu`,
    );
  }
  for (const [name, value] of Object.entries(dawn.globals)) {
    if (!(name in globalThis))
      Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  const on = toggles.filter((name) => !name.startsWith("-"));
  const off = toggles.flatMap((name) => (name.startsWith("-") ? [name.slice(1)] : []));
  const gpu = dawn.create([
    ...(on.length > 0 ? [`enable-dawn-features=${on.join(",")}`] : []),
    ...(off.length > 0 ? [`disable-dawn-features=${off.join(",")}`] : []),
    ...(adapter === undefined ? [] : [`adapter=${adapter}`]),
  ]);
  instances.push(gpu);
  return gpu;
}

/**
 * Mesa's Vulkan drivers print "XDG_RUNTIME_DIR is invalid or not set" for every driver they try. They want
 * it for window systems, which we never use, so any existing folder does.
 */
function quietVulkanLoader(): void {
  if (process.platform === "linux") process.env["XDG_RUNTIME_DIR"] ??= tmpdir();
}

/** Larger pictures take less time in regions than in tiles, which write and read gigabytes. */
const MOST_SOFTWARE_BUDGET = 512 * 1024 ** 2;
/** Of what is free: pixels, files and weights are there too. */
const SOFTWARE_SHARE = 0.5;

/**
 * A device in Node or Deno; see `requestGpu`. `RCOD_WITHOUT_FEATURES` in the environment lists features, with commas
 * between, that are not used either: to compare a machine with and without them.
 */
export async function requestNodeGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
  const { toggles, adapter, withoutFeatures = [], ...rest } = options;
  const listed = (process.env["RCOD_WITHOUT_FEATURES"] ?? "").split(",");
  const gpu = await requestGpu({
    ...rest,
    withoutFeatures: [...withoutFeatures, ...listed],
    gpu: await nodeGpuProvider(toggles, adapter),
  });
  if (!gpu.caps.isSoftware) return gpu; // it has cores and memory of its own
  pollPatiently();
  return withMemoryBudget(gpu, softwareBudget());
}

/** A software adapter's memory is the machine's. */
const softwareBudget = (): number =>
  Math.round(Math.min(MOST_SOFTWARE_BUDGET, freemem() * SOFTWARE_SHARE));

/** What an adapter says it is. */
export interface FoundAdapter {
  readonly name: string;
  readonly isSoftware: boolean;
}

/** The adapter that answers in this process, without keeping it; null where none does. */
export async function findAdapter(): Promise<FoundAdapter | null> {
  try {
    const adapter = await (await nodeGpuProvider()).requestAdapter();
    if (adapter === null) return null;
    const { info } = adapter;
    return {
      name: info.description || adapterNames(info) || "unnamed",
      isSoftware: isSoftwareAdapter(info) || info.isFallbackAdapter,
    };
  } catch {
    return null;
  }
}

/** No adapter's name: Dawn answers a request for it with a list of those that are there. */
const NO_ADAPTER = "none of this name";

/** Names of all adapters, in Dawn's order, as `NodeGpuOptions` takes them. Empty outside Dawn. */
export async function listAdapters(): Promise<readonly string[]> {
  try {
    await (await nodeGpuProvider([], NO_ADAPTER)).requestAdapter();
    return [];
  } catch (error) {
    const listed = messageOf(error).matchAll(/backend: '(?:vulkan|d3d12|metal)', name: '(.*)'/g);
    return [...listed].map(([, name = ""]) => name);
  }
}
