/**
 * Records as short text: JSON, deflated, in base64. Pictures and floats keep 64 levels, a letter each: for looking at, not
 * for computing.
 */

/** The letters of base64, by their values. */
export const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** An array in a record: "A" is `low`, "/" is `high`. */
interface Levels {
  readonly levels: "bytes" | "floats";
  readonly text: string;
  readonly low: number;
  readonly high: number;
}

/** Runs in the page that records too: it gets `letters` because it must not use anything of this module. */
export async function pack(record: unknown, letters: string): Promise<string> {
  const DIGITS = 4;
  const toLevels = (
    levels: "bytes" | "floats",
    values: Iterable<number>,
    low: number,
    high: number,
  ): object => {
    const step = (high - low) / (letters.length - 1) || 1;
    const text = Array.from(values, (value) => letters[Math.round((value - low) / step)]).join("");
    return { levels, text, low, high };
  };
  const json = JSON.stringify(record, (_, value: unknown) => {
    if (value instanceof Uint8ClampedArray) return toLevels("bytes", value, 0, 255);
    if (value instanceof Float32Array) {
      const low = value.reduce((a, b) => Math.min(a, b), Infinity);
      const high = value.reduce((a, b) => Math.max(a, b), -Infinity);
      return toLevels("floats", value, low, high);
    }
    const isFraction = typeof value === "number" && !Number.isInteger(value);
    return isFraction ? Number(value.toPrecision(DIGITS)) : value;
  });
  const stream = new Blob([json]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

export async function unpack(text: string): Promise<unknown> {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text(), (_, value: unknown) =>
    isLevels(value) ? fromLevels(value) : value,
  );
}

function fromLevels({ levels, text, low, high }: Levels): Uint8ClampedArray | Float32Array {
  const step = (high - low) / (LETTERS.length - 1);
  const valueOf = (letter: string): number => low + LETTERS.indexOf(letter) * step;
  return levels === "bytes"
    ? Uint8ClampedArray.from(text, valueOf)
    : Float32Array.from(text, valueOf);
}

function isLevels(value: unknown): value is Levels {
  return typeof value === "object" && value !== null && "levels" in value && "text" in value;
}
