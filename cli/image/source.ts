/** The bytes of image files. Never waits for anybody: only regular files are read. */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { CliError, systemReason, usageError } from "../errors.ts";
import { systemPath } from "../file-name.ts";
import { formatBytes } from "../format.ts";
import { HEAD_BYTES } from "./kinds.ts";

/** Files are in memory while they are read; Node reads no more at once. */
export const MAX_FILE_BYTES = 2 ** 31 - 1;

/** All bytes of a regular file. Throws `CliError` (exit code 2); messages do not repeat the path. */
export async function readImageFile(path: string): Promise<Buffer> {
  return withRegularFile(path, async (handle, size) => {
    if (size > MAX_FILE_BYTES) {
      throw usageError(
        `the file has ${formatBytes(size)}, more than the ${formatBytes(MAX_FILE_BYTES)} that are read. Save it smaller`,
      );
    }
    return handle.readFile();
  });
}

/** The first bytes of a regular file, for `recognise`. Throws as `readImageFile`. */
export async function readHead(path: string): Promise<Buffer> {
  return withRegularFile(path, async (handle) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  });
}

async function withRegularFile<T>(
  path: string,
  read: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a FIFO waits for a writer; Windows has neither.
    handle = await open(systemPath(path), constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = await handle.stat();
    if (stats.isDirectory()) throw usageError("it is a folder");
    if (!stats.isFile()) {
      throw usageError("it is not a regular file. A stream is read by: rcod upscale - < STREAM");
    }
    if (stats.size === 0) throw usageError("the file is empty");
    return await read(handle, stats.size);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw usageError(systemReason(error));
  } finally {
    await handle?.close();
  }
}
