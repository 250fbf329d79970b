/** What a command of `rcod` is to `main.ts`, and option parsers that several share. */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import type { Terminal } from "./terminal.ts";

export interface CommandContext {
  readonly terminal: Terminal;
  /** Takes the exit code of the command that ran. */
  readonly finish: (exitCode: number) => void;
}

/** Adds one command to the program. */
export type RegisterCommand = (program: Command, context: CommandContext) => void;

/** Options of the program itself, which every command may use. */
export interface GlobalOptions {
  readonly dawnToggles: readonly string[];
}

/** `a,b` → `["a", "b"]`. */
export function parseList(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** A parser for integers from `min` to `max`, both allowed. */
export function parseInteger(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      const range = max === Number.MAX_SAFE_INTEGER ? `≥ ${min}` : `from ${min} to ${max}`;
      throw new InvalidArgumentError(`It must be an integer ${range}.`);
    }
    return value;
  };
}

/** A parser for decimal numbers from `min` to `max`, both allowed. */
export function parseNumber(min: number, max: number) {
  return (text: string): number => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
    }
    return value;
  };
}
