/** `rcod bench`: options only; the work is in the module that `load` imports. */
import { Option } from "commander";
import type { GlobalOptions, RegisterCommand } from "../command.ts";
import { parseInteger, parseNumber } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { variantPair } from "../variant-option.ts";

export interface BenchOptions extends GlobalOptions {
  readonly suite: "kernels" | "model";
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Default: f16 on GPUs, f32 on software adapters, as the engine itself. */
  readonly precision?: "f32" | "f16";
  /** Kernel variants to time, by kernel name; `"all"` for every one. Of a model: to force. */
  readonly variants?: Readonly<Record<string, string>>;
  /** Measured variants for --suite model, as of `loadModel`. */
  readonly autotune?: boolean;
  /** Default: full on GPUs, small on software adapters. */
  readonly scale?: "full" | "small";
  readonly minMs?: number;
  readonly samples?: number;
  /** Folder of the model for `--suite model`; default: the bundled one. */
  readonly model?: string;
  /** Make the model's weights on the spot: `model` then holds configurations only. */
  readonly recipeWeights?: boolean;
  /** File for a roofline plot of `--suite kernels`. */
  readonly svg?: string;
  readonly json: boolean;
  readonly terminal: Terminal;
}

/** Runs in a process that has an adapter; returns the exit code. */
export interface BenchModule {
  readonly runBench: (options: BenchOptions) => Promise<number>;
}

/** Registers `rcod bench`, with its work behind `load`. */
export function benchCommand(load: () => Promise<BenchModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
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
      .addOption(
        new Option("--precision <p>", "storage precision (default: f16, on a CPU f32)").choices([
          "f32",
          "f16",
        ]),
      )
      .option(
        "--variant <kernel=name...>",
        "time this variant of a kernel beside the naive one, e.g. conv2d=tiled (default: all); of a model: force it",
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
      .option("--model <folder>", "model for --suite model (default: the bundled rcod-tiny)")
      .option(
        "--recipe-weights",
        "make the weights of --model on the spot; the folder needs configurations only",
      )
      .option("--svg <file>", "write a roofline plot of --suite kernels")
      .option("--json", "print one JSON object")
      .action(async (_options, command) => {
        const { launch } = await import("../launch.ts");
        const exitCode = await launch();
        if (exitCode !== null) return finish(exitCode);
        const options = command.optsWithGlobals() as GlobalOptions & {
          readonly suite: "kernels" | "model";
          readonly variant?: readonly string[];
          readonly json?: boolean;
        } & Pick<
            BenchOptions,
            | "filter"
            | "precision"
            | "scale"
            | "minMs"
            | "samples"
            | "autotune"
            | "model"
            | "recipeWeights"
            | "svg"
          >;
        const { runBench } = await load();
        finish(
          await runBench({
            suite: options.suite,
            ...(options.filter !== undefined && { filter: options.filter }),
            ...(options.precision !== undefined && { precision: options.precision }),
            ...(options.variant && {
              variants: Object.fromEntries(options.variant.map(variantPair)),
            }),
            ...(options.scale !== undefined && { scale: options.scale }),
            ...(options.minMs !== undefined && { minMs: options.minMs }),
            ...(options.samples !== undefined && { samples: options.samples }),
            ...(options.autotune !== undefined && { autotune: options.autotune }),
            ...(options.model !== undefined && { model: options.model }),
            recipeWeights: options.recipeWeights ?? false,
            ...(options.svg !== undefined && { svg: options.svg }),
            json: options.json ?? false,
            dawnToggles: options.dawnToggles,
            terminal,
          }),
        );
      });
  };
}
