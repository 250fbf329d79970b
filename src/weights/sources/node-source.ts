/** Files on disk, for Node and Deno. The only module of this layer that imports `node:`. */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { quoted, reasonOf, WeightsError } from "../errors.ts";
import { checkedFiles } from "./files.ts";
import type { FileSet } from "./files.ts";
import type { SingleFile } from "./single-file.ts";
import { allocateBytes, checkedSource } from "./source.ts";
import type { ByteSource } from "./source.ts";

/** Bytes per system call: reads above 2 GiB are refused, and aborting waits for one call. */
const CHUNK_BYTES = 64 * 2 ** 20;

/**
 * Opens a file on disk; only the requested ranges are read.
 * @throws WeightsError when it is absent, a folder, or not readable
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const source = await openFile(path);
  if (source !== null) return source;
  throw new WeightsError(`weights: file must exist (${quoted(path)}). Check the path`);
}

/** Files below a folder on disk. A folder in the place of a file counts as absent. */
export function folderFiles(directory: string): FileSet {
  return checkedFiles(directory, (path) => openFile(join(directory, path)));
}

/** A file on disk that can be opened more than once. */
export function diskFile(path: string): SingleFile {
  return {
    name: path,
    async open(signal) {
      signal?.throwIfAborted();
      return openFile(path);
    },
  };
}

async function openFile(path: string): Promise<ByteSource | null> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(path, "r");
    const status = await handle.stat();
    if (status.isFile()) return handleSource(path, handle, status.size);
    await handle.close();
    return null;
  } catch (cause) {
    await handle?.close();
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return null;
    throw new WeightsError(
      `weights: file cannot be opened, got ${reasonOf(cause)} (${quoted(path)})`,
      { cause },
    );
  }
}

function handleSource(name: string, handle: FileHandle, byteLength: number): ByteSource {
  const read = async (
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> => {
    const bytes = allocateBytes(length, name);
    let done = 0;
    while (done < length) {
      const chunk = Math.min(CHUNK_BYTES, length - done);
      let got: number;
      try {
        got = (await handle.read(bytes, done, chunk, offset + done)).bytesRead;
      } catch (cause) {
        throw new WeightsError(
          `weights: file cannot be read, got ${reasonOf(cause)} (${quoted(name)})`,
          { cause },
        );
      }
      signal?.throwIfAborted();
      if (got === 0) {
        throw new WeightsError(
          `weights: read gave ${done} of ${length} bytes at ${offset} (${quoted(name)}). ` +
            `The file was cut while open; open it again`,
        );
      }
      done += got;
    }
    return bytes;
  };
  return checkedSource(name, byteLength, read, () => handle.close());
}
