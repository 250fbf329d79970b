/** `rcod tune`: options only; the work is in the module that `load` imports. */
import { InvalidArgumentError, Option } from "commander";
import type { GlobalOptions, RegisterCommand } from "../command.ts";
import { parseNumber } from "../command.ts";
import { modelOption } from "../model-paths.ts";
import type { Terminal } from "../terminal.ts";

export interface TuneOptions extends GlobalOptions {
  readonly model: string;
  /** Output pixels. */
  readonly size: readonly [width: number, height: number];
  /** Default: f16 on GPUs, f32 on software adapters, as the engine itself. */
  readonly precision?: "f32" | "f16";
  readonly budgetMs: number;
  readonly json: boolean;
  readonly terminal: Terminal;
}

/** Runs in a process that has an adapter; returns the exit code. */
export interface TuneModule {
  readonly runTune: (options: TuneOptions) => Promise<number>;
}

const DEFAULT_BUDGET_S = 120;

/** Registers `rcod tune`, with its work behind `load`. */
export function tuneCommand(load: () => Promise<TuneModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
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
      .addOption(
        new Option("--precision <p>", "storage precision (default: f16, on a CPU f32)").choices([
          "f32",
          "f16",
        ]),
      )
      .addOption(
        new Option("--budget <s>", "seconds after which no further class of problems is begun")
          .argParser(parseNumber(1, 86_400))
          .default(DEFAULT_BUDGET_S),
      )
      .option("--json", "print one JSON object")
      .action(async (_options, command) => {
        const { launch } = await import("../launch.ts");
        const exitCode = await launch();
        if (exitCode !== null) return finish(exitCode);
        const { budget, json, ...options } = command.optsWithGlobals() as Pick<
          TuneOptions,
          "model" | "size" | "precision" | "dawnToggles"
        > & { readonly budget: number; readonly json?: boolean };
        const { runTune } = await load();
        finish(
          await runTune({ ...options, budgetMs: 1000 * budget, json: json ?? false, terminal }),
        );
      });
  };
}

function parseSize(text: string): readonly [number, number] {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  const [width, height] = [Number(match?.[1]), Number(match?.[2])];
  if (!(width >= 1 && height >= 1)) throw new InvalidArgumentError("It must be like 512x512.");
  return [width, height];
}
