/** `rcod adapter`: options only. */
import { Argument } from "commander";
import type { GlobalOptions } from "../command.ts";
import { defineCommand } from "../command.ts";

const ACTIONS = ["status", "install", "remove"] as const;

export interface AdapterOptions extends GlobalOptions {
  readonly action: (typeof ACTIONS)[number];
  readonly yes?: boolean;
  readonly json?: boolean;
}

export const adapterCommand = defineCommand<AdapterOptions>((program) =>
  program
    .command("adapter")
    .summary("software adapters for machines without a GPU: see, install, remove")
    .description(
      "Where no GPU answers, commands compute on the CPU, by SwiftShader, which comes along, or by llvmpipe of a current " +
        "Mesa, which is more than twice as fast. `install` has apt fetch Mesa from Debian's archive into your cache folder: " +
        "no root, nothing is installed in the system, and commands take it from then on. `remove` deletes it. `status` " +
        "says what there is and which is used.",
    )
    .addArgument(new Argument("<action>", "what to do").choices(ACTIONS))
    .option("-y, --yes", "install without asking")
    .option("--json", "print one JSON object (status)"),
);
