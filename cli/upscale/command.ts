/** `rcod upscale`: image files in, larger image files out. */
import { Option } from "commander";
import type { Precision } from "../../src/rcod/settings/options.ts";
import type { GlobalOptions } from "../command.ts";
import { defineCommand, modelPrecisionOption } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import { addPieceOptions, modelOption } from "../model-paths.ts";
import type { PictureOptions } from "./picture-options.ts";
import { addEngineOptions, addRealismOptions, addResultOptions } from "./picture-options.ts";

export interface UpscaleCliOptions extends GlobalOptions, ModelPaths, PictureOptions {
  /** Files, folders and globs; `-` for standard input. */
  readonly input: readonly string[];
  readonly out?: string;
  readonly recursive?: boolean;
  readonly skipExisting?: boolean;
  /** Default: whether there are several images. */
  readonly keepGoing?: boolean;
  readonly precision: Precision;
  readonly lowMemory?: boolean;
  readonly autotune?: boolean;
  readonly force?: boolean;
  readonly plan?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export const upscaleCommand = defineCommand<UpscaleCliOptions>((program) => {
  const command = program
    .command("upscale")
    .summary("upscale images four times, or to a size")
    .description(
      "Upscales images four times in width and height, or as --scale and --width say. PNG, JPEG, WebP, AVIF, GIF, TIFF " +
        "and BMP files, folders and globs; results go beside the inputs as NAME-x4 (-x2, -1920x1080) in the same format, " +
        "or where --out says. Profile, EXIF and the rest of what a file says are kept where the format has a place for them.",
    )
    .argument("<input...>", "image files, folders, or globs in quotes; - reads standard input")
    .option(
      "-o, --out <path>",
      "result file, - for standard output, or a folder (existing, or ending in /) for several",
    );
  addResultOptions(command)
    .option("--recursive", "search folders below folders, and make the same ones below --out")
    .addOption(
      new Option("--skip-existing", "leave out images whose result is there").conflicts("force"),
    )
    .option("--keep-going", "go on after an image that fails (default where there are several)")
    .option("--no-keep-going", "end at the first image that fails")
    .addOption(modelOption());
  addRealismOptions(addPieceOptions(command))
    .addOption(modelPrecisionOption())
    .option("--autotune", "measure kernel variants first, where that was not done yet (rcod tune)")
    .option("--no-autotune", "kernels' own choice of variants, whatever was measured")
    .option(
      "--low-memory",
      "keep only the weights of the stage that runs on the GPU, read anew for each (slower, same picture)",
    );
  return addEngineOptions(command)
    .option("--force", "replace existing results")
    .option("--plan", "only say what each image will take: size, regions, time, GPU memory")
    .option("--json", "print one JSON object with sizes, timings, adapter and memory")
    .option("--quiet", "no progress, no notes and no summary, only errors");
});
