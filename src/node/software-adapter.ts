/**
 * Drivers that compute on the CPU, for machines without a GPU, and how Node is started on one.
 *
 * The dynamic linker reads where its libraries lie only at process start, so every driver that is not the system's own
 * needs a *child* process (`cli/launch.ts`) or test workers (`vitest.config.ts`).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "./cache-folder.ts";

/** How Node is started on a driver. */
export interface SoftwareAdapter {
  readonly name: string;
  /** Takes the arguments of `process.execPath`. */
  readonly node: string;
  /** Beside the environment that is there. */
  readonly env: Readonly<Record<string, string>>;
}

/** Set in processes that were started on a software adapter, so that they do not start another. */
export const SOFTWARE_MARKER = "RCOD_SOFTWARE_ADAPTER";

/** Where `rcod adapter install` keeps Mesa. */
export function mesaFolder(): string {
  return join(cacheFolder(), "mesa");
}

/** llvmpipe of a Mesa that lies in `folder` with the C library that it needs; null where none does, or half of one. */
export function unpackedMesa(folder: string = mesaFolder()): SoftwareAdapter | null {
  const icd = join(folder, "icd", "lvp_icd.json");
  const node = join(folder, "node");
  if (![join(folder, "complete"), icd, node].every((path) => existsSync(path))) return null;
  const env = {
    VK_ICD_FILENAMES: icd,
    VK_DRIVER_FILES: icd,
    RCOD_NODE_BINARY: process.env["RCOD_NODE_BINARY"] ?? process.execPath,
    [SOFTWARE_MARKER]: "1",
  };
  return { name: "llvmpipe", node, env };
}

/** Under a C library of its own, Node takes the dynamic linker for its executable: what starts Node again must not. */
export function correctExecPath(): void {
  process.execPath = process.env["RCOD_NODE"] ?? process.execPath;
}

/** Against a GPU; what an adapter or driver is called says which it is. */
export function slownessOf(name: string): string {
  return /swiftshader/i.test(name) ? "about 1000 times slower" : "some hundred times slower";
}

/** How to get a faster one, without its full stop; null where this is it. */
export function fasterAdapter(name: string): string | null {
  return /swiftshader/i.test(name)
    ? "rcod adapter install fetches a software adapter that is more than twice as fast"
    : null;
}

/** One line for people. `name` is the driver's. */
export function softwareNotice(name: string): string {
  const faster = fasterAdapter(name);
  return (
    `no GPU found: using the software adapter (${name}), ${slownessOf(name)}` +
    (faster === null ? "" : `. ${faster}`)
  );
}
