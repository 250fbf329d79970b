/** From a folder of files to a checked model on the device. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import type { TensorSource } from "../graph/device-weights.ts";
import { DeviceWeights, sourceByteLength } from "../graph/device-weights.ts";
import type { Graph, Weight } from "../graph/ir.ts";
import { graphWeights } from "../graph/ir.ts";
import { optimize } from "../graph/passes.ts";
import type { FileSet, WeightStem, WeightStore } from "../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  hasWeights,
  mergeStores,
  openWeightFolder,
  readJson,
  renamedStore,
} from "../weights/index.ts";
import { UNUSED_CLIP_TENSORS, storeSource, withCurrentAttentionNames } from "./checkpoint.ts";
import type { ClipConfig, MemConfig, RcodConfig, UNetConfig, VaeConfig } from "./config.ts";
import {
  RCOD_O,
  clipTokens,
  parseClipConfig,
  parseMemConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
  vaeFactor,
} from "./config.ts";
import { ConfigError } from "./config.ts";
import {
  IMAGE_PROJ,
  decoderGraph,
  encoderGraph,
  memGraph,
  tokenGraph,
  unetGraph,
} from "./graphs.ts";
import type { DegradationConfig } from "./degradation.ts";
import {
  DEGRADATION_DTYPE,
  estimatorGraph,
  modulationGraph,
  readDegradationConfig,
} from "./degradation.ts";
import type { DegradationTables } from "./modulation.ts";
import type { RcodCheckpoint, TrainedParameters } from "./rcod-checkpoint.ts";
import { loraUpdates, openCheckpoint, withTrainedTensors } from "./rcod-checkpoint.ts";
import { blockCounts, modulatedUpdates, openDegradation, readTables } from "./rcod-s-checkpoint.ts";

/** All configurations of a model folder. */
export interface ModelConfigs {
  readonly rcod: RcodConfig;
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly clip: ClipConfig;
  /** Null for a model without `mem/`: it cannot choose the timestep itself. */
  readonly mem: MemConfig | null;
  /** What makes RCOD_S depend on the image; null for RCOD_O. */
  readonly degradation: DegradationConfig | null;
}

/** Whether the model predicts the metric that `realism: "auto"` decides by. */
export function predictsMetric({ mem, degradation }: ModelConfigs): boolean {
  return mem !== null || degradation?.hasMem === true;
}

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

/** The parts of a model that have weights of their own on the device. */
export type ModelPart = Exclude<keyof ModelWeights, "tables">;

/**
 * Reads the configurations of a model folder (`unet/`, `vae/`, `image_encoder/config.json`; optional
 * `rcod_config.json` and `mem/config.json`). Throws `WeightsError` for absent files, `ConfigError` for what cannot be run.
 */
export async function readConfigs(files: FileSet, signal?: AbortSignal): Promise<ModelConfigs> {
  const missing: string[] = [];
  const read = async (path: string): Promise<unknown> => {
    const source = await files.open(path);
    if (source === null) {
      missing.push(path);
      return null;
    }
    await source.close();
    return readJson(files, path, signal);
  };
  const unetJson = await read("unet/config.json");
  const vaeJson = await read("vae/config.json");
  const clipJson = await read("image_encoder/config.json");
  if (missing.length > 0) {
    throw new WeightsError(
      `weights: no model in ${files.name}: ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing. ` +
        "A model folder holds unet/, vae/ and image_encoder/, each with weights and config.json, and the weights " +
        "of image_proj/ or a checkpoint. Pieces of different origin are given one by one: model (unet/ and vae/), " +
        "clip, checkpoint",
    );
  }
  const rcodJson = await read("rcod_config.json");
  const memJson = await read("mem/config.json");
  const rcod = rcodJson === null ? RCOD_O : parseRcodConfig(rcodJson);
  const isModulated = rcod.instance === "RCOD_S";
  if (isModulated && memJson !== null) {
    throw new ConfigError(
      "config: an RCOD_S model has its metric estimation module in mem_checkpoint, got mem/ too. Remove mem/",
    );
  }
  const configs: ModelConfigs = {
    rcod,
    unet: parseUNetConfig(unetJson),
    vae: parseVaeConfig(vaeJson),
    clip: parseClipConfig(clipJson),
    mem: memJson === null ? null : parseMemConfig(memJson),
    degradation: isModulated ? await readDegradationConfig(files, rcod, signal) : null,
  };
  const { unet, vae, mem } = configs;
  if (unet.inChannels !== vae.latentChannels || unet.outChannels !== vae.latentChannels) {
    throw new ConfigError(
      `config: the UNet must take and give the VAE's ${vae.latentChannels} latent channels, got ${unet.inChannels} and ${unet.outChannels}`,
    );
  }
  if (mem !== null && mem.inChannels !== vae.latentChannels) {
    throw new ConfigError(
      `config: mem/ must take the VAE's ${vae.latentChannels} latent channels, got ${mem.inChannels}`,
    );
  }
  return configs;
}

/** Graphs of the stages for an output of width × height pixels (multiples of the VAE's factor). */
export function stageGraphs(
  { rcod, unet, vae, clip, mem, degradation }: ModelConfigs,
  height: number,
  width: number,
  dtype: DType,
): {
  readonly tokens: Graph;
  readonly encode: Graph;
  readonly unet: Graph;
  readonly decode: Graph;
  readonly mem?: Graph;
  readonly estimator?: Graph;
  readonly modulation?: Graph;
} {
  const factor = vaeFactor(vae);
  const [h, w] = [height / factor, width / factor];
  return {
    tokens: tokenGraph(clip, unet.crossAttentionDim, dtype),
    encode: encoderGraph(vae, height, width, dtype),
    unet: unetGraph(unet, h, w, clipTokens(clip), dtype),
    decode: decoderGraph(vae, h, w, dtype),
    ...(mem && { mem: memGraph(mem, h, w, dtype) }),
    ...(degradation && {
      estimator: estimatorGraph(
        degradation,
        Math.ceil(height / rcod.upscale),
        Math.ceil(width / rcod.upscale),
      ),
      modulation: modulationGraph(degradation, blockCounts({ unet, vae })),
    }),
  };
}

/** Something of each part of a model; empty for an absent `mem/`. */
type ByPart<T> = Readonly<Record<ModelPart, readonly T[]>>;

/** The checkpoint's parameters of each part, in plain layouts. They do not depend on sizes. */
export function modelParameters(configs: ModelConfigs): ByPart<Weight> {
  const side = vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, "f32");
  return {
    clip: graphWeights(graphs.tokens),
    vae: graphWeights({ nodes: [...graphs.encode.nodes, ...graphs.decode.nodes] }),
    unet: graphWeights(graphs.unet),
    mem: graphs.mem ? graphWeights(graphs.mem) : [],
    degradation:
      graphs.estimator && graphs.modulation
        ? graphWeights({ nodes: [...graphs.estimator.nodes, ...graphs.modulation.nodes] })
        : [],
  };
}

/**
 * What each part loads: the parameters in the layouts that the fused graphs read, whatever the size. An
 * up-sampler of the UNet that does not double exactly reads another layout than one that does; both are loaded.
 */
export function modelWeights(configs: ModelConfigs, dtype: DType): ByPart<Weight> {
  const { unet, vae, clip } = configs;
  // Halved once a level with rounding up, 2^n stays even and 2^n + 1 odd.
  const side = 2 ** unet.blockOutChannels.length;
  const [height, width] = [side * vaeFactor(vae), side * vaeFactor(vae)];
  const graphs = stageGraphs(configs, height, width, dtype);
  const oddUNet = unetGraph(unet, side + 1, side + 1, clipTokens(clip), dtype);
  const weights = (...parts: readonly Graph[]): Weight[] =>
    graphWeights({
      nodes: parts.flatMap((graph) => optimize({ ...graph, named: new Map() }).nodes),
    });
  return {
    clip: weights(graphs.tokens),
    vae: weights(graphs.encode, graphs.decode),
    unet: weights(graphs.unet, oddUNet),
    mem: graphs.mem ? weights(graphs.mem) : [],
    degradation:
      graphs.estimator && graphs.modulation ? weights(graphs.estimator, graphs.modulation) : [],
  };
}

/** The parts that a model has. */
export function modelParts({ mem, degradation }: ModelConfigs): readonly ModelPart[] {
  return [
    "clip",
    "vae",
    "unet",
    ...(mem ? ["mem" as const] : []),
    ...(degradation ? ["degradation" as const] : []),
  ];
}

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
export function checkpointUpdates(
  checkpoint: RcodCheckpoint,
  parameters: TrainedParameters,
  { unet, vae, degradation, rcod }: ModelConfigs,
): ReturnType<typeof loraUpdates> {
  return degradation
    ? modulatedUpdates(checkpoint, parameters, { unet, vae, degradation }, rcod.loraAlpha)
    : loraUpdates(checkpoint, parameters, rcod.loraAlpha);
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
    const checked = <T>(check: () => T): T | undefined => {
      try {
        return check();
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
        problems.push(error.message);
        return undefined;
      }
    };
    const checkpoint =
      rcod.checkpoint === null ? null : await openCheckpoint(files, rcod.checkpoint, signal, rcod);
    if (checkpoint) opened.push(checkpoint.store);
    const lora = checkpoint && checked(() => checkpointUpdates(checkpoint, parameters, configs));
    const sources = new Map<ModelPart, TensorSource>();
    for (const part of parts) {
      const store = await openPart(files, part, checkpoint, signal);
      opened.push(store);
      checked(() => checkPart(store, part, parameters[part]));
      sources.set(part, storeSource(store, lora?.get(part)));
    }
    if (problems.length > 0) throw new WeightsError(problems.join("; "));
    return { sources, checkpoint, close };
  } catch (error) {
    await close();
    throw error;
  }
}

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
