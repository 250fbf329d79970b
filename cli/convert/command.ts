/** `rcod convert`: options only. Needs no GPU. */
import { InvalidArgumentError, Option } from "commander";
import type { QuantizationRecipe } from "../../src/rcod/loading/quantization-recipe.ts";
import { QUANTIZATION_RECIPES } from "../../src/rcod/loading/quantization-recipe.ts";
import type { ScaleBlock } from "../../src/rcod/settings/quantization.ts";
import { SCALE_BLOCKS } from "../../src/rcod/settings/quantization.ts";
import { defineCommand } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import { addPieceOptions, modelOption } from "../model-paths.ts";

export interface ConvertCliOptions extends ModelPaths {
  /** The folder to write. */
  readonly out: string;
  readonly dtype: "fp16" | "fp32";
  /** Matrices as integers; absent: in `dtype`. */
  readonly weights?: QuantizationRecipe;
  /** Input channels that share a scale, of integers; absent: 32. */
  readonly block?: ScaleBlock;
  /** Most bytes of tensors in one weight file. */
  readonly shardSize: number;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const DEFAULT_SHARD_BYTES = 200e6;

export const convertCommand = defineCommand<ConvertCliOptions>((program) => {
  const command = program
    .command("convert")
    .summary("put a model in pieces together as one self-contained folder")
    .description(
      "Writes one folder that needs no other file: safetensors in shards, RCOD_O's LoRA merged, all configurations, and " +
        "sha256 checksums in manifest.json. Needs no GPU, and little memory. The folder appears complete or not " +
        "at all.",
    )
    .addOption(modelOption());
  return addPieceOptions(command)
    .requiredOption("-o, --out <folder>", "folder to write")
    .addOption(
      new Option("--dtype <d>", "storage of matrices; vectors are always fp32")
        .choices(["fp16", "fp32"])
        .default("fp16"),
    )
    .addOption(
      new Option(
        "--weights <w>",
        "matrices as integers: 8 bits, 4, or 4 in the UNet and CLIP and 8 in the VAE; few stay in --dtype",
      ).choices(QUANTIZATION_RECIPES),
    )
    .addOption(
      new Option(
        "--block <n>",
        "input channels that share a scale, with --weights: 32 (default), or 64 for fewer bytes and a larger error",
      ).argParser(parseScaleBlock),
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
    .option("--quiet", "no progress and no summary, only errors");
});

function parseScaleBlock(text: string): ScaleBlock {
  const block = SCALE_BLOCKS.find((length) => String(length) === text);
  if (block !== undefined) return block;
  throw new InvalidArgumentError(`It must be ${SCALE_BLOCKS.join(" or ")}.`);
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
