/** `rcod doctor`: options only. */
import type { GlobalOptions } from "../command.ts";
import { defineCommand } from "../command.ts";

export interface DoctorOptions extends GlobalOptions {
  readonly json?: boolean;
}

export const doctorCommand = defineCommand<DoctorOptions>((program) =>
  program
    .command("doctor")
    .summary("what WebGPU offers here, and whether it computes right")
    .description(
      "Shows the adapter, its features and limits and what they mean, runs a small computation with a known " +
        "answer, and says what to do when something is missing. Exit code 1 when nothing can compute.",
    )
    .option("--json", "print one JSON object"),
);
