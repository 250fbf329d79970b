/** Files that appear complete or not at all. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CliError, systemReason } from "./errors.ts";
import { formatBytes } from "./format.ts";

/** Temporary files of writes in progress, for the exit that cannot wait. */
const temporaryFiles = new Set<string>();

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
  const temporary = join(folder, `.rcod-${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
  let madeFolder: string | undefined;
  temporaryFiles.add(temporary);
  try {
    madeFolder = await mkdir(folder, { recursive: true });
    await writeFile(temporary, bytes, { flag: "wx", ...(signal ? { signal } : {}) });
    signal?.throwIfAborted();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    if (madeFolder !== undefined) await rmdir(folder).catch(() => undefined);
    signal?.throwIfAborted();
    throw new CliError(
      `cannot write ${path} (${formatBytes(bytes.byteLength)}): ${systemReason(error)}`,
    );
  } finally {
    temporaryFiles.delete(temporary);
  }
}

/** Removes the temporary files of unfinished writes at once, for use right before the process ends. */
export function removeTemporaryFiles(): void {
  for (const path of temporaryFiles) {
    try {
      rmSync(path, { force: true });
    } catch {
      // The process ends: there is nobody left to tell.
    }
  }
}
