/**
 * SwiftShader and a Vulkan loader from the npm package `@sparticuz/chromium`: the software adapter that comes along.
 *
 * Dawn opens `libvulkan.so.1` by name and the driver through `VK_ICD_FILENAMES`.
 */
import { createReadStream } from "node:fs";
import { access, lstat, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { DeviceError } from "../gpu/errors.ts";
import { cacheFolder } from "./cache-folder.ts";
import type { SoftwareAdapter } from "./software-adapter.ts";
import { SOFTWARE_MARKER } from "./software-adapter.ts";

const MANIFEST = "vk_swiftshader_icd.json";
const FILES = [MANIFEST, "libvk_swiftshader.so", "libvulkan.so.1"];

/**
 * Unpacks SwiftShader once per user and package version; null where the package is not installed or the platform has
 * no build (Linux x64 only). Throws `DeviceError` where it can be unpacked nowhere.
 */
export async function swiftShader(): Promise<SoftwareAdapter | null> {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const require = createRequire(import.meta.url);
  let archive: string;
  let version: string;
  let extract: (folder: string, options: { chown: boolean }) => NodeJS.WritableStream;
  try {
    // The package exports only its entry, so the archive is found from there: build/esm/ → bin/.
    const entry = require.resolve("@sparticuz/chromium");
    const root = join(dirname(entry), "..", "..");
    archive = join(root, "bin", "swiftshader.tar.br");
    await access(archive);
    version = (require(join(root, "package.json")) as { version: string }).version;
    ({ extract } = (await import("tar-fs")) as unknown as { extract: typeof extract });
  } catch {
    return null;
  }
  const fill = (folder: string): Promise<void> =>
    pipeline(
      createReadStream(archive),
      createBrotliDecompress(),
      extract(folder, { chown: false }),
    );
  const folder = await unpacked(version, fill);
  const icd = join(folder, MANIFEST);
  const inherited = process.env["LD_LIBRARY_PATH"];
  return {
    name: "SwiftShader",
    node: process.execPath,
    env: {
      VK_ICD_FILENAMES: icd,
      VK_DRIVER_FILES: icd,
      LD_LIBRARY_PATH: inherited ? `${folder}:${inherited}` : folder,
      [SOFTWARE_MARKER]: "1",
    },
  };
}

/** The folder with all files, in the temporary folder or, where that cannot be written, in the user's cache. */
async function unpacked(version: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const problems: string[] = [];
  for (const parent of [tmpdir(), cacheFolder()]) {
    try {
      if (parent !== tmpdir()) await mkdir(parent, { recursive: true });
      return await unpackedIn(parent, version, fill);
    } catch (error) {
      problems.push(`${parent}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    }
  }
  throw new DeviceError(
    `device: the software adapter cannot be unpacked (${problems.join("; ")}). ` +
      "Set TMPDIR to a folder that can be written and has 20 MB free",
  );
}

async function unpackedIn(
  parent: string,
  version: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  // The user id and not the name: in containers a user may have none.
  const uid = process.getuid?.() ?? 0;
  const folder = join(parent, `rcod-swiftshader-${version}-${uid}`);
  if (await isComplete(folder, uid)) return folder;
  // Unpack beside and rename, so that a second process never sees half a library.
  const temporary = await mkdtemp(join(parent, "rcod-swiftshader-"));
  try {
    await fill(temporary);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return moveInPlace(temporary, folder, uid);
}

/** Renames `temporary` to `folder` and returns where the files are at the end. */
async function moveInPlace(temporary: string, folder: string, uid: number): Promise<string> {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await rename(temporary, folder);
      return folder;
    } catch {
      if (await isComplete(folder, uid)) {
        await rm(temporary, { recursive: true, force: true }); // another process was first
        return folder;
      }
      // The folder is incomplete: a cleaner of the temporary folder has removed files.
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }
  return temporary; // another user owns the folder of that name: never load their libraries
}

/** Whether all files are there and belong to us: the temporary folder is open to everybody. */
async function isComplete(folder: string, uid: number): Promise<boolean> {
  try {
    const stats = await lstat(folder);
    if (!stats.isDirectory() || stats.uid !== uid) return false;
    await Promise.all(FILES.map((name) => access(join(folder, name))));
    return true;
  } catch {
    return false;
  }
}
