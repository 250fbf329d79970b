/** A file that is read in pieces: from storage, or from the server and then into storage. */
import { WeightsError } from "../weights/index.ts";
import type { ByteSource } from "../weights/index.ts";
import { PIECE_BYTES } from "../weights/sources/manifest.ts";
import { checkPiece } from "../weights/sources/recheck.ts";
import { checkedSource } from "../weights/sources/source.ts";
import type { PieceFiles } from "./piece-files.ts";

/**
 * Pieces in memory at once. A model is loaded nearly, but not quite, in the order of its files: with 8 pieces every
 * fourth piece of a Stable Diffusion is read from storage twice.
 */
const MAX_HELD = 8;

/** The last pieces used of all files of one model: at most 32 MiB. */
export class HeldPieces {
  /** By file and number, least recently used first. */
  readonly #held = new Map<string, Promise<Uint8Array>>();

  get(key: string, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const piece = this.#held.get(key) ?? load();
    this.#held.delete(key);
    this.#held.set(key, piece);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= MAX_HELD) break;
      this.#held.delete(oldest);
    }
    piece.catch(() => {
      if (this.#held.get(key) === piece) this.#held.delete(key);
    });
    return piece;
  }

  clear(): void {
    this.#held.clear();
  }
}

/** A file that may be in storage. */
export interface CachedFile {
  /** Its address. */
  readonly name: string;
  /** Address and version; names locks. */
  readonly key: string;
  readonly byteLength: number;
  readonly pieces: PieceFiles;
  /** SHA-256 of every piece; null where no manifest tells it. */
  readonly hashes: readonly string[] | null;
  readonly held: HeldPieces;
  /** Opens it on the server; called when the first piece is not in storage. */
  readonly openRemote: (signal?: AbortSignal) => Promise<ByteSource>;
  /** Stores a piece if it can be. */
  readonly store: (index: number, bytes: Uint8Array) => Promise<void>;
  readonly onClose: () => void;
}

/** Reads of the file. While one piece is used the next one is fetched, so that neither server nor device waits. */
export function cachedSource(file: CachedFile): ByteSource {
  const { name, key, byteLength, held } = file;
  const count = Math.ceil(byteLength / PIECE_BYTES);
  let remote: Promise<ByteSource> | null = null;

  const fetchPiece = async (index: number, signal?: AbortSignal): Promise<Uint8Array> => {
    remote ??= file.openRemote(signal);
    const source = await remote.catch((error: unknown) => {
      remote = null; // the next read may try again
      throw error;
    });
    const start = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, byteLength - start);
    const bytes = await source.read(start, length, signal);
    const expected = file.hashes?.[index];
    if (expected !== undefined) await checkPiece(bytes, start, expected, name);
    await file.store(index, bytes);
    return bytes;
  };

  const stored = (index: number): Promise<Uint8Array | null> =>
    file.pieces.read(index, file.hashes?.[index]);

  const loadPiece = async (index: number, signal?: AbortSignal): Promise<Uint8Array> => {
    const early = await stored(index);
    if (early !== null) return early;
    // Another tab may fetch the same piece: the second one waits and finds it in storage.
    return withLock(`rcod-webgpu ${key} ${index}`, signal, async () => {
      return (await stored(index)) ?? (await fetchPiece(index, signal));
    });
  };

  const piece = async (index: number, signal?: AbortSignal): Promise<Uint8Array> => {
    const get = (): Promise<Uint8Array> =>
      held.get(`${key} ${index}`, () => loadPiece(index, signal));
    try {
      return await get();
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof WeightsError) throw error;
      return get(); // another reader's request failed, because that reader has stopped
    }
  };

  return checkedSource(
    name,
    byteLength,
    async (offset, length, signal) => {
      if (length === 0) return new Uint8Array(0);
      const first = Math.floor(offset / PIECE_BYTES);
      const last = Math.floor((offset + length - 1) / PIECE_BYTES);
      const bytes = first === last ? null : new Uint8Array(length);
      for (let index = first; index <= last; index++) {
        const whole = await piece(index, signal);
        if (index + 1 < count) void piece(index + 1, signal).catch(() => {});
        const start = Math.max(0, offset - index * PIECE_BYTES);
        const range = whole.subarray(start, offset + length - index * PIECE_BYTES);
        if (bytes === null) return range;
        bytes.set(range, index * PIECE_BYTES + start - offset);
      }
      return bytes as Uint8Array;
    },
    async () => {
      file.onClose();
      await (await remote?.catch(() => null))?.close();
    },
  );
}

/** Runs `work` alone among all tabs of the page's origin, where the browser has locks. */
async function withLock<T>(
  name: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const { locks } = navigator as { readonly locks?: LockManager };
  if (locks === undefined) return work();
  return (await locks.request(name, { ...(signal && { signal }) }, work)) as T;
}
