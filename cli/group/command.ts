/** `rcod group`: options only. */
import type { GlobalOptions } from "../command.ts";
import { defineCommand, modelPrecisionOption } from "../command.ts";
import { modelOption } from "../model-paths.ts";

export interface GroupOptions extends GlobalOptions {
  /** The low-quality image, or a folder of them. */
  readonly lq: string;
  /** Its original, or a folder with files of the same names. */
  readonly hq: string;
  readonly model: string;
  readonly precision: "auto" | "f32" | "f16";
  /** Where the plot goes. */
  readonly out?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export const groupCommand = defineCommand<GroupOptions>((program) =>
  program
    .command("group")
    .summary("latent metric, group and timestep of image pairs")
    .description(
      "Computes the latent metric M_L of a low-quality image and its original (the cosine similarity of their " +
        "latents), and the group and timestep that RCOD trains such images at, by three groups and by four. " +
        "Of two folders, files of the same name are pairs, and a histogram follows.",
    )
    .argument("<lq>", "low-quality image as large as the original or four times smaller, or folder")
    .argument("<hq>", "the original, or folder")
    .addOption(modelOption("model whose encoder is used"))
    .addOption(modelPrecisionOption())
    .option("-o, --out <file.svg>", "write the histogram as a plot")
    .option("--force", "replace an existing plot")
    .option("--json", "print one JSON object"),
);
