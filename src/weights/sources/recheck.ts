/**
 * A closer look at a file whose ETag or date is another than before. Where a manifest has checksums they decide; else
 * samples of what was read are compared with what the server sends now.
 */
import { WeightsError } from "../errors.ts";
import type { ManifestFile } from "./manifest.ts";
import { PIECE_BYTES } from "./manifest.ts";
import { sha256 } from "./sha256.ts";
import { inParts } from "./source.ts";

/** Bytes that were read, kept to be compared. */
export interface Sample {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Some bytes of a file, and the version that the server says they are of. */
export interface ReadBytes {
  readonly bytes: Uint8Array;
  readonly validator: string | null;
}

/** Reads a range from the server, or what it sends of its beginning. */
export type ReadRange = (offset: number, length: number) => Promise<ReadBytes>;

/** Requests for one sample until an answer is of the version in question: another machine may answer. */
const MAX_TRIES = 4;

/** Reads that check every piece of the file against its checksum. */
export interface CheckedPieces {
  /** @throws WeightsError for bytes of another version */
  read(offset: number, length: number, readRange: ReadRange): Promise<Uint8Array>;
}

/**
 * Throws where a version has other bytes than those in `samples`. Gives the versions that were compared, `validator`
 * among them.
 */
export async function compareSamples(
  url: string,
  samples: readonly Sample[],
  validator: string,
  readRange: ReadRange,
): Promise<ReadonlySet<string>> {
  const seen = new Set([validator]);
  for (const { offset, bytes } of samples.slice()) {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const again = await readRange(offset, bytes.byteLength);
      if (!again.bytes.every((byte, i) => byte === bytes[i])) {
        throw new WeightsError(
          `weights: file must stay the same while it is read, got other bytes at ${offset} in version ` +
            `${again.validator ?? validator} than before (${url}). It was replaced on the server; load it again`,
        );
      }
      if (again.validator !== null) seen.add(again.validator);
      if (again.validator === validator) break;
    }
  }
  return seen;
}

/** The pieces of a file; null where no manifest has their checksums, or the page cannot compute them. */
export function checkedPieces(url: string, listed: ManifestFile | undefined): CheckedPieces | null {
  const hashes = listed?.pieces;
  if (listed === undefined || !hashes || globalThis.crypto?.subtle === undefined) return null;
  /** The last two pieces: small reads lie near each other. */
  const held = new Map<number, Uint8Array>();
  const pieceAt = async (index: number, readRange: ReadRange): Promise<Uint8Array> => {
    const known = held.get(index);
    if (known) return known;
    const start = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, listed.byteLength - start);
    const readPart = async (at: number, count: number): Promise<Uint8Array> =>
      (await readRange(at, count)).bytes;
    const bytes = await inParts(start, length, readPart);
    await checkPiece(bytes, start, hashes[index] as string, url);
    held.set(index, bytes);
    const [oldest] = held.keys();
    if (held.size > 2 && oldest !== undefined) held.delete(oldest);
    return bytes;
  };
  return {
    async read(offset, length, readRange) {
      return inParts(offset, length, async (at, count) => {
        const index = Math.floor(at / PIECE_BYTES);
        const start = at - index * PIECE_BYTES;
        return (await pieceAt(index, readRange)).subarray(start, start + count);
      });
    },
  };
}

/** Throws where the bytes from `start` on are not those of a manifest. */
export async function checkPiece(
  bytes: Uint8Array,
  start: number,
  expected: string,
  url: string,
): Promise<void> {
  const got = await sha256(bytes);
  if (got === expected) return;
  throw new WeightsError(
    `weights: bytes ${start} to ${start + bytes.byteLength - 1} must have the sha256 ${expected} of the manifest, got ` +
      `${got} (${url}). The file on the server is damaged or of another conversion; put the folder there again`,
  );
}
