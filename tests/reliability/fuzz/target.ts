/** What the fuzzer needs to know of a reader. */

/** A reader of files from elsewhere, with good files to spoil. */
export interface FuzzTarget {
  readonly name: string;
  /** Good files; each must be read. */
  readonly seeds: readonly Uint8Array<ArrayBuffer>[];
  /** A spoiled copy of a seed. */
  mutate(seed: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer>;
  /**
   * Reads a file to its last byte and gives a text that is equal where the values are. Rejects with an error that
   * `isTyped` knows, and with no other.
   */
  read(bytes: Uint8Array<ArrayBuffer>): Promise<string>;
  /** Whether an error is one that the reader may throw. */
  isTyped(error: unknown): boolean;
}

/** Uniform integers below `n`; the same seed gives the same ones. */
export type Random = (n: number) => number;

/** Mulberry32. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** One to three changes of any kind that needs to know nothing of a format. */
export function mutateBytes(
  seed: Uint8Array<ArrayBuffer>,
  random: Random,
): Uint8Array<ArrayBuffer> {
  let bytes = seed.slice();
  for (let left = 1 + random(3); left > 0 && bytes.byteLength > 0; left--) {
    const at = random(bytes.byteLength);
    const length = 1 + random(Math.min(64, bytes.byteLength - at));
    const interesting = [0, 1, 0x7f, 0x80, 0xff, random(256)][random(6)] as number;
    switch (random(7)) {
      case 0:
        bytes[at] = interesting;
        break;
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << random(8));
        break;
      case 2: // cut
        bytes = bytes.slice(0, at);
        break;
      case 3: // leave out
        bytes = joined(bytes.slice(0, at), bytes.slice(at + length));
        break;
      case 4: // repeat
        bytes = joined(bytes.slice(0, at + length), bytes.slice(at));
        break;
      case 5: // a number of 32 or 64 bits
        bytes.fill(interesting, at, at + (random(2) === 0 ? 4 : 8));
        break;
      default: // move
        bytes.copyWithin(at, random(bytes.byteLength), random(bytes.byteLength));
    }
  }
  return bytes;
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
