/**
 * SwiftShader and a Vulkan loader from the npm package `@sparticuz/chromium`: the software adapter that comes along.
 *
 * Dawn opens `libvulkan.so.1` by name and the driver through `VK_ICD_FILENAMES`.
 */
import { createReadStream } from "node:fs";
import { access, lstat, mkdtemp, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import type { SoftwareAdapter } from "./software-adapter.ts";
import { SOFTWARE_MARKER } from "./software-adapter.ts";

const MANIFEST = "vk_swiftshader_icd.json";
const FILES = [MANIFEST, "libvk_swiftshader.so", "libvulkan.so.1"];

/**
 * Unpacks SwiftShader once per user and package version; null where the package is not installed or the platform has
 * no build (Linux x64 only).
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
  // The user id and not the name: in containers a user may have none.
  const uid = process.getuid?.() ?? 0;
  let folder = join(tmpdir(), `rcod-swiftshader-${version}-${uid}`);
  if (!(await isComplete(folder, uid))) {
    // Unpack beside and rename, so that a second process never sees half a library.
    const temporary = await mkdtemp(join(tmpdir(), "rcod-swiftshader-"));
    try {
      await pipeline(
        createReadStream(archive),
        createBrotliDecompress(),
        extract(temporary, { chown: false }),
      );
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    folder = await moveInPlace(temporary, folder, uid);
  }
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
