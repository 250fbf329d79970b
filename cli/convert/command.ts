/** `rcod convert`: options only; the work is in the module that `load` imports. Needs no GPU. */
import { InvalidArgumentError, Option } from "commander";
import type { RegisterCommand } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import {
  checkpointOption,
  clipOption,
  deNetOption,
  memOption,
  modelOption,
  modelPaths,
} from "../model-paths.ts";
import type { Terminal } from "../terminal.ts";

export interface ConvertCliOptions extends ModelPaths {
  /** The folder to write. */
  readonly out: string;
  readonly dtype: "fp16" | "fp32";
  /** Most bytes of tensors in one weight file. */
  readonly shardSize: number;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Returns the exit code. */
export interface ConvertModule {
  readonly runConvert: (options: ConvertCliOptions, terminal: Terminal) => Promise<number>;
}

const DEFAULT_SHARD_BYTES = 200e6;

/** Registers `rcod convert`, with its work behind `load`. */
export function convertCommand(load: () => Promise<ConvertModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
    program
      .command("convert")
      .summary("put a model in pieces together as one self-contained folder")
      .description(
        "Writes one folder that needs no other file: safetensors in shards, RCOD_O's LoRA merged, all configurations, and " +
          "sha256 checksums in manifest.json. Needs no GPU, and little memory. The folder appears complete or not " +
          "at all.",
      )
      .addOption(modelOption())
      .addOption(clipOption())
      .addOption(checkpointOption())
      .addOption(deNetOption())
      .addOption(memOption())
      .requiredOption("-o, --out <folder>", "folder to write")
      .addOption(
        new Option("--dtype <d>", "storage of matrices; vectors are always fp32")
          .choices(["fp16", "fp32"])
          .default("fp16"),
      )
      .addOption(
        new Option(
          "--shard-size <size>",
          "most bytes of tensors in one weight file, such as 200MB or 128MiB",
        )
          .argParser(parseByteCount)
          .default(DEFAULT_SHARD_BYTES, "200MB"),
      )
      .option("--force", "replace a folder that an earlier conversion has written")
      .option("--json", "print one JSON object")
      .option("--quiet", "no progress and no summary, only errors")
      .action(async (_options, command) => {
        const { runConvert } = await load();
        const { out, dtype, shardSize, force, json, quiet, ...paths } =
          command.opts() as ConvertCliOptions;
        const flags = {
          ...(force !== undefined && { force }),
          ...(json !== undefined && { json }),
          ...(quiet !== undefined && { quiet }),
        };
        finish(
          await runConvert({ ...modelPaths(paths), out, dtype, shardSize, ...flags }, terminal),
        );
      });
  };
}

const UNIT_BYTES: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30],
]);

/** `200MB`, `128MiB`, `1.5 GB`, or a number of bytes. */
export function parseByteCount(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (UNIT_BYTES.get(unit.toLowerCase()) ?? NaN));
  if (number !== "" && bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw new InvalidArgumentError("It must be a size such as 200MB, 128MiB or 1GB.");
}
