/** `rcod upscale`: image files in, image files four times as wide and high out. */
import { InvalidArgumentError, Option } from "commander";
import { MIN_TILE } from "../../src/rcod/settings/options.ts";
import type { Precision } from "../../src/rcod/settings/options.ts";
import type { GlobalOptions } from "../command.ts";
import { defineCommand, modelPrecisionOption, parseInteger, parseNumber } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import { addPieceOptions, modelOption } from "../model-paths.ts";

const REALISM_WORDS = ["fidelity", "neutral", "realism", "auto"] as const;

export interface UpscaleCliOptions extends GlobalOptions, ModelPaths {
  /** Files, folders and globs. */
  readonly input: readonly string[];
  readonly out?: string;
  readonly realism?: (typeof REALISM_WORDS)[number] | number;
  readonly timestep?: number;
  readonly color?: "adain" | "wavelet" | "none";
  readonly precision: Precision;
  readonly lowMemory?: boolean;
  readonly autotune?: boolean;
  readonly seed?: number;
  readonly tile?: number;
  readonly reference?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export const upscaleCommand = defineCommand<UpscaleCliOptions>((program) => {
  const command = program
    .command("upscale")
    .summary("upscale images four times")
    .description(
      "Upscales images four times in width and height. PNG, JPEG and WebP files, folders and globs; results " +
        "go beside the inputs as NAME-x4 in the same format, or where --out says.",
    )
    .argument("<input...>", "image files, folders, or globs in quotes")
    .option("-o, --out <path>", "result file, or a folder (existing, or ending in /) for several")
    .addOption(modelOption());
  return addPieceOptions(command)
    .option(
      "--realism <r>",
      "fidelity, neutral, realism, auto (chosen for each image), or a number from 0 to 1",
      parseRealism,
    )
    .addOption(
      new Option("--timestep <t>", "diffusion timestep from 0 to 999, instead of --realism")
        .argParser(parseNumber(0, 999))
        .conflicts("realism"),
    )
    .addOption(
      new Option("--color <method>", "colour correction towards the input").choices([
        "adain",
        "wavelet",
        "none",
      ]),
    )
    .addOption(modelPrecisionOption())
    .option("--autotune", "measure kernel variants first, where that was not done yet (rcod tune)")
    .option("--no-autotune", "kernels' own choice of variants, whatever was measured")
    .option(
      "--low-memory",
      "keep only the weights of the stage that runs on the GPU, read anew for each (slower, same picture)",
    )
    .option(
      "--seed <n>",
      "sample the encoding with this seed (default: its mode)",
      parseInteger(0, 2 ** 32 - 1),
    )
    .option(
      "--tile <n>",
      "side in output pixels above which the VAE works in tiles of that side, at least 64 (default: only where the whole does not fit the GPU)",
      parseInteger(MIN_TILE),
    )
    .option("--reference", "reproduce the reference implementation, quirks included")
    .option("--force", "replace existing results")
    .option("--json", "print one JSON object with sizes, timings, adapter and memory")
    .option("--quiet", "no progress and no summary, only errors");
});

function parseRealism(text: string): (typeof REALISM_WORDS)[number] | number {
  const word = REALISM_WORDS.find((candidate) => candidate === text);
  if (word !== undefined) return word;
  try {
    return parseNumber(0, 1)(text);
  } catch {
    throw new InvalidArgumentError(
      `It must be ${REALISM_WORDS.join(", ")} or a number from 0 to 1.`,
    );
  }
}
