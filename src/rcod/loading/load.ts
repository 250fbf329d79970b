/** From a folder of files to a checked model on the device. */
import { abortable } from "../../abort.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { DeviceWeights, TensorSource } from "../../graph/weights/device-weights.ts";
import { sourceByteLength } from "../../graph/weights/device-weights.ts";
import type { FileSet } from "../../weights/index.ts";
import { DEGRADATION_DTYPE } from "../networks/degradation.ts";
import type { DegradationTables } from "../networks/modulation.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import { MODEL_PARTS } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { OpenModel, OpenModelOptions } from "./open-model.ts";
import { openModel } from "./open-model.ts";
import type { EnterOptions } from "./part-loader.ts";
import { PartLoader } from "./part-loader.ts";
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
  /** How the numbers of parts are stored. Absent where there is nothing to tell and nothing to change. */
  readonly storage?: PartStorage;
}

/** Parts whose numbers f16 cannot hold. */
export interface PartStorage {
  /** What whoever gets a picture should know. */
  readonly notes: Set<string>;
  /**
   * Frees a part's weights, whose programs must be gone, and reads them again in f32. Absent where the caller chose the
   * precision. After a failure the part is `unread`: widen it again.
   */
  readonly widen?: (part: ModelPart, options: EnterOptions) => Promise<void>;
  /** Parts that have no weights, because reading them in f32 has failed. */
  readonly unread: ReadonlySet<ModelPart>;
}

/** Weights of a model of which only some parts are needed. */
export type LoadedWeights = Partial<ModelWeights> & Pick<ModelWeights, "vae">;

/** Where parts are given, the VAE is among them. */
export interface LoadWeightsOptions extends OpenModelOptions {
  /** Checks everything, and loads nothing: see `StageResidency`. The files stay open until `disposeWeights`. */
  readonly lowMemory?: boolean;
  /** Whether parts may be stored in f32 where f16 cannot hold their numbers, now or later: f16 was our choice. */
  readonly mayWiden?: boolean;
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
  const { signal, onProgress, strict, lowMemory = false, mayWiden = false } = options;
  const model = await openModel(files, configs, options);
  const loader = new PartLoader(gpu, configs, model.sources, mayWiden);
  const { weights } = loader;
  try {
    for (const part of model.sources.keys()) {
      loader.prepare(part, partDType(part, configs, dtype, mayWiden));
    }
    if (mayWiden && upcasts(configs, dtype))
      loader.notes.add('vae: its config.json has "force_upcast"; it runs in f32');
    const { checkpoint } = model;
    // The loader's own record: widening replaces weights in it.
    const loaded = Object.assign(weights as ModelWeights, {
      ...(configs.degradation && checkpoint && { tables: await checkpoint.readTables(signal) }),
    });
    if (lowMemory) {
      onProgress?.(0, 0);
      const residency = new StageResidency(gpu, loader);
      const widen = (part: ModelPart): Promise<void> => {
        residency.clear();
        loader.prepare(part, "f32");
        return Promise.resolve(); // its stage reads it
      };
      const storage = {
        notes: loader.notes,
        unread: new Set<ModelPart>(),
        ...(mayWiden && { widen }),
      };
      return Object.assign(loaded, { residency, close: model.close, storage });
    }
    await loadAll(model, loader, options);
    await abortable(submittedWorkDone(gpu), signal); // memory that ran out is found here, not by the first image
    await model.close();
    const unread = new Set<ModelPart>();
    const widen = async (part: ModelPart, enter: EnterOptions): Promise<void> => {
      unread.add(part);
      weights[part]?.dispose();
      const { sources, close } = await openModel(files, configs, {
        parts: [part],
        ...(enter.signal && { signal: enter.signal }),
        ...(strict !== undefined && { strict }),
      });
      try {
        const source = sources.get(part) as TensorSource;
        loader.prepare(part, "f32", source);
        await loader.load(part, { ...enter, source });
        unread.delete(part);
      } finally {
        await close();
      }
    };
    const { notes } = loader;
    const isPlain = !mayWiden && notes.size === 0;
    const storage = { notes, unread, ...(mayWiden && { widen }) };
    return Object.assign(loaded, !isPlain && { storage });
  } catch (error) {
    for (const part of model.sources.keys()) weights[part]?.dispose();
    await model.close();
    throw error;
  }
}

/** Whether the VAE's configuration says that f16 cannot hold its activations. */
const upcasts = ({ vae }: ModelConfigs, dtype: DType): boolean =>
  dtype === "f16" && vae.forceUpcast;

/** The storage of a part at first. */
export function partDType(
  part: ModelPart,
  configs: ModelConfigs,
  dtype: DType,
  mayWiden: boolean,
): DType {
  if (part === "degradation") return DEGRADATION_DTYPE;
  return part === "vae" && mayWiden && upcasts(configs, dtype) ? "f32" : dtype;
}

async function loadAll(
  { sources }: OpenModel,
  loader: PartLoader,
  { signal, onProgress }: LoadWeightsOptions,
): Promise<void> {
  const bytesOf = (part: ModelPart, source: TensorSource): number =>
    loader.needed(part).reduce((sum, weight) => sum + sourceByteLength(weight, source), 0);
  const sizes = new Map([...sources].map(([part, source]) => [part, bytesOf(part, source)]));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let before = 0;
  for (const [part, size] of sizes) {
    await loader.load(part, {
      onProgress: (bytes) => onProgress?.(before + bytes, total),
      signal,
    });
    before += size;
  }
}
