/**
 * One version of one file in browser storage, as pieces that are files themselves.
 *
 * A piece appears complete or not at all, in any thread: `createWritable` writes beside the file and swaps. One large
 * file that is written in place would need a worker, and a closed tab could leave anything in it. The checksum of a
 * piece follows its bytes.
 */
import { PIECE_BYTES } from "../weights/sources/manifest.ts";
import { digestOf, hexOf } from "../weights/sources/sha256.ts";

const DIGEST_BYTES = 32;

/** The stored pieces of one version of a file. */
export class PieceFiles {
  readonly #directory: FileSystemDirectoryHandle;
  readonly #byteLength: number;

  constructor(directory: FileSystemDirectoryHandle, byteLength: number) {
    this.#directory = directory;
    this.#byteLength = byteLength;
  }

  /** Bytes of all pieces that are not stored. */
  async missingBytes(): Promise<number> {
    let missing = this.#byteLength;
    for await (const name of this.#directory.keys()) {
      if (/^\d+$/.test(name)) missing -= this.#lengthOf(Number(name));
    }
    return missing;
  }

  /**
   * A piece, whose checksum must be `expected` if that is given. Null where it is absent, unreadable or damaged; then it
   * may be written again.
   */
  async read(index: number, expected?: string): Promise<Uint8Array<ArrayBuffer> | null> {
    let stored: Uint8Array<ArrayBuffer>;
    try {
      const handle = await this.#directory.getFileHandle(String(index));
      stored = new Uint8Array(await (await handle.getFile()).arrayBuffer());
    } catch {
      return null;
    }
    const bytes = stored.subarray(0, this.#lengthOf(index));
    const digest = hexOf(stored.subarray(bytes.byteLength));
    const isSound = digest === (expected ?? digest) && digest === hexOf(await digestOf(bytes));
    return isSound ? bytes : null;
  }

  /** Throws what the browser says, such as a QuotaExceededError; then nothing is left of the piece. */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    const handle = await this.#directory.getFileHandle(String(index), { create: true });
    const writable = await handle.createWritable();
    try {
      await writable.write(bytes as Uint8Array<ArrayBuffer>);
      await writable.write(await digestOf(bytes));
      await writable.close();
    } catch (error) {
      await writable.abort().catch(() => {});
      await this.#directory.removeEntry(String(index)).catch(() => {});
      throw error;
    }
  }

  #lengthOf(index: number): number {
    return Math.max(0, Math.min(PIECE_BYTES, this.#byteLength - index * PIECE_BYTES));
  }
}

/** Bytes that a directory of pieces takes. */
export async function storedBytes(directory: FileSystemDirectoryHandle): Promise<number> {
  let bytes = 0;
  for await (const handle of directory.values()) {
    if (handle.kind === "directory") bytes += await storedBytes(handle);
    else if (/^\d+$/.test(handle.name)) {
      const { size } = await handle.getFile();
      bytes += Math.max(0, size - DIGEST_BYTES);
    }
  }
  return bytes;
}
