import type { Weight } from "../../graph/ir/ir.ts";
/** A model's weight files, open and checked against its configurations. Needs no GPU. */
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import type { FileSet, WeightStem, WeightStore } from "../../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  hasWeights,
  mergeStores,
  openWeightFolder,
  renamedStore,
} from "../../weights/index.ts";
import { IMAGE_PROJ } from "../networks/graphs.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import { modelParts } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { RcodCheckpoint, TrainedParameters } from "./rcod-checkpoint.ts";
import { loraUpdates, openCheckpoint, withTrainedTensors } from "./rcod-checkpoint.ts";
import { modulatedUpdates, openDegradation } from "./rcod-s-checkpoint.ts";
import { UNUSED_CLIP_TENSORS, storeSource, withCurrentAttentionNames } from "./stored-tensors.ts";

/**
 * Opens the weight files of one part of a model folder, under the names that the graphs use, with what the
 * checkpoint trained in full in its place: with a checkpoint `image_proj/` is not read. The caller closes the
 * store, and after it the checkpoint. Throws `WeightsError` for absent or broken files.
 */
export async function openPart(
  files: FileSet,
  part: ModelPart,
  checkpoint: RcodCheckpoint | null,
  signal?: AbortSignal,
): Promise<WeightStore> {
  const open = (folder: string, stem: WeightStem): Promise<WeightStore> =>
    openWeightFolder(files, folder, stem, signal ? { signal } : {});
  switch (part) {
    case "unet": {
      const base = await open("unet", "diffusion_pytorch_model");
      return checkpoint ? withTrainedTensors(base, checkpoint, "unet") : base;
    }
    case "vae":
      return withCurrentAttentionNames(await open("vae", "diffusion_pytorch_model"));
    case "clip": {
      const tower = await open("image_encoder", "model");
      if (checkpoint) return withTrainedTensors(tower, checkpoint, "clip");
      try {
        const projection = renamedStore(
          await open("image_proj", "model"),
          (name) => `${IMAGE_PROJ}.${name}`,
        );
        return mergeStores("image_encoder and image_proj", [tower, projection]);
      } catch (error) {
        await tower.close();
        if (await hasWeights(files, "image_proj", "model", signal)) throw error;
        throw new WeightsError(
          `weights: the token projection must come from a checkpoint or from image_proj/, got neither ` +
            `(${files.name}). Give the checkpoint, or add the folder`,
        );
      }
    }
    case "mem":
      return open("mem", "model");
    case "degradation":
      if (checkpoint === null) throw new Error("internal: RCOD_S without a checkpoint");
      return openDegradation(files, checkpoint, signal);
    default:
      return part satisfies never;
  }
}

/** Checks names, shapes and dtypes of a part's store. Throws one `WeightsError` with all that is wrong. */
export function checkPart(
  store: WeightStore,
  part: ModelPart,
  parameters: readonly Weight[],
): void {
  checkTensors(store, parameters, { unused: part === "clip" ? UNUSED_CLIP_TENSORS : "error" });
}

/**
 * The updates that a checkpoint brings, by part and parameter. Throws one `WeightsError` with all that is wrong
 * with it; the layers of `openDegradation` are a part of their own.
 */
export async function checkpointUpdates(
  checkpoint: RcodCheckpoint,
  parameters: TrainedParameters,
  { unet, vae, degradation, rcod }: ModelConfigs,
): Promise<ReturnType<typeof loraUpdates>> {
  if (degradation === null) return loraUpdates(checkpoint, parameters, rcod.loraAlpha);
  return modulatedUpdates(checkpoint, parameters, { unet, vae, degradation }, rcod.loraAlpha);
}

/** The checked weights of a model, open for reading. Whoever opens it closes it. */
export interface OpenModel {
  /** By part; the checkpoint's tensors are in place, its LoRA comes with them. */
  readonly sources: ReadonlyMap<ModelPart, TensorSource>;
  readonly checkpoint: RcodCheckpoint | null;
  readonly close: () => Promise<void>;
}

/**
 * Opens the weight files and checks every name and shape of `parts` (default: all) and of the checkpoint; reads
 * no data. Throws one `WeightsError` with everything that is missing, misshapen or left over.
 */
export async function openModel(
  files: FileSet,
  configs: ModelConfigs,
  parameters: Readonly<Record<ModelPart, readonly Weight[]>>,
  signal?: AbortSignal,
  parts: readonly ModelPart[] = modelParts(configs),
): Promise<OpenModel> {
  const { rcod } = configs;
  const opened: WeightStore[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((store) => store.close()));
  };
  try {
    const problems: string[] = [];
    const checked = async <T>(check: () => T | Promise<T>): Promise<T | undefined> => {
      try {
        return await check();
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
        problems.push(error.message);
        return undefined;
      }
    };
    const checkpoint =
      rcod.checkpoint === null ? null : await openCheckpoint(files, rcod.checkpoint, signal, rcod);
    if (checkpoint) opened.push(checkpoint.store);
    const lora =
      checkpoint && (await checked(async () => checkpointUpdates(checkpoint, parameters, configs)));
    const sources = new Map<ModelPart, TensorSource>();
    for (const part of parts) {
      const store = await openPart(files, part, checkpoint, signal);
      opened.push(store);
      await checked(() => checkPart(store, part, parameters[part]));
      sources.set(part, storeSource(store, lora?.get(part)));
    }
    if (problems.length > 0) throw new WeightsError(problems.join("; "));
    return { sources, checkpoint, close };
  } catch (error) {
    await close();
    throw error;
  }
}
