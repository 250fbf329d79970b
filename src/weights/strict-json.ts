/**
 * A strict JSON reader for files from elsewhere.
 *
 * `JSON.parse` is not enough for them: it keeps the last of two equal keys (two readers may then
 * see two different files), rounds integers silently, and builds whatever the text asks for. A
 * cursor is told by its caller what must come next, so wrong types fail at once and nothing is
 * built from them.
 */
import { quoted, WeightsError } from "./errors.ts";

/** A parsed JSON document. Objects have no prototype, so every key is only a key. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object without a prototype; `"__proto__"` is an ordinary key in it. */
export interface JsonObject {
  /** A member; only own properties. */
  readonly [key: string]: JsonValue;
}

/** Deepest nesting of arrays and objects. Configurations of models use about five levels. */
export const MAX_JSON_DEPTH = 64;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const NUMBER_LIKE = /[-+0-9.eE]+/y;
const PLAIN_INTEGER = /^(?:0|[1-9][0-9]{0,15})$/;
const WORD = /true|false|null/y;

/**
 * Reads one JSON text from start to end. Every method consumes one value and throws a
 * `WeightsError` with the character position when something else stands there.
 */
export class JsonCursor {
  readonly #text: string;
  readonly #where: string;
  #at = 0;
  #depth = 0;

  /** `where` names the file in messages, e.g. `header of "unet.safetensors"`. */
  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  /**
   * Reads an object; `visit` is called after each key and must read exactly its value. Equal keys,
   * also when spelled with different escapes, are an error.
   */
  object(visit: (key: string) => void): void {
    const seen = new Set<string>();
    this.#container("{", "}", "an object", () => {
      const at = this.#at;
      const key = this.string();
      if (seen.has(key)) throw this.error(`key ${quoted(key)} appears twice`, at);
      seen.add(key);
      if (this.#peek() !== ":") throw this.#unexpected('":"');
      this.#at++;
      visit(key);
    });
  }

  /** Reads an array; `visit` is called before each element and must read exactly that element. */
  array(visit: () => void): void {
    this.#container("[", "]", "an array", visit);
  }

  /** Reads a string. Lone surrogates are refused: they cannot be written back as UTF-8. */
  string(): string {
    if (this.#peek() !== '"') throw this.#unexpected("a string");
    const start = this.#at;
    let end = start + 1;
    for (; this.#text[end] !== '"'; end++) {
      if (end >= this.#text.length) throw this.error("string has no end", start);
      if (this.#text[end] === "\\") end++;
    }
    this.#at = end + 1;
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      throw this.error("bad escape or control character in a string", start);
    }
    if (!value.isWellFormed()) throw this.error("lone surrogate in a string", start);
    return value;
  }

  /**
   * Reads a plain integer from 0 to 2^53 − 1. The text is checked, not the rounded number: `1.0`,
   * `1e3`, `-0` and `01` are errors.
   */
  integer(): number {
    this.#peek();
    const start = this.#at;
    const text = this.#match(NUMBER_LIKE);
    if (text === null) throw this.#unexpected("a non-negative integer");
    const value = PLAIN_INTEGER.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value)) return value;
    throw this.error(`expected a plain integer from 0 to 2^53 - 1, got ${quoted(text)}`, start);
  }

  /** Reads any value. Numbers beyond the double range are an error. */
  value(): JsonValue {
    const next = this.#peek();
    if (next === '"') return this.string();
    if (next === "{") {
      const entries = Object.create(null) as Record<string, JsonValue>;
      this.object((key) => {
        entries[key] = this.value();
      });
      return entries;
    }
    if (next === "[") {
      const items: JsonValue[] = [];
      this.array(() => items.push(this.value()));
      return items;
    }
    const word = this.#match(WORD);
    if (word !== null) return word === "null" ? null : word === "true";
    const start = this.#at;
    const text = this.#match(NUMBER);
    if (text === null) throw this.#unexpected("a value");
    const number = Number(text);
    if (!Number.isFinite(number)) throw this.error(`number ${quoted(text)} is too large`, start);
    return number;
  }

  /** Checks that nothing but white space follows. */
  end(): void {
    if (this.#peek() !== undefined) throw this.#unexpected("the end");
  }

  /** An error at a character position; the caller throws it. */
  error(rule: string, at: number = this.#at): WeightsError {
    return new WeightsError(`weights: ${rule} (${this.#where}, character ${at})`);
  }

  #container(open: string, close: string, what: string, visit: () => void): void {
    if (this.#peek() !== open) throw this.#unexpected(what);
    if (this.#depth === MAX_JSON_DEPTH) throw this.error(`nested deeper than ${MAX_JSON_DEPTH}`);
    this.#depth++;
    this.#at++;
    if (this.#peek() !== close) {
      visit();
      for (; this.#peek() === ","; visit()) this.#at++;
      if (this.#peek() !== close) throw this.#unexpected(`"," or "${close}"`);
    }
    this.#at++;
    this.#depth--;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#text)?.[0] ?? null;
    if (text !== null) this.#at += text.length;
    return text;
  }

  /** Skips white space. Gives the character behind it, or undefined at the end. */
  #peek(): string | undefined {
    while (" \n\r\t".includes(this.#text[this.#at] ?? "end")) this.#at++;
    return this.#text[this.#at];
  }

  #unexpected(expected: string): WeightsError {
    const got = this.#text.slice(this.#at, this.#at + 12);
    return this.error(`expected ${expected}, got ${got === "" ? "the end" : quoted(got)}`);
  }
}

/**
 * Parses a whole JSON text strictly: no equal keys, no nesting beyond 64, no infinite numbers.
 * @throws WeightsError with the position; `where` names the file
 */
export function parseStrictJson(text: string, where: string): JsonValue {
  const cursor = new JsonCursor(text, where);
  const value = cursor.value();
  cursor.end();
  return value;
}
