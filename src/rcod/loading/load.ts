/** From a folder of files to a checked model on the device. */
import { abortable } from "../../abort.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import { DeviceWeights, sourceByteLength } from "../../graph/weights/device-weights.ts";
import type { FileSet } from "../../weights/index.ts";
import { DEGRADATION_DTYPE } from "../networks/degradation.ts";
import type { DegradationTables } from "../networks/modulation.ts";
import type { ModelPart, PartWeights } from "../networks/stage-graphs.ts";
import { MODEL_PARTS, modelWeights, stageWeights } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { OpenModel, OpenModelOptions } from "./open-model.ts";
import { openModel } from "./open-model.ts";
import { StageResidency } from "./stage-residency.ts";

/** The weights of each part on the device. */
export interface ModelWeights {
  readonly clip: DeviceWeights;
  readonly vae: DeviceWeights;
  readonly unet: DeviceWeights;
  readonly mem?: DeviceWeights;
  readonly degradation?: DeviceWeights;
  /** RCOD_S: the tables of the embeddings, which stay on the host. */
  readonly tables?: DegradationTables;
  /** In low memory: loads and frees the weights stage by stage. Absent where all weights are on the device. */
  readonly residency?: StageResidency;
  /** Closes the files that weights are read from later. */
  readonly close?: () => Promise<void>;
}

/** Weights of a model of which only some parts are needed. */
export type LoadedWeights = Partial<ModelWeights> & Pick<ModelWeights, "vae">;

/** Where parts are given, the VAE is among them. */
export interface LoadWeightsOptions extends OpenModelOptions {
  /** Checks everything, and loads nothing: see `StageResidency`. The files stay open until `disposeWeights`. */
  readonly lowMemory?: boolean;
  readonly onProgress?: ((bytesLoaded: number, bytesTotal: number) => void) | undefined;
}

/** Frees the weights, and closes their files where they are still open. Idempotent. */
export function disposeWeights(weights: LoadedWeights): void {
  weights.residency?.clear();
  for (const part of MODEL_PARTS) weights[part]?.dispose();
  void weights.close?.().catch(() => undefined); // was only read
}

/** Opens and checks all weights (`openModel`), and only then uploads, merges and packs. */
export async function loadWeights(
  gpu: Gpu,
  files: FileSet,
  configs: ModelConfigs,
  dtype: DType,
  options: LoadWeightsOptions = {},
): Promise<ModelWeights> {
  const { signal, onProgress, lowMemory = false } = options;
  const model = await openModel(files, configs, options);
  const weights: Partial<Record<ModelPart, DeviceWeights>> = {};
  try {
    for (const [part, source] of model.sources) {
      const storage = part === "degradation" ? DEGRADATION_DTYPE : dtype;
      weights[part] = new DeviceWeights(gpu, source, { dtype: storage });
    }
    const { checkpoint } = model;
    const loaded = {
      ...(weights as ModelWeights),
      ...(configs.degradation && checkpoint && { tables: await checkpoint.readTables(signal) }),
    };
    if (lowMemory) {
      onProgress?.(0, 0);
      const residency = new StageResidency(gpu, loaded, stageWeights(configs, dtype));
      return { ...loaded, residency, close: model.close };
    }
    await loadAll(model, weights, modelWeights(configs, dtype), options);
    await abortable(submittedWorkDone(gpu), signal); // memory that ran out is found here, not by the first image
    await model.close();
    return loaded;
  } catch (error) {
    for (const part of Object.values(weights)) part.dispose();
    await model.close();
    throw error;
  }
}

async function loadAll(
  { sources }: OpenModel,
  weights: Partial<Record<ModelPart, DeviceWeights>>,
  needed: PartWeights,
  { signal, onProgress }: LoadWeightsOptions,
): Promise<void> {
  const bytesOf = (part: ModelPart, source: TensorSource): number =>
    needed[part].reduce((sum, weight) => sum + sourceByteLength(weight, source), 0);
  const total = [...sources].reduce((sum, [part, source]) => sum + bytesOf(part, source), 0);
  let before = 0;
  for (const [part, source] of sources) {
    await weights[part]?.load(needed[part], {
      onProgress: (bytes) => onProgress?.(before + bytes, total),
      signal,
    });
    before += bytesOf(part, source);
  }
}
