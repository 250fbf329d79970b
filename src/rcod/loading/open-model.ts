/**
 * A model's weight files, open and checked against its configurations. Needs no GPU. A weight goes this way:
 *
 *   file → `openCheckpoint` (what RCOD trained) and `openPart` (the base, with it in place) → a `TensorSource` per
 *   part → `loadWeights`: `DeviceWeights` packs each matrix and merges its LoRA (`merge.ts`: the same on the host)
 */
import type { LoraUpdate, TensorSource } from "../../graph/weights/device-weights.ts";
import { listSome, quoted } from "../../weights/errors.ts";
import type { FileSet, WeightStem, WeightStore } from "../../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  hasWeights,
  mergeStores,
  openWeightFile,
  openWeightFolder,
  renamedStore,
} from "../../weights/index.ts";
import { IMAGE_PROJ } from "../networks/graphs.ts";
import type { ModelPart, PartWeights } from "../networks/stage-graphs.ts";
import { modelParameters, modelParts } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { expectedTensors } from "./integer-tensors.ts";
import type { RcodCheckpoint } from "./rcod-checkpoint.ts";
import { openCheckpoint } from "./rcod-checkpoint.ts";
import type { OpenOptions } from "./stored-tensors.ts";
import {
  UNUSED_CLIP_TENSORS,
  storeSource,
  withCurrentAttentionNames,
  withPlainNames,
  withVisionPrefix,
} from "./stored-tensors.ts";

/** The checked weights of a model, open for reading. Whoever opens it closes it. */
export interface OpenModel {
  /** By part; the checkpoint's tensors are in place, its LoRA comes with them. */
  readonly sources: ReadonlyMap<ModelPart, TensorSource>;
  /** What the sources were checked against. */
  readonly parameters: PartWeights;
  readonly checkpoint: RcodCheckpoint | null;
  readonly close: () => Promise<void>;
}

export interface OpenModelOptions extends OpenOptions {
  /** Default: all that the model has. */
  readonly parts?: readonly ModelPart[] | undefined;
}

/**
 * Opens the weight files and checks every name and shape of `parts` and of the checkpoint; reads no data. Throws one
 * `WeightsError` with everything that is missing, misshapen or, where `strict`, left over.
 */
export async function openModel(
  files: FileSet,
  configs: ModelConfigs,
  { parts = modelParts(configs), ...options }: OpenModelOptions = {},
): Promise<OpenModel> {
  const parameters = modelParameters(configs);
  const opened: WeightStore[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((store) => store.close()));
  };
  try {
    const problems: string[] = [];
    const checked = async <T>(
      check: () => T,
      kind?: () => Promise<string | null>,
    ): Promise<T | undefined> => {
      try {
        return check();
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
        const got = error.message.includes(" missing") ? await kind?.() : null;
        problems.push(got ? `weights: got ${got}. ${error.message}` : error.message);
        return undefined;
      }
    };
    const checkpoint = await openCheckpoint(files, configs.rcod, options);
    if (checkpoint) opened.push(checkpoint.store);
    const lora = await checked(() => checkpoint?.loraUpdates(parameters, configs, options));
    const sources = new Map<ModelPart, TensorSource>();
    for (const part of parts) {
      const store = await openPart(files, part, checkpoint, options);
      opened.push(store);
      await checked(
        () => checkPart(store, part, parameters[part], options),
        () => foreignKind(store, part),
      );
      await checked(() => checkFloatNames(part, configs, parameters[part]));
      const updates = part === "vae" || part === "unet" ? lora?.get(part) : undefined;
      await checked(() => checkMergeable(part, parameters[part], updates));
      sources.set(part, storeSource(store, updates));
    }
    if (problems.length > 0) throw new WeightsError(problems.join("; "));
    return { sources, parameters, checkpoint, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Checks names, shapes and dtypes of a part's store. Throws one `WeightsError` with all that is wrong; tensors that are
 * only left over are told, unless `strict`.
 */
export function checkPart(
  store: WeightStore,
  part: ModelPart,
  parameters: PartWeights[ModelPart],
  { strict = false, onWarning = () => {} }: OpenOptions = {},
): void {
  checkTensors(store, parameters.flatMap(expectedTensors), {
    unused: part === "clip" ? UNUSED_CLIP_TENSORS : "error",
    ...(!strict && { onUnused: onWarning }),
  });
  if (part === "clip" && store.has(TEXT_EMBEDDING)) {
    onWarning(`weights: the text tower is not used (${store.name})`);
  }
}

/** A misspelt name in the list of floats would say nothing of the matrix that is meant. */
function checkFloatNames(
  part: ModelPart,
  configs: ModelConfigs,
  parameters: PartWeights[ModelPart],
): void {
  if (part === "mem" || part === "degradation") return; // always floats
  const { float = [] } = configs[part].quantization ?? {};
  const matrices = new Set(
    parameters.filter(({ layout }) => layout === "matrix").map(({ name }) => name),
  );
  const unknown = float.filter((name) => !matrices.has(name));
  if (unknown.length === 0) return;
  throw new WeightsError(
    `weights: the floats of ${part}'s quantization must be its matrices, got ${listSome(unknown.map(quoted))}. Correct its config.json`,
  );
}

/** LoRA is merged before weights become integers: afterwards the sum would be rounded once more, and with another scale. */
function checkMergeable(
  part: ModelPart,
  parameters: PartWeights[ModelPart],
  updates: ReadonlyMap<string, LoraUpdate> | undefined,
): void {
  const whole = parameters.find(({ name, storage }) => storage !== undefined && updates?.has(name));
  if (whole === undefined) return;
  throw new WeightsError(
    `weights: LoRA must be merged before weights become ${whole.storage}, got an update of ${part}'s ${quoted(whole.name)}. ` +
      "Convert the base in floats together with its checkpoint",
  );
}

/** A tensor of CLIP's text tower. */
const TEXT_EMBEDDING = "text_model.embeddings.token_embedding.weight";

/** What a part's store is whose names do not fit, when that is another kind of file. */
async function foreignKind(store: WeightStore, part: ModelPart): Promise<string | null> {
  const { KIND_OF_PART, kindOfTensors } = await import("./foreign-names.ts");
  const kind = kindOfTensors(store.names());
  return kind !== null && KIND_OF_PART[part].test(kind) ? null : kind;
}

/**
 * Opens the weight files of one part of a model folder, under the names that the graphs use. What the checkpoint
 * trained in full takes the base's place; `image_proj/` is not read then. The caller closes the store, and after it
 * the checkpoint. Throws `WeightsError` for absent or broken files.
 */
export async function openPart(
  files: FileSet,
  part: ModelPart,
  checkpoint: RcodCheckpoint | null,
  options: OpenOptions = {},
): Promise<WeightStore> {
  const { signal } = options;
  const open = async (folder: string, stem: WeightStem): Promise<WeightStore> => {
    const store = await openWeightFolder(files, folder, stem, signal ? { signal } : {});
    return plainStore(store, options);
  };
  switch (part) {
    case "unet": {
      const base = await open("unet", "diffusion_pytorch_model");
      return checkpoint ? withReplaced(base, checkpoint.trained("unet")) : base;
    }
    case "vae":
      return withCurrentAttentionNames(await open("vae", "diffusion_pytorch_model"));
    case "clip": {
      const tower = withVisionPrefix(await open("image_encoder", "model"));
      if (checkpoint) return withReplaced(tower, checkpoint.trained("clip"));
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
      return openDegradation(files, checkpoint, options);
    default:
      return part satisfies never;
  }
}

async function plainStore(store: WeightStore, options: OpenOptions): Promise<WeightStore> {
  const file = { kind: "safetensors" as const, store, values: new Map() };
  return (await withPlainNames(file, options)).store;
}

/** `base` with the tensors of `trained` in place of its own. Takes over both. */
function withReplaced(base: WeightStore, trained: WeightStore): WeightStore {
  const frozen = renamedStore(base, (name) => (trained.has(name) ? null : name));
  return mergeStores(base.name, [frozen, trained]);
}

/** Scope of the parameters of RCOD_S's metric estimation module, and their prefix in its file. */
export const MEM_SCOPE = "mem.";
const MEM_PREFIX = "state_dict_clip_proj.";

/** The name in the metric estimation module's file of a parameter in `MEM_SCOPE`. */
export function releasedMemName(parameter: string): string {
  return `${MEM_PREFIX}${parameter.slice(MEM_SCOPE.length)}`;
}

/**
 * RCOD_S: the estimator (`de_net.pth`), the checkpoint's modulation layers, and the metric estimation module
 * (`rcod_s_mem.pkl`) where it is there.
 */
async function openDegradation(
  files: FileSet,
  checkpoint: RcodCheckpoint,
  options: OpenOptions,
): Promise<WeightStore> {
  const { signal } = options;
  const { degradationEstimator: estimator, memCheckpoint } = checkpoint.rcod;
  const net = estimator === null ? null : await openWeightFile(files, estimator, signal);
  if (net === null) {
    throw new WeightsError(
      `weights: the degradation estimator ${quoted(estimator ?? "(none)")} of an RCOD_S model must exist ` +
        `(${files.name}). Add the file, or name another as degradation_estimator in rcod_config.json`,
    );
  }
  const stores = [await plainStore(net.store, options)];
  try {
    stores.push(checkpoint.modulationLayers());
    const mem = memCheckpoint === null ? null : await openWeightFile(files, memCheckpoint, signal);
    if (mem) {
      const rename = (name: string): string =>
        name.startsWith(MEM_PREFIX) ? `${MEM_SCOPE}${name.slice(MEM_PREFIX.length)}` : name;
      stores.push(renamedStore(await plainStore(mem.store, options), rename));
    }
    return mergeStores(stores.map(({ name }) => name).join(", "), stores);
  } catch (error) {
    await Promise.all(stores.map((store) => store.close()));
    throw error;
  }
}
