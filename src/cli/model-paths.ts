/** Where the command line finds a model: one folder, or its pieces. Shared by all commands that read one. */
import { stat } from "node:fs/promises";
import { Option } from "commander";
import type { FileSet } from "../weights/index.ts";
import { usageError } from "./errors.ts";
import { BUNDLED_MODEL } from "./package-root.ts";

/** Paths on disk, as `ModelSources` in the library. */
export interface ModelPaths {
  readonly model: string;
  readonly clip?: string;
  readonly checkpoint?: string;
}

/** `--model`, with the bundled model as its default. */
export function modelOption(): Option {
  return new Option("--model <folder>", "model in diffusers layout: unet/, vae/, …").default(
    BUNDLED_MODEL,
    "the bundled rcod-tiny",
  );
}

export function clipOption(): Option {
  return new Option("--clip <folder>", "CLIP ViT-L/14 in transformers layout, for image_encoder/");
}

export function checkpointOption(): Option {
  return new Option("--checkpoint <file>", "what RCOD_O trained on top of the model: rcod_o.pkl");
}

/** Only the paths of a command's options. */
export function modelPaths({ model, clip, checkpoint }: ModelPaths): ModelPaths {
  return {
    model,
    ...(clip !== undefined && { clip }),
    ...(checkpoint !== undefined && { checkpoint }),
  };
}

/** Checks that folders are folders and files are files. Throws `CliError` (exit code 2). */
export async function checkModelPaths({ model, clip, checkpoint }: ModelPaths): Promise<void> {
  await checkFolder("model", model, "the folder in diffusers layout that holds it");
  if (clip !== undefined) {
    await checkFolder("CLIP", clip, "the folder with its config.json and weights");
  }
  if (checkpoint === undefined) return;
  const stats = await stat(checkpoint).catch(() => undefined);
  if (stats === undefined) throw usageError(`checkpoint ${checkpoint} does not exist`);
  if (!stats.isFile()) {
    throw usageError(`checkpoint ${checkpoint} is a folder; give the file, such as rcod_o.pkl`);
  }
}

async function checkFolder(what: string, path: string, advice: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) throw usageError(`${what} folder ${path} does not exist`);
  if (!stats.isDirectory()) throw usageError(`${what} ${path} is a file; give ${advice}`);
}

/** The model as one folder; the engine is imported only once a command needs it. */
export async function modelFilesAt({ model, clip, checkpoint }: ModelPaths): Promise<FileSet> {
  const [{ modelFiles }, { diskFile, folderFiles }] = await Promise.all([
    import("../rcod/model-source.ts"),
    import("../weights/node-source.ts"),
  ]);
  return modelFiles({
    model: folderFiles(model),
    ...(clip !== undefined && { clip: folderFiles(clip) }),
    ...(checkpoint !== undefined && { checkpoint: diskFile(checkpoint) }),
  });
}
