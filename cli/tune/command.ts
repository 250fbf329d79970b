/** `rcod tune`: options only. */
import { InvalidArgumentError, Option } from "commander";
import type { GlobalOptions } from "../command.ts";
import { defineCommand, parseNumber, precisionOption } from "../command.ts";
import { modelOption } from "../model-paths.ts";

export interface TuneOptions extends GlobalOptions {
  readonly model: string;
  /** Output pixels. */
  readonly size: readonly [width: number, height: number];
  /** Default: f16 on GPUs, f32 on software adapters, as the engine itself. */
  readonly precision?: "f32" | "f16";
  /** Seconds. */
  readonly budget: number;
  readonly json?: boolean;
}

const DEFAULT_BUDGET_S = 120;

export const tuneCommand = defineCommand<TuneOptions>(
  (program) =>
    program
      .command("tune")
      .summary("measure which kernel variants are fastest here, and remember it")
      .description(
        "Times the variants of convolution, matrix product and attention at the shapes of a model, each checked " +
          "against the reference first, and stores the winners for this adapter: later runs take them. Needs the " +
          "model's configurations only.",
      )
      .addOption(modelOption())
      .addOption(
        new Option("--size <WxH>", "output pixels whose shapes are measured")
          .argParser(parseSize)
          .default([512, 512], "512x512"),
      )
      .addOption(precisionOption("f16, on a CPU f32"))
      .option(
        "--budget <s>",
        "seconds after which no further class of problems is begun",
        parseNumber(1, 86_400),
        DEFAULT_BUDGET_S,
      )
      .option("--json", "print one JSON object"),
  () => true,
);

function parseSize(text: string): readonly [number, number] {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  const [width, height] = [Number(match?.[1]), Number(match?.[2])];
  if (!(width >= 1 && height >= 1)) throw new InvalidArgumentError("It must be like 512x512.");
  return [width, height];
}
