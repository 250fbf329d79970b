/** Reading configurations field by field. */

import { WeightsError, quotedJson } from "../../weights/errors.ts";

/** A config.json that is broken, or asks for what the engine does not have: one more way for a model's files to be wrong. */
export class ConfigError extends WeightsError {
  /** The class, for code that sees several copies of it. */
  override readonly name = "ConfigError";
}

/** Upper bound of any width or count in a config: far above every real model, far below trouble. */
const MAX_COUNT = 65_536;

/** Reads one JSON object field by field, with the file's name in every message. */
export class Fields {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #name: string;

  constructor(json: unknown, name: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new ConfigError(`config: ${name} must be a JSON object, got ${quotedJson(json)}`);
    }
    this.#json = json as Readonly<Record<string, unknown>>;
    this.#name = name;
  }

  has(key: string): boolean {
    return (
      Object.hasOwn(this.#json, key) && this.#json[key] !== null && this.#json[key] !== undefined
    );
  }

  get(key: string): unknown {
    return Object.hasOwn(this.#json, key) ? this.#json[key] : undefined;
  }

  fail(key: string, rule: string): never {
    throw new ConfigError(
      `config: ${this.#name}: "${key}" ${rule}, got ${quotedJson(this.get(key))}`,
    );
  }

  count(key: string, fallback?: number): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.get(key);
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > MAX_COUNT) {
      return this.fail(key, `must be an integer from 1 to ${MAX_COUNT}`);
    }
    return value;
  }

  /** A count of layers: graphs grow with it. */
  layers(key: string, fallback: number, most: number): number {
    const value = this.count(key, fallback);
    return value <= most ? value : this.fail(key, `must be at most ${most}`);
  }

  number(key: string, fallback?: number): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.get(key);
    if (typeof value !== "number" || !Number.isFinite(value))
      return this.fail(key, "must be a finite number");
    return value;
  }

  positive(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    return value > 0 ? value : this.fail(key, "must be above 0");
  }

  flag(key: string, fallback: boolean): boolean {
    if (!this.has(key)) return fallback;
    const value = this.get(key);
    return typeof value === "boolean" ? value : this.fail(key, "must be true or false");
  }

  counts(key: string, fallback?: readonly number[]): readonly number[] {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.get(key);
    if (
      !Array.isArray(value) ||
      value.length < 1 ||
      value.length > 16 ||
      !value.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_COUNT)
    ) {
      return this.fail(key, `must be a list of 1 to 16 integers from 1 to ${MAX_COUNT}`);
    }
    return value as number[];
  }

  /** A list of names from `allowed`, as many as `block_out_channels` has levels. */
  namesByLevel(key: string, allowed: readonly string[], levels: number): readonly string[] {
    const value = this.get(key);
    if (!Array.isArray(value) || !value.every((n) => allowed.includes(n as string))) {
      return this.fail(key, `must be a list of ${allowed.join(" or ")}`);
    }
    return value.length === levels ? (value as string[]) : this.failLevels(key, levels);
  }

  failLevels(key: string, levels: number): never {
    return this.fail(key, `must have ${levels} entries like block_out_channels`);
  }

  /** Refuses any value of `key` but the listed ones (absent is fine). */
  only(key: string, ...allowed: readonly unknown[]): void {
    if (!this.has(key) || allowed.includes(this.get(key))) return;
    if (allowed.length === 0) this.fail(key, "is not supported");
    this.fail(key, `is only supported as ${allowed.map((a) => JSON.stringify(a)).join(" or ")}`);
  }
}
