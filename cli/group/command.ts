/** `rcod group`: options only; the work is in the module that `load` imports. */
import { Option } from "commander";
import type { GlobalOptions, RegisterCommand } from "../command.ts";
import { BUNDLED_MODEL } from "../package-root.ts";
import type { Terminal } from "../terminal.ts";

export interface GroupOptions extends GlobalOptions {
  /** The low-quality image, or a folder of them. */
  readonly low: string;
  /** Its original, or a folder with files of the same names. */
  readonly high: string;
  readonly model: string;
  readonly precision: "auto" | "f32" | "f16";
  /** Where the plot goes. */
  readonly out?: string;
  readonly json: boolean;
  readonly terminal: Terminal;
}

/** Checks what it can without a GPU, asks `launch` for a process that has one, and returns the exit code. */
export interface GroupModule {
  readonly runGroup: (
    options: GroupOptions,
    launch: () => Promise<number | null>,
  ) => Promise<number>;
}

/** Registers `rcod group`, with its work behind `load`. */
export function groupCommand(load: () => Promise<GroupModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
    program
      .command("group")
      .summary("latent metric, group and timestep of image pairs")
      .description(
        "Computes the latent metric M_L of a low-quality image and its original (the cosine similarity of their " +
          "latents), and the group and timestep that RCOD trains such images at, by three groups and by four. " +
          "Of two folders, files of the same name are pairs, and a histogram follows.",
      )
      .argument(
        "<lq>",
        "low-quality image as large as the original or four times smaller, or folder",
      )
      .argument("<hq>", "the original, or folder")
      .addOption(
        new Option("--model <folder>", "model whose encoder is used").default(
          BUNDLED_MODEL,
          "the bundled rcod-tiny",
        ),
      )
      .addOption(
        new Option("--precision <p>", "storage of weights and activations")
          .choices(["auto", "f32", "f16"])
          .default("auto"),
      )
      .option("-o, --out <file.svg>", "write the histogram as a plot")
      .option("--json", "print one JSON object")
      .action(async (low: string, high: string, _options, command) => {
        const { launch } = await import("../launch.ts");
        const options = command.optsWithGlobals() as GlobalOptions & {
          readonly model: string;
          readonly precision: GroupOptions["precision"];
          readonly out?: string;
          readonly json?: boolean;
        };
        const { runGroup } = await load();
        finish(
          await runGroup(
            {
              low,
              high,
              model: options.model,
              precision: options.precision,
              ...(options.out !== undefined && { out: options.out }),
              json: options.json ?? false,
              dawnToggles: options.dawnToggles,
              terminal,
            },
            launch,
          ),
        );
      });
  };
}
