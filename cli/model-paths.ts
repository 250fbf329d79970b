/** Where the command line finds a model: one folder, or its pieces. Shared by all commands that read one. */
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { Option } from "commander";
import type { ModelFiles } from "../src/rcod/loading/model-source.ts";
import { defined } from "./defined.ts";
import { usageError } from "./errors.ts";
import { BUNDLED_MODEL } from "./package-root.ts";

/** Paths on disk, as `ModelSources` in the library. */
export interface ModelPaths {
  readonly model: string;
  readonly clip?: string;
  readonly checkpoint?: string;
  readonly deNet?: string;
  readonly mem?: string;
  /** Refuse tensors that the model does not use. */
  readonly strict?: boolean;
}

/** Pieces that are one file each: option, what it holds, name of the published file. */
const FILES = [
  ["checkpoint", "checkpoint", "rcod_o.pkl"],
  ["deNet", "degradation estimator", "de_net.pth"],
  ["mem", "metric estimation module", "rcod_s_mem.pkl"],
] as const;

/** `--model`, with the bundled model as its default. */
export function modelOption(
  help = "model in diffusers layout (unet/, vae/, …), or Stable Diffusion 2.x in one file",
): Option {
  return new Option("--model <folder>", help).default(BUNDLED_MODEL, "the bundled rcod-tiny");
}

/** The options that give pieces beside the model's folder. */
export function addPieceOptions(command: Command): Command {
  return command
    .option("--clip <folder>", "CLIP ViT-L/14 in transformers layout, for image_encoder/")
    .option(
      "--checkpoint <file>",
      "what RCOD trained on top of the model: rcod_o.pkl or rcod_s.pkl",
    )
    .option("--de-net <file>", "RCOD_S: degradation estimator, de_net.pth")
    .option("--mem <file>", "RCOD_S: metric estimation module, rcod_s_mem.pkl")
    .option("--strict", "refuse tensors that the model does not use, instead of a note");
}

/** Only the paths of a command's options. */
export function modelPaths({ model, clip, checkpoint, deNet, mem }: ModelPaths): ModelPaths {
  return { model, ...defined({ clip, checkpoint, deNet, mem }) };
}

/** Whether the paths are one folder or file, and no pieces beside it. */
export function isWhole(paths: ModelPaths): boolean {
  return Object.keys(modelPaths(paths)).length === 1;
}

/** Checks that folders are folders and files are files. Throws `CliError` (exit code 2). */
export async function checkModelPaths(paths: ModelPaths): Promise<void> {
  // Stable Diffusion may lie in one file; what that holds is seen when it is opened.
  if (!ONE_FILE.test(paths.model) || !(await isFile(paths.model))) {
    await checkFolder("model", paths.model, "the folder in diffusers layout that holds it");
  }
  if (paths.clip !== undefined) {
    await checkFolder("CLIP", paths.clip, "the folder with its config.json and weights");
  }
  for (const [option, what, example] of FILES) {
    const path = paths[option];
    if (path === undefined) continue;
    const stats = await stat(path).catch(() => undefined);
    if (stats === undefined) throw usageError(`${what} ${path} does not exist`);
    if (!stats.isFile()) {
      throw usageError(`${what} ${path} is a folder; give the file, such as ${example}`);
    }
  }
}

/** Ends of the names of models in one file. */
const ONE_FILE = /\.(?:safetensors|ckpt|pt|pth|bin)$/i;

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

async function checkFolder(what: string, path: string, advice: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) throw usageError(`${what} folder ${path} does not exist`);
  if (!stats.isDirectory()) throw usageError(`${what} ${path} is a file; give ${advice}`);
}

/** The model as one folder; the engine is imported only once a command needs it. */
export async function modelFilesAt(paths: ModelPaths): Promise<ModelFiles> {
  const [{ modelFiles }, { diskFile, folderFiles }] = await Promise.all([
    import("../src/rcod/loading/model-source.ts"),
    import("../src/weights/sources/node-source.ts"),
  ]);
  return modelFiles({
    model: (await isFile(paths.model)) ? diskFile(paths.model) : folderFiles(paths.model),
    ...(paths.clip !== undefined && { clip: folderFiles(paths.clip) }),
    ...(paths.checkpoint !== undefined && { checkpoint: diskFile(paths.checkpoint) }),
    ...(paths.deNet !== undefined && { deNet: diskFile(paths.deNet) }),
    ...(paths.mem !== undefined && { mem: diskFile(paths.mem) }),
  });
}
