/** `rcod bench`: options only. */
import { Option } from "commander";
import type { GlobalOptions } from "../command.ts";
import {
  defineCommand,
  parseInteger,
  parseNumber,
  precisionOption,
  variantPair,
} from "../command.ts";

export interface BenchOptions extends GlobalOptions {
  readonly suite: "kernels" | "model";
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Default: f16 on GPUs, f32 on software adapters, as the engine itself. */
  readonly precision?: "f32" | "f16";
  /** Kernel variants to time, by kernel name; `"all"` for every one. Of a model: to force. */
  readonly variant?: Readonly<Record<string, string>>;
  /** Measured variants for --suite model, as of `loadModel`. */
  readonly autotune?: boolean;
  /** Default: full on GPUs, small on software adapters. */
  readonly scale?: "full" | "small";
  readonly minMs?: number;
  readonly samples?: number;
  /** Seconds, of `--suite kernels`. */
  readonly budget?: number;
  /** Folder of the model for `--suite model`; default: the bundled one. */
  readonly model?: string;
  /** Make the model's weights on the spot: `model` then holds configurations only. */
  readonly recipeWeights?: boolean;
  /** Pixels a side of the model's input, which is noise then. Default: the photo. */
  readonly side?: number;
  /** File for a roofline plot of `--suite kernels`. */
  readonly svg?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export const benchCommand = defineCommand<BenchOptions>(
  (program) =>
    program
      .command("bench")
      .summary("check and time the kernels or a whole model")
      .description(
        "Checks each kernel on the model's shapes, then times it: median, GFLOP/s, GB/s, and the share of what a " +
          "copy and a multiply-add kernel reach in the same run.",
      )
      .addOption(
        new Option("--suite <name>", "what to time")
          .choices(["kernels", "model"])
          .default("kernels"),
      )
      .option("--filter <text>", "only cases whose name contains this text")
      .addOption(precisionOption("f16, on a CPU f32"))
      .option(
        "--variant <kernel=name...>",
        "time this variant of a kernel beside the naive one, e.g. conv2d=tiled (default: all); of a model: force it",
        addVariant,
      )
      .option("--autotune", "measure the model's kernel variants first, where not done yet")
      .option("--no-autotune", "the kernels' own choice of variants for the model")
      .addOption(
        new Option(
          "--scale <s>",
          "the model's own shapes, or small ones (default: full, on a CPU small)",
        ).choices(["full", "small"]),
      )
      .option(
        "--min-ms <n>",
        "repeat a kernel within a pass for at least this long (default: 10)",
        parseNumber(0.1, 10_000),
      )
      .option(
        "--samples <n>",
        "passes or images to time (default: 20, on a CPU 5; images 3)",
        parseInteger(1, 1000),
      )
      .option(
        "--budget <s>",
        "seconds after which no further kernel case is begun (default: none)",
        parseNumber(1, 86_400),
      )
      .option("--model <folder>", "model for --suite model (default: the bundled rcod-tiny)")
      .option(
        "--recipe-weights",
        "make the weights of --model on the spot; the folder needs configurations only",
      )
      .option(
        "--side <n>",
        "pixels a side of the model's input, which is noise then (default: a photo of 128)",
        parseInteger(1, 4096),
      )
      .option("--svg <file>", "write a roofline plot of --suite kernels")
      .option("--force", "replace an existing plot")
      .option("--json", "print one JSON object"),
  () => true,
);

/** Adds `kernel=name` to the variants before it. */
function addVariant(
  text: string,
  variants: BenchOptions["variant"] = {},
): Readonly<Record<string, string>> {
  const [kernel, variant] = variantPair(text);
  return { ...variants, [kernel]: variant };
}
