import { quoted, reasonOf, WeightsError } from "../errors.ts";

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
}

/**
 * Checks that `[offset, offset + length)` lies inside a file.
 * @throws WeightsError naming the file
 */
export function checkSourceRange(
  source: Pick<ByteSource, "name" | "byteLength">,
  offset: number,
  length: number,
): void {
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (isCount(offset) && isCount(length) && offset + length <= source.byteLength) return;
  throw new WeightsError(
    `weights: read must lie inside the file, got bytes ${offset} + ${length} of ` +
      `${source.byteLength} (${quoted(source.name)})`,
  );
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

/** The error of every read after `close`. */
export function closedError(name: string): WeightsError {
  return new WeightsError(`weights: file is closed (${quoted(name)})`);
}

/** Bytes that are in memory already. Reads are views, not copies. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  let held: Uint8Array | null = bytes;
  return {
    name,
    byteLength: bytes.byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (held === null) throw closedError(name);
      checkSourceRange(this, offset, length);
      return held.subarray(offset, offset + length);
    },
    async close() {
      held = null;
    },
  };
}

/** A browser `Blob` or `File`; only the ranges asked for are read from disk. */
export function blobSource(name: string, blob: Blob): ByteSource {
  let isClosed = false;
  return {
    name,
    byteLength: blob.size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (isClosed) throw closedError(name);
      checkSourceRange(this, offset, length);
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
    },
    async close() {
      isClosed = true;
    },
  };
}
