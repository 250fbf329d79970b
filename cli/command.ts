/** What a command of `rcod` is to `main.ts`, and option parsers that several commands share. */
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { usageError } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/** What a command needs of the program. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Takes the exit code of the command that ran. */
  readonly finish: (exitCode: number) => void;
}

/** Options of the program itself, which every command may use. */
export interface GlobalOptions {
  readonly dawnToggles: readonly string[];
}

/** The work of a command. Returns the exit code. Throws what `main` reports in one line. */
export type Run<Options> = (options: Options, terminal: Terminal) => Promise<number>;

/** Adds one command to the program. */
export type RegisterCommand = (program: Command, context: CommandContext) => void;

/** A command without its work, which `load` imports once the command runs. */
export type CommandDefinition<Options> = (load: () => Promise<Run<Options>>) => RegisterCommand;

/**
 * A command. `define` adds its name, help and options to the program. `Options` is what commander parses: the
 * options under their long names, the arguments under theirs. `launchesFirst` says whether the command starts
 * with `launch`; a command that checks its input first calls `launch` itself.
 */
export function defineCommand<Options extends object>(
  define: (program: Command) => Command,
  launchesFirst: (options: Options) => boolean = () => false,
): CommandDefinition<Options> {
  return (load) =>
    (program, { terminal, finish }) => {
      const command = define(program);
      command.action(async () => {
        const named = command.registeredArguments.map((argument, index) => [
          argument.name(),
          command.processedArgs[index],
        ]);
        const options: Options = { ...command.optsWithGlobals(), ...Object.fromEntries(named) };
        if (launchesFirst(options)) {
          const { launch } = await import("./launch.ts");
          const exitCode = await launch();
          if (exitCode !== null) return finish(exitCode);
        }
        const run = await load();
        finish(await run(options, terminal));
      });
    };
}

/** `--precision` of a command that takes f32 or f16; `byDefault` says what it does without. */
export function precisionOption(byDefault: "both" | "f16, on a CPU f32"): Option {
  return new Option("--precision <p>", `storage precision (default: ${byDefault})`).choices([
    "f32",
    "f16",
  ]);
}

/** `--precision` of a command that loads a model. */
export function modelPrecisionOption(): Option {
  return new Option("--precision <p>", "storage of weights and activations")
    .choices(["auto", "f32", "f16"])
    .default("auto");
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

/** `"conv2d=tiled"` as its two names. Throws `CliError` for anything else. */
export function variantPair(text: string): readonly [kernel: string, variant: string] {
  const [kernel = "", variant = "", ...rest] = text.split("=");
  if (kernel !== "" && variant !== "" && rest.length === 0) return [kernel, variant];
  throw usageError(`--variant must be kernel=name, e.g. conv2d=tiled, got ${JSON.stringify(text)}`);
}
