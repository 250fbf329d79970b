/**
 * Whether a file on a server stays the same while it is read. Ranges of two versions must not be put together.
 *
 * `If-Range` would ask the server to check, but is a header for which a browser asks permission first, of servers on other
 * origins that seldom give it; the ETag of an answer says the same. But an ETag may differ by the machine that
 * answers, so another one is only a reason to look closer: see `recheck.ts`.
 */
import type { ManifestFile } from "./manifest.ts";
import type { CheckedPieces, ReadRange, Sample } from "./recheck.ts";

/** Bytes of a sample: the end of a read, for two trainings of one model have the same header. */
const SAMPLE_BYTES = 2 ** 16;
/** The first read and the last ones. */
const SAMPLES = 4;
/** Validators after which they are taken for meaningless: some servers make a new one for each answer. */
const MAX_VALIDATORS = 8;

/** The reads of one file. */
export class VersionWatch {
  readonly #url: string;
  readonly #listed: ManifestFile | undefined;
  /** All under which these bytes came so far. */
  readonly #validators: Set<string>;
  readonly #samples: Sample[] = [];
  #pieces: CheckedPieces | null = null;

  constructor(url: string, validator: string | null, listed: ManifestFile | undefined) {
    this.#url = url;
    this.#listed = listed;
    this.#validators = new Set(validator === null ? [] : [validator]);
  }

  /**
   * Bytes of the version that was opened: the range, or its beginning.
   * @throws WeightsError where they are of another
   */
  async read(offset: number, length: number, readRange: ReadRange): Promise<Uint8Array> {
    if (this.#pieces) return this.#pieces.read(offset, length, readRange);
    const { bytes, validator } = await readRange(offset, length);
    if (validator !== null && this.#isOther(validator)) {
      // Loaded on demand: few servers need it.
      const { checkedPieces, compareSamples } = await import("./recheck.ts");
      const pieces = checkedPieces(this.#url, this.#listed);
      const read = pieces
        ? async (at: number, count: number) => ({
            bytes: await pieces.read(at, count, readRange),
            validator,
          })
        : readRange;
      const seen = await compareSamples(this.#url, this.#samples, validator, read);
      for (const each of seen) this.#validators.add(each);
      this.#pieces = pieces;
      if (pieces) return pieces.read(offset, length, readRange);
    }
    if (this.#samples.length === SAMPLES) this.#samples.splice(1, 1);
    const start = Math.max(0, bytes.byteLength - SAMPLE_BYTES);
    this.#samples.push({ offset: offset + start, bytes: bytes.slice(start) });
    return bytes;
  }

  #isOther(validator: string): boolean {
    const { size } = this.#validators;
    return size > 0 && size < MAX_VALIDATORS && !this.#validators.has(validator);
  }
}
