/** `rcod bench`: options only; the work is in the module that `load` imports. */
import { Option } from "commander";
import type { GlobalOptions, RegisterCommand } from "./command.ts";
import type { Terminal } from "./terminal.ts";

export interface BenchOptions extends GlobalOptions {
  readonly suite: "kernels" | "model";
  /** Only cases whose name contains this. */
  readonly filter?: string;
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
      .option("--json", "print one JSON object")
      .action(async (_options, command) => {
        const { launch } = await import("./launch.ts");
        const exitCode = await launch();
        if (exitCode !== null) return finish(exitCode);
        const options = command.optsWithGlobals() as GlobalOptions & {
          readonly suite: "kernels" | "model";
          readonly filter?: string;
          readonly json?: boolean;
        };
        const { runBench } = await load();
        finish(
          await runBench({
            suite: options.suite,
            ...(options.filter !== undefined && { filter: options.filter }),
            json: options.json ?? false,
            dawnToggles: options.dawnToggles,
            terminal,
          }),
        );
      });
  };
}
