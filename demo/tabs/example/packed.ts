/**
 * Records as short text: JSON, deflated, in base64. Pictures and floats keep 64 levels, a letter each: for looking at, not
 * for computing.
 */
import { takeTurns } from "../../next-frame.ts";

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
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const json = await new Response(stream).text();
  await takeTurns();
  const record: unknown = JSON.parse(json);
  await takeTurns();
  return withArrays(record);
}

/** The record with its arrays, in place. Numbers, of which there are most, are not looked at one by one. */
function withArrays(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isLevels(value)) return fromLevels(value);
  if (Array.isArray(value) && typeof value[0] === "number") return value;
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) record[key] = withArrays(record[key]);
  return value;
}

/** What a letter stands for, by its code. */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) =>
  Math.max(0, LETTERS.indexOf(String.fromCharCode(code))),
);

function fromLevels({ levels, text, low, high }: Levels): Uint8ClampedArray | Float32Array {
  const step = (high - low) / (LETTERS.length - 1);
  const values =
    levels === "bytes" ? new Uint8ClampedArray(text.length) : new Float32Array(text.length);
  for (let i = 0; i < text.length; i++) {
    values[i] = low + (DIGITS[text.charCodeAt(i)] as number) * step;
  }
  return values;
}

function isLevels(value: unknown): value is Levels {
  return typeof value === "object" && value !== null && "levels" in value && "text" in value;
}
