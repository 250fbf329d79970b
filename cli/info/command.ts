/** `rcod info`: options only; the work is in the module that `load` imports. Needs no GPU. */
import { Argument, InvalidArgumentError, Option } from "commander";
import type { GlobalOptions, RegisterCommand } from "../command.ts";
import type { ModelPaths } from "../model-paths.ts";
import {
  checkpointOption,
  clipOption,
  deNetOption,
  memOption,
  modelPaths,
} from "../model-paths.ts";
import { BUNDLED_MODEL } from "../package-root.ts";
import type { Terminal } from "../terminal.ts";

/** `model` is a folder in diffusers layout (configs alone are enough for a plan), or a single file to list. */
export interface InfoOptions extends ModelPaths {
  /** Output size in pixels, `[width, height]`. */
  readonly outputSize: readonly [number, number];
  /** Storage precisions to plan for. */
  readonly precisions: readonly ("f32" | "f16")[];
  readonly json: boolean;
  /** Plan for the adapter of this machine instead of the WebGPU defaults: the Dawn switches to ask it with. */
  readonly adapter?: { readonly dawnToggles: readonly string[] };
  readonly terminal: Terminal;
}

/** Returns the exit code. */
export interface InfoModule {
  readonly runInfo: (options: InfoOptions) => Promise<number>;
}

/** Registers `rcod info`, with its work behind `load`. */
export function infoCommand(load: () => Promise<InfoModule>): RegisterCommand {
  return (program, { terminal, finish }) => {
    program
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
      )
      .addOption(clipOption())
      .addOption(checkpointOption())
      .addOption(deNetOption())
      .addOption(memOption())
      .addOption(
        new Option("--size <w[xh]>", "output size in pixels")
          .argParser(parseSize)
          .default([512, 512], "512x512"),
      )
      .addOption(
        new Option("--precision <p>", "storage precision (default: both)").choices(["f32", "f16"]),
      )
      .option("--adapter", "plan for this machine's adapter, not for the WebGPU defaults")
      .option("--json", "print one JSON object")
      .action(async (model: string, options, command) => {
        if (options.adapter === true) {
          const { launch } = await import("../launch.ts");
          const exitCode = await launch();
          if (exitCode !== null) return finish(exitCode);
        }
        const { runInfo } = await load();
        const { dawnToggles } = command.optsWithGlobals() as GlobalOptions;
        const precision = options.precision as "f32" | "f16" | undefined;
        finish(
          await runInfo({
            ...modelPaths({ ...(command.opts() as Omit<ModelPaths, "model">), model }),
            outputSize: options.size as readonly [number, number],
            precisions: precision === undefined ? ["f32", "f16"] : [precision],
            json: options.json === true,
            ...(options.adapter === true && { adapter: { dawnToggles } }),
            terminal,
          }),
        );
      });
  };
}

/** `512` or `640x480`. */
function parseSize(text: string): readonly [number, number] {
  const match = /^([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a size such as 512 or 640x480.");
  return [Number(match[1]), Number(match[2] ?? match[1])];
}
