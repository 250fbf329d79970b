/** `rcod verify`: options only; the work is in the module that `load` imports. */
import { Option } from "commander";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import type { GlobalOptions, RegisterCommand } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { parseVariantRounds } from "../variant-option.ts";

export interface VerifyOptions extends GlobalOptions {
  /** Golden files, or folders that hold them. At least one. */
  readonly paths: readonly string[];
  /** Both when the user gives none. */
  readonly precisions: readonly ("f32" | "f16")[];
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Include `full_*` and `e2e_*` files. */
  readonly full: boolean;
  /** Kernel variants to force: the files run once for each choice. */
  readonly variants?: readonly VariantChoice[];
  readonly json: boolean;
  readonly terminal: Terminal;
}

/** Runs in a process that has an adapter; returns the exit code. */
export interface VerifyModule {
  readonly runVerify: (options: VerifyOptions) => Promise<number>;
}

/** Registers `rcod verify`, with its work behind `load`. */
export function verifyCommand(load: () => Promise<VerifyModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
    program
      .command("verify")
      .summary("check that this GPU computes right, against golden files")
      .description(
        "Runs every case of golden files (.safetensors), or of every such file directly in a folder, and compares " +
          "with the stored results. Exit code 1 when any case is off by more than its limit.",
      )
      .argument("<path...>", "golden files, or folders")
      .addOption(
        new Option("--precision <p>", "storage precision (default: both)").choices(["f32", "f16"]),
      )
      .option("--filter <text>", "only cases whose name contains this text")
      .option(
        "--variant <kernel=name...>",
        "force a variant of a kernel, e.g. conv2d=naive; conv2d=all or all: each in turn, the files once for each",
      )
      .option("--full", "include the full_* and e2e_* files (minutes)")
      .option("--json", "print one JSON object")
      .action(async (paths: readonly string[], _options, command) => {
        const { launch } = await import("../launch.ts");
        const exitCode = await launch();
        if (exitCode !== null) return finish(exitCode);
        const options = command.optsWithGlobals() as GlobalOptions & {
          readonly precision?: "f32" | "f16";
          readonly filter?: string;
          readonly variant?: readonly string[];
          readonly full?: boolean;
          readonly json?: boolean;
        };
        const { runVerify } = await load();
        finish(
          await runVerify({
            paths,
            precisions: options.precision === undefined ? ["f32", "f16"] : [options.precision],
            ...(options.filter !== undefined && { filter: options.filter }),
            ...(options.variant && {
              variants: parseVariantRounds(options.variant),
            }),
            full: options.full ?? false,
            json: options.json ?? false,
            dawnToggles: options.dawnToggles,
            terminal,
          }),
        );
      });
  };
}
