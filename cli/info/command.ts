/** `rcod info`: options only. Needs no GPU but for --adapter. */
import { Argument, InvalidArgumentError, Option } from "commander";
import type { GlobalOptions } from "../command.ts";
import { defineCommand, precisionOption } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import { addPieceOptions } from "../model-paths.ts";
import { BUNDLED_MODEL } from "../package-root.ts";

/** `model` is a folder in diffusers layout (configs alone are enough for a plan), or a single file to list. */
export interface InfoOptions extends GlobalOptions, ModelPaths {
  /** Output size in pixels. */
  readonly size: readonly [width: number, height: number];
  /** Storage precision to plan for. Default: both. */
  readonly precision?: "f32" | "f16";
  /** Plan for the adapter of this machine instead of the WebGPU defaults. */
  readonly adapter?: boolean;
  readonly json?: boolean;
}

export const infoCommand = defineCommand<InfoOptions>(
  (program) => {
    const command = program
      .command("info")
      .summary("a model's modules, parameters, bytes and memory plan, or what a file holds")
      .description(
        "Shows the modules of a model, their parameters and bytes, and the memory plan and its peak for an output " +
          "size. Needs no GPU, and no weights beside the configs. Of a single file (.safetensors, .pkl, .pth, .pt, " +
          ".bin, an index or a config) it lists the tensors and other values; nothing in it is executed.",
      )
      .addArgument(
        new Argument("[model]", "folder in diffusers layout, or one file").default(
          BUNDLED_MODEL,
          "the bundled rcod-tiny",
        ),
      );
    return addPieceOptions(command)
      .addOption(
        new Option("--size <w[xh]>", "output size in pixels")
          .argParser(parseSize)
          .default([512, 512], "512x512"),
      )
      .addOption(precisionOption("both"))
      .option("--adapter", "plan for this machine's adapter, not for the WebGPU defaults")
      .option("--json", "print one JSON object");
  },
  ({ adapter = false }) => adapter,
);

/** `512` or `640x480`. */
function parseSize(text: string): readonly [number, number] {
  const match = /^([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a size such as 512 or 640x480.");
  return [Number(match[1]), Number(match[2] ?? match[1])];
}
