/**
 * `--gpu N`. WebGPU has no way to name one of several equal GPUs. On Linux Mesa's layer for Vulkan, which works for all drivers,
 * shows only the one that the environment names by its place on the bus. Elsewhere names have to tell them apart.
 */
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { usageError } from "../../cli/errors.ts";
import { isSoftwareAdapter } from "../../src/gpu/caps.ts";

/** Where the machine says what it has; tests have their own. */
export interface GpuPlaces {
  /** Devices of PCI. */
  readonly devices: string;
  /** Files that register the layer. */
  readonly layers: readonly string[];
}

const LAYER = "vulkan/implicit_layer.d/VkLayer_MESA_device_select.json";

const THIS_MACHINE: GpuPlaces = {
  devices: "/sys/bus/pci/devices",
  layers: ["/usr/share", "/usr/local/share", "/etc"].map((folder) => join(folder, LAYER)),
};

/** Class of display controllers, of which GPUs without a screen are some. */
const DISPLAY = /^0x03/;

/**
 * Sets the environment for the GPU `index` where the bus has several and the layer is there; false where it is not so.
 * Throws `CliError` (exit code 2) where there is no such GPU.
 */
export async function chooseByBus(
  index: number,
  places: GpuPlaces = THIS_MACHINE,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  const addresses = await gpuAddresses(places.devices);
  if (addresses.length < 2 || !places.layers.some((path) => existsSync(path))) return false;
  const address = chosen(index, addresses);
  environment["DRI_PRIME"] = `pci-${address.replaceAll(/[:.]/g, "_")}!`;
  environment["MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE"] = "1";
  return true;
}

/**
 * The one of `names` that Dawn is to use for the GPU `index`; what runs on the CPU counts only where there is nothing else.
 * Throws `CliError` (exit code 2) where there is none, or another of the same name.
 */
export function chooseByName(index: number, names: readonly string[]): string {
  const gpus = names.filter((name) => !isSoftware(name));
  const counted = gpus.length === 0 ? names : gpus;
  const name = chosen(index, counted);
  // Dawn takes the first whose name contains this one.
  if (names.filter((other) => other.includes(name)).length === 1 || counted.length === 1) {
    return name;
  }
  throw usageError(
    `--gpu ${index}: there is more than one ${name}, and choosing one of them takes Mesa's device-select layer for Vulkan ` +
      `(Debian: mesa-vulkan-drivers). Install it, or give each worker a container with one GPU`,
  );
}

const isSoftware = (description: string): boolean =>
  isSoftwareAdapter({ vendor: "", architecture: "", device: "", description });

function chosen(index: number, gpus: readonly string[]): string {
  const gpu = gpus[index];
  if (gpu !== undefined) return gpu;
  const list = gpus.map((each, i) => `${i} (${each})`).join(", ");
  throw usageError(
    `--gpu ${index}: counted from 0, this machine shows ${list === "" ? "none" : list}`,
  );
}

async function gpuAddresses(devices: string): Promise<readonly string[]> {
  const addresses: string[] = [];
  const names: readonly string[] = await readdir(devices).catch(() => []);
  for (const name of names.toSorted()) {
    const kind = await readFile(join(devices, name, "class"), "utf8").catch(() => "");
    if (DISPLAY.test(kind)) addresses.push(name);
  }
  return addresses;
}
