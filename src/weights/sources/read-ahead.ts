/**
 * Small reads from windows of the file: a checkpoint has hundreds of small tensors, each with a header of its
 * own in an archive, and over the network every read is a request.
 */
import { checkedSource } from "./source.ts";
import type { ByteSource, FileSet } from "./source.ts";

/** Windows lie at multiples of this; reads that long go past them. */
export const WINDOW_BYTES = 2 ** 20;
/** Tensors are used nearly, but not quite, in the order of the file. */
const MAX_WINDOWS = 4;

/** The same files, with small reads served from the last windows read: by default at most 4 MiB for each open file. */
export function readAheadFiles(
  files: FileSet,
  windowBytes = WINDOW_BYTES,
  maxWindows = MAX_WINDOWS,
): FileSet {
  return {
    name: files.name,
    refusal: (path) => files.refusal?.(path) ?? null,
    async open(path, signal) {
      const source = await files.open(path, signal);
      return source && readAheadSource(source, windowBytes, maxWindows);
    },
  };
}

function readAheadSource(source: ByteSource, windowBytes: number, maxWindows: number): ByteSource {
  /** By number, least recently used first. */
  const windows = new Map<number, Uint8Array>();
  const windowAt = async (index: number, signal?: AbortSignal): Promise<Uint8Array> => {
    const start = index * windowBytes;
    const bytes =
      windows.get(index) ??
      (await source.read(start, Math.min(windowBytes, source.byteLength - start), signal));
    windows.delete(index);
    windows.set(index, bytes);
    for (const oldest of windows.keys()) {
      if (windows.size <= maxWindows) break;
      windows.delete(oldest);
    }
    return bytes;
  };
  return checkedSource(
    source.name,
    source.byteLength,
    async (offset, length, signal) => {
      if (length === 0 || length >= windowBytes) return source.read(offset, length, signal);
      const index = Math.floor(offset / windowBytes);
      const start = offset - index * windowBytes;
      const first = (await windowAt(index, signal)).subarray(start, start + length);
      if (first.byteLength === length) return first;
      const rest = (await windowAt(index + 1, signal)).subarray(0, length - first.byteLength);
      const both = new Uint8Array(length);
      both.set(first);
      both.set(rest, first.byteLength);
      return both;
    },
    () => source.close(),
  );
}
