/**
 * `--gpu N` on Linux. WebGPU has no way to name one of several equal GPUs, but Mesa's layer for Vulkan, which works for all
 * drivers, shows only the one that the environment names by its place on the bus.
 */
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { usageError } from "../../cli/errors.ts";

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

/** Sets the environment for the GPU `index`. Throws `CliError` (exit code 2) where there is none, or no way to choose. */
export async function chooseGpu(
  index: number,
  places: GpuPlaces = THIS_MACHINE,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const addresses = await gpuAddresses(places.devices);
  const address = addresses[index];
  if (address === undefined) {
    const list = addresses.length === 0 ? "none" : addresses.join(", ");
    throw usageError(`--gpu ${index}: counted from 0, this machine shows ${list}`);
  }
  if (addresses.length === 1) return;
  if (!places.layers.some((path) => existsSync(path))) {
    throw usageError(
      `--gpu ${index}: choosing one of ${addresses.length} GPUs takes Mesa's device-select layer ` +
        `(Debian: mesa-vulkan-drivers). Install it, or give each worker a container with one GPU`,
    );
  }
  environment["DRI_PRIME"] = `pci-${address.replaceAll(/[:.]/g, "_")}!`;
  environment["MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE"] = "1";
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
