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
      this.#skipSpace();
      if (this.#text[this.#at] !== ":") throw this.#unexpected('":"');
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
    this.#skipSpace();
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#unexpected("a string");
    let isPlain = true;
    let end = start + 1;
    for (; ; end++) {
      const code = this.#text.charCodeAt(end);
      if (code === 0x22) break;
      if (code === 0x5c) {
        isPlain = false;
        end++;
      } else if (Number.isNaN(code)) {
        throw this.error("string has no end", start);
      } else if (code < 0x20) {
        throw this.error("control character in a string", end);
      }
    }
    this.#at = end + 1;
    const value = isPlain ? this.#text.slice(start + 1, end) : this.#decodeString(start, end + 1);
    if (!value.isWellFormed()) throw this.error("lone surrogate in a string", start);
    return value;
  }

  /**
   * Reads a plain integer from 0 to 2^53 − 1. The text is checked, not the rounded number: `1.0`,
   * `1e3`, `-0` and `01` are errors.
   */
  integer(): number {
    this.#skipSpace();
    const start = this.#at;
    const text = this.#match(NUMBER_LIKE);
    if (text === null) throw this.#unexpected("a non-negative integer");
    const value = Number(text);
    if (!PLAIN_INTEGER.test(text) || !Number.isSafeInteger(value)) {
      throw this.error(`expected a plain integer from 0 to 2^53 - 1, got ${quoted(text)}`, start);
    }
    return value;
  }

  /** Reads any value. Numbers beyond the double range are an error. */
  value(): JsonValue {
    this.#skipSpace();
    const start = this.#at;
    switch (this.#text[start]) {
      case "{": {
        const entries = Object.create(null) as Record<string, JsonValue>;
        this.object((key) => {
          entries[key] = this.value();
        });
        return entries;
      }
      case "[": {
        const items: JsonValue[] = [];
        this.array(() => {
          items.push(this.value());
        });
        return items;
      }
      case '"':
        return this.string();
      default: // a word, a number, or an error
    }
    const word = this.#match(WORD);
    if (word !== null) return word === "null" ? null : word === "true";
    const text = this.#match(NUMBER);
    if (text === null) throw this.#unexpected("a value");
    const number = Number(text);
    if (!Number.isFinite(number)) throw this.error(`number ${quoted(text)} is too large`, start);
    return number;
  }

  /** Checks that nothing but white space follows. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected("the end");
  }

  /** An error at a character position; the caller throws it. */
  error(rule: string, at: number = this.#at): WeightsError {
    return new WeightsError(`weights: ${rule} (${this.#where}, character ${at})`);
  }

  #container(open: string, close: string, what: string, visit: () => void): void {
    this.#skipSpace();
    if (this.#text[this.#at] !== open) throw this.#unexpected(what);
    if (this.#depth === MAX_JSON_DEPTH) throw this.error(`nested deeper than ${MAX_JSON_DEPTH}`);
    this.#depth++;
    this.#at++;
    this.#skipSpace();
    if (this.#text[this.#at] === close) {
      this.#at++;
    } else {
      for (let isLast = false; !isLast;) {
        visit();
        this.#skipSpace();
        const separator = this.#text[this.#at];
        isLast = separator === close;
        if (!isLast && separator !== ",") throw this.#unexpected(`"," or "${close}"`);
        this.#at++;
      }
    }
    this.#depth--;
  }

  #decodeString(start: number, end: number): string {
    try {
      return JSON.parse(this.#text.slice(start, end)) as string;
    } catch {
      throw this.error("bad escape in a string", start);
    }
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#text)?.[0] ?? null;
    if (text !== null) this.#at += text.length;
    return text;
  }

  #skipSpace(): void {
    for (; ; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    }
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
