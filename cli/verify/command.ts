/** `rcod verify`: options only. */
import type { GlobalOptions } from "../command.ts";
import { defineCommand, precisionOption } from "../command.ts";

export interface VerifyOptions extends GlobalOptions {
  /** Golden files, or folders that hold them. None: those of the package. */
  readonly path: readonly string[];
  /** Default: both. */
  readonly precision?: "f32" | "f16";
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Include `full_*` and `e2e_*` files. */
  readonly full?: boolean;
  /** Kernel variants to force, see `parseVariantRounds`. */
  readonly variant?: readonly string[];
  readonly json?: boolean;
}

export const verifyCommand = defineCommand<VerifyOptions>(
  (program) =>
    program
      .command("verify")
      .summary("check that this GPU computes right, against golden files")
      .description(
        "Runs every kernel on small cases that come with the program, compares with stored results, mostly of " +
          "PyTorch, and says in one sentence whether this GPU computes right. Of golden files (.safetensors), or of " +
          "every such file directly in a folder, it runs all cases and prints a line for each output. Exit code 1 " +
          "when any is off by more than its limit.",
      )
      .argument("[path...]", "golden files, or folders (default: those of the program)")
      .addOption(precisionOption("both"))
      .option("--filter <text>", "only cases whose name contains this text")
      .option(
        "--variant <kernel=name...>",
        "force a variant of a kernel, e.g. conv2d=naive; conv2d=all or all: each in turn, the files once for each",
      )
      .option("--full", "include the full_* and e2e_* files (minutes)")
      .option("--json", "print one JSON object"),
  () => true,
);
