/** Files and folders that appear complete or not at all. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CliError, systemCode, systemReason } from "./errors.ts";
import { systemPath } from "./file-name.ts";
import { shownText } from "./shown-text.ts";
import { formatBytes } from "./format.ts";

/** Temporary files and folders of writes in progress, for the exit that cannot wait. */
const temporaryPaths = new Set<string>();

/** A name beside `path` that nobody else uses. */
function temporaryBeside(path: string): string {
  return join(dirname(path), `.rcod-${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
}

/**
 * Writes `bytes` to a temporary file beside `path` and renames it. On any error, a full disk or an abort
 * included, nothing is left behind and an existing file is untouched. Missing folders are made. Throws
 * `CliError`, or the signal's reason.
 */
export async function writeFileAtomically(
  path: string,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const folder = dirname(path);
  const temporary = temporaryBeside(path);
  let madeFolder: string | undefined;
  temporaryPaths.add(temporary);
  try {
    madeFolder = await mkdir(systemPath(folder), { recursive: true });
    await writeFile(systemPath(temporary), bytes, { flag: "wx", ...(signal ? { signal } : {}) });
    signal?.throwIfAborted();
    await rename(systemPath(temporary), systemPath(path));
  } catch (error) {
    await rm(systemPath(temporary), { force: true }).catch(() => undefined);
    if (madeFolder !== undefined) await rmdir(systemPath(folder)).catch(() => undefined);
    signal?.throwIfAborted();
    throw new CliError(
      `cannot write ${shownText(path)} (${formatBytes(bytes.byteLength)}): ${systemReason(error)}`,
    );
  } finally {
    temporaryPaths.delete(temporary);
  }
}

/**
 * Has `fill` write into a temporary folder beside `path` and renames it; a folder that is there already is
 * replaced, and lost. On any error, a full disk or an abort included, nothing is left behind and an existing
 * folder is untouched. Missing folders above are made. Throws `CliError` where the system refuses, the signal's
 * reason, or what `fill` throws.
 */
export async function writeFolderAtomically(
  path: string,
  fill: (temporary: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = temporaryBeside(path);
  const previous = temporaryBeside(path);
  let madeFolder: string | undefined;
  temporaryPaths.add(temporary);
  try {
    madeFolder = await mkdir(dirname(path), { recursive: true });
    await mkdir(temporary);
    await fill(temporary);
    signal?.throwIfAborted();
    const replaces = await rename(path, previous).then(
      () => true,
      (error: unknown) => {
        if (systemCode(error) === "ENOENT") return false;
        throw error;
      },
    );
    try {
      await rename(temporary, path);
    } catch (error) {
      if (replaces) await rename(previous, path);
      throw error;
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (madeFolder !== undefined) await rmdir(dirname(path)).catch(() => undefined);
    signal?.throwIfAborted();
    if (systemCode(error) === undefined) throw error;
    throw new CliError(`cannot write ${path}: ${systemReason(error)}`);
  } finally {
    temporaryPaths.delete(temporary);
  }
  await rm(previous, { recursive: true, force: true });
}

/** Removes the temporary files of unfinished writes at once, for use right before the process ends. */
export function removeTemporaryFiles(): void {
  for (const path of temporaryPaths) {
    try {
      rmSync(systemPath(path), { recursive: true, force: true });
    } catch {
      // The process ends: there is nobody left to tell.
    }
  }
}
