/** Files on disks that all machines of a fleet see under the same paths. */
import { link, lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { checkOutputFile, writableError } from "../../cli/atomic-write.ts";
import { systemCode, systemReason, usageError } from "../../cli/errors.ts";
import { nameFromBytes, systemPath } from "../../cli/file-name.ts";
import { formatBytes } from "../../cli/format.ts";
import { shownText } from "../../cli/shown-text.ts";
import { forgetTemporary, removeLeftovers, temporaryBeside } from "../../cli/temporary.ts";
import { RefusedError, StorageError } from "../errors.ts";
import type { LocalFile, ResultPlace, Storage, StoredFile } from "./storage.ts";

/** What concerns the disk and not the picture. */
const OF_THE_DISK = [
  "ENOSPC",
  "EDQUOT",
  "EROFS",
  "EACCES",
  "EPERM",
  "EIO",
  "EMFILE",
  "ENFILE",
  "ESTALE",
];

export const fileStorage: Storage = {
  // Words of the command line are searched by `findImages`, which knows what a folder of pictures may hold.
  async list(address): Promise<readonly StoredFile[]> {
    throw new Error(`internal: ${address} is searched as rcod upscale does`);
  },

  async has(address) {
    return isThere(address);
  },

  async existing(addresses) {
    const folders = new Map<string, Promise<ReadonlySet<string>>>();
    const found = new Set<string>();
    for (const address of addresses) {
      const folder = dirname(address);
      const names = folders.get(folder) ?? namesIn(folder);
      folders.set(folder, names);
      if ((await names).has(basename(address))) found.add(address);
    }
    return found;
  },

  async read(address, mostBytes): Promise<LocalFile> {
    const stats = await stat(systemPath(address)).catch((error: unknown) => {
      throw usageError(`${shownText(address)}: ${systemReason(error)}`);
    });
    checkSize(stats.size, mostBytes);
    return { path: address, size: stats.size, release: async () => {} };
  },

  async place(address): Promise<ResultPlace> {
    const folder = dirname(address);
    try {
      await mkdir(systemPath(folder), { recursive: true });
    } catch (error) {
      throw told(`cannot make the folder ${shownText(folder)}`, error);
    }
    await removeLeftovers(folder);
    const path = temporaryBeside(address);
    const discard = async (): Promise<void> => {
      await rm(systemPath(path), { force: true }).catch(() => undefined);
      forgetTemporary(path);
    };
    return {
      path,
      discard,
      async publish(replace, signal) {
        signal.throwIfAborted();
        try {
          await toDisk(path);
          return await named(path, address, replace);
        } catch (error) {
          throw told(`cannot write ${shownText(address)}`, error);
        } finally {
          await discard();
        }
      },
    };
  },

  async checkWritable(address) {
    const error = await writableError(address);
    if (error !== undefined) throw error;
    const stats = await stat(systemPath(address)).catch(() => undefined);
    if (stats !== undefined && !stats.isDirectory()) await checkOutputFile(address, false);
  },
};

/** Throws for a file that is larger than this worker takes. */
export function checkSize(size: number, mostBytes: number): void {
  if (size <= mostBytes) return;
  throw new RefusedError(
    `the file has ${formatBytes(size)}, more than the ${formatBytes(mostBytes)} that this worker reads. ` +
      `Start one with a larger --max-input-megabytes`,
  );
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(systemPath(path)).catch(() => undefined)) !== undefined;
}

async function namesIn(folder: string): Promise<ReadonlySet<string>> {
  const names = await readdir(systemPath(folder), { encoding: "buffer" }).catch(() => []);
  return new Set(names.map(nameFromBytes));
}

/** A name must not outlive its bytes where the power fails. */
async function toDisk(path: string): Promise<void> {
  const file = await open(systemPath(path), "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A second link is refused where a name is taken, which a rename would not be. */
async function named(from: string, to: string, replace: boolean): Promise<"written" | "there"> {
  if (!replace) {
    try {
      await link(systemPath(from), systemPath(to));
      return "written";
    } catch (error) {
      if (systemCode(error) === "EEXIST") return "there";
      if (!NO_LINKS.includes(systemCode(error) ?? "")) throw error;
    }
    // No links here (FAT, some network drives). Who is quicker in between writes the same result.
    if (await isThere(to)) return "there";
  }
  await rename(systemPath(from), systemPath(to));
  return "written";
}

const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK"];

function told(what: string, error: unknown): Error {
  const message = `${what}: ${systemReason(error)}`;
  return OF_THE_DISK.includes(systemCode(error) ?? "")
    ? new StorageError(message)
    : usageError(message);
}
