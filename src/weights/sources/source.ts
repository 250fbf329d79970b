/** Where bytes come from: files that are read by ranges, and sets of files by path. */
import { listSome, quoted, reasonOf, WeightsError } from "../errors.ts";
import { isCount } from "../tensor-info.ts";

/**
 * Random access to the bytes of one file, wherever it lies. Reads may run at the same time.
 *
 * Whoever opens a source closes it, unless a function says that it takes the source over.
 */
export interface ByteSource {
  /** Path or address, for messages. */
  readonly name: string;
  /** Bytes of the file. */
  readonly byteLength: number;
  /**
   * Exactly `length` bytes from `offset`. The result may be unaligned and may share memory with the
   * source: do not write to it.
   * @throws WeightsError when the bytes are not there; the reason of `signal` when aborted
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Frees what the source holds. Calling it again does nothing; reading afterwards throws. */
  close(): Promise<void>;
}

/** Opens files by relative path, e.g. `unet/config.json`. */
export interface FileSet {
  /** Address or folder name, for messages. */
  readonly name: string;
  /**
   * The file at `path`, which the caller closes, or null when there is none.
   * @throws WeightsError for paths that could leave the folder, and when opening fails
   */
  open(path: string, signal?: AbortSignal): Promise<ByteSource | null>;
  /**
   * What a server said of a file that `open` found absent, such as "HTTP 403", where it did not say that there is none.
   * For messages.
   */
  refusal?(path: string): string | null;
}

/** For messages about absent files: which of them a server refused; empty where it refused none. */
export function refusalsOf(files: FileSet, paths: readonly string[]): string {
  const told = paths.flatMap((path) => {
    const answer = files.refusal?.(path) ?? null;
    return answer === null ? [] : [`${answer} for ${path}`];
  });
  return told.length === 0
    ? ""
    : `. The server answered ${listSome(told)}: they may be there, but denied`;
}

/**
 * A source that checks every read before `read` sees it: not aborted, not closed, inside the file. `close` runs once.
 * A closed source lets go of both functions, and of what they hold.
 */
export function checkedSource(
  name: string,
  byteLength: number,
  read: (offset: number, length: number, signal?: AbortSignal) => Promise<Uint8Array>,
  close?: () => Promise<void>,
): ByteSource {
  let open: { readonly read: typeof read; readonly close: typeof close } | null = { read, close };
  return {
    name,
    byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (open === null) throw new WeightsError(`weights: file is closed (${quoted(name)})`);
      if (isCount(offset) && isCount(length) && offset + length <= byteLength) {
        return open.read(offset, length, signal);
      }
      throw new WeightsError(
        `weights: read must lie inside the file, got bytes ${offset} + ${length} of ` +
          `${byteLength} (${quoted(name)})`,
      );
    },
    async close() {
      const closing = open;
      open = null;
      await closing?.close?.();
    },
  };
}

/**
 * A zeroed array of `length` bytes.
 * @throws WeightsError when the platform refuses one that large
 */
export function allocateBytes(length: number, name: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new WeightsError(
      `weights: no memory for ${length} bytes at once (${quoted(name)}). Read it in ranges`,
      { cause },
    );
  }
}

/** `length` bytes from `offset`, of a `read` that may give fewer at once, but some. */
export async function inParts(
  offset: number,
  length: number,
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const first = await read(offset, length);
  if (first.byteLength === length) return first;
  const bytes = new Uint8Array(length);
  bytes.set(first);
  for (let done = first.byteLength; done < length;) {
    const part = await read(offset + done, length - done);
    bytes.set(part, done);
    done += part.byteLength;
  }
  return bytes;
}

/** Bytes that are in memory already. Reads are views, not copies. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return checkedSource(name, bytes.byteLength, async (offset, length) =>
    bytes.subarray(offset, offset + length),
  );
}

/** A browser `Blob` or `File`; only the requested ranges are read from disk. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return checkedSource(name, blob.size, async (offset, length, signal) => {
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    } catch (cause) {
      throw new WeightsError(
        `weights: file cannot be read, got ${reasonOf(cause)} (${quoted(name)}). ` +
          `If it was changed or moved, choose it again`,
        { cause },
      );
    }
    signal?.throwIfAborted();
    if (bytes.byteLength !== length) {
      throw new WeightsError(
        `weights: read gave ${bytes.byteLength} of ${length} bytes at ${offset} ` +
          `(${quoted(name)}). The file was cut while open; choose it again`,
      );
    }
    return bytes;
  });
}
