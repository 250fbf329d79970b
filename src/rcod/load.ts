/** From a folder of files to a checked model on the device. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import type { TensorSource } from "../graph/device-weights.ts";
import { DeviceWeights, sourceByteLength } from "../graph/device-weights.ts";
import type { FileSet } from "../weights/index.ts";
import { DEGRADATION_DTYPE } from "./degradation.ts";
import type { ModelConfigs } from "./model-configs.ts";
import type { ModelPart } from "./model-parts.ts";
import { modelParameters, modelWeights } from "./model-parts.ts";
import type { DegradationTables } from "./modulation.ts";
import { openModel } from "./open-model.ts";
import { readTables } from "./rcod-s-checkpoint.ts";

/** The weights of each part on the device. */
export interface ModelWeights {
  readonly clip: DeviceWeights;
  readonly vae: DeviceWeights;
  readonly unet: DeviceWeights;
  readonly mem?: DeviceWeights;
  readonly degradation?: DeviceWeights;
  /** With `degradation`: its part on the host. */
  readonly tables?: DegradationTables;
}

/** Weights of a model of which only some parts are needed. */
export type LoadedWeights = Partial<ModelWeights> & Pick<ModelWeights, "vae">;

export interface LoadWeightsOptions {
  /** Parts to load and to check, `vae` among them. Default: all. */
  readonly parts?: readonly ModelPart[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesLoaded: number, bytesTotal: number) => void;
}

/** Opens and checks all weights (`openModel`), and only then uploads, merges and packs. */
export async function loadWeights(
  gpu: Gpu,
  files: FileSet,
  configs: ModelConfigs,
  dtype: DType,
  options: LoadWeightsOptions = {},
): Promise<ModelWeights> {
  const { signal, onProgress, parts } = options;
  const needed = modelWeights(configs, dtype);
  const model = await openModel(files, configs, modelParameters(configs), signal, parts);
  const { sources, checkpoint, close } = model;
  const made: DeviceWeights[] = [];
  try {
    const bytesOf = (part: ModelPart, source: TensorSource): number =>
      needed[part].reduce((sum, weight) => sum + sourceByteLength(weight, source), 0);
    const total = [...sources].reduce((sum, [part, source]) => sum + bytesOf(part, source), 0);
    let before = 0;
    const loaded: Partial<Record<ModelPart, DeviceWeights>> = {};
    for (const [part, source] of sources) {
      const storage = part === "degradation" ? DEGRADATION_DTYPE : dtype;
      const weights = new DeviceWeights(gpu, source, { dtype: storage });
      made.push(weights);
      await weights.load(needed[part], {
        onProgress: (bytes) => onProgress?.(before + bytes, total),
        ...(signal && { signal }),
      });
      before += bytesOf(part, source);
      loaded[part] = weights;
    }
    const tables =
      configs.degradation && checkpoint ? { tables: await readTables(checkpoint, signal) } : {};
    await submittedWorkDone(gpu); // memory that ran out is found here, not by the first image
    return { ...(loaded as ModelWeights), ...tables };
  } catch (error) {
    for (const weights of made) weights.dispose();
    throw error;
  } finally {
    await close();
  }
}
