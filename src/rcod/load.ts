/** From a folder of files to a checked model on the device. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import { DeviceWeights } from "../graph/device-weights.ts";
import type { Graph, Weight } from "../graph/ir.ts";
import { graphWeights } from "../graph/ir.ts";
import { optimize } from "../graph/passes.ts";
import type { FileSet, WeightStem, WeightStore } from "../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  mergeStores,
  openWeightFolder,
  readJson,
  renamedStore,
} from "../weights/index.ts";
import { UNUSED_CLIP_TENSORS, storeSource, withCurrentAttentionNames } from "./checkpoint.ts";
import type { ClipConfig, RcodConfig, UNetConfig, VaeConfig } from "./config.ts";
import {
  RCOD_O,
  clipTokens,
  parseClipConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
  vaeFactor,
} from "./config.ts";
import { ConfigError } from "./config.ts";
import { IMAGE_PROJ, decoderGraph, encoderGraph, tokenGraph, unetGraph } from "./graphs.ts";

/** All configurations of a model folder. */
export interface ModelConfigs {
  readonly rcod: RcodConfig;
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly clip: ClipConfig;
}

/** The weights of each part on the device. */
export interface ModelWeights {
  readonly clip: DeviceWeights;
  readonly vae: DeviceWeights;
  readonly unet: DeviceWeights;
}

/**
 * Reads the configurations of a model folder (`unet/`, `vae/`, `image_encoder/config.json`; optional
 * `rcod_config.json`). Throws `WeightsError` for absent files, `ConfigError` for what cannot be run.
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
        "A model folder holds unet/, vae/, image_encoder/ and image_proj/, each with weights, the first three with config.json",
    );
  }
  const rcodJson = await read("rcod_config.json");
  const configs: ModelConfigs = {
    rcod: rcodJson === null ? RCOD_O : parseRcodConfig(rcodJson),
    unet: parseUNetConfig(unetJson),
    vae: parseVaeConfig(vaeJson),
    clip: parseClipConfig(clipJson),
  };
  const { unet, vae } = configs;
  if (unet.inChannels !== vae.latentChannels || unet.outChannels !== vae.latentChannels) {
    throw new ConfigError(
      `config: the UNet must take and give the VAE's ${vae.latentChannels} latent channels, got ${unet.inChannels} and ${unet.outChannels}`,
    );
  }
  return configs;
}

/** Graphs of the four stages for an output of width × height pixels (multiples of the VAE's factor). */
export function stageGraphs(
  { unet, vae, clip }: ModelConfigs,
  height: number,
  width: number,
  dtype: DType,
): {
  readonly tokens: Graph;
  readonly encode: Graph;
  readonly unet: Graph;
  readonly decode: Graph;
} {
  const factor = vaeFactor(vae);
  const [h, w] = [height / factor, width / factor];
  return {
    tokens: tokenGraph(clip, unet.crossAttentionDim, dtype),
    encode: encoderGraph(vae, height, width, dtype),
    unet: unetGraph(unet, h, w, clipTokens(clip), dtype),
    decode: decoderGraph(vae, h, w, dtype),
  };
}

/** The parameters of each part, in the layouts that the fused graphs read. They do not depend on sizes. */
export function modelParameters(
  configs: ModelConfigs,
  dtype: DType,
): Readonly<Record<keyof ModelWeights, readonly Weight[]>> {
  const side = 8 * vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, dtype);
  const weights = (...parts: readonly Graph[]): Weight[] =>
    graphWeights({
      nodes: parts.flatMap((graph) => optimize({ ...graph, named: new Map() }).nodes),
    });
  return {
    clip: weights(graphs.tokens),
    vae: weights(graphs.encode, graphs.decode),
    unet: weights(graphs.unet),
  };
}

/** The parts of a model that have weights of their own on the device. */
export const MODEL_PARTS = [
  "clip",
  "vae",
  "unet",
] as const satisfies readonly (keyof ModelWeights)[];

/**
 * Opens the weight files of one part of a model folder, under the names that the graphs use. The caller
 * closes the store. Throws `WeightsError` for absent or broken files.
 */
export async function openPart(
  files: FileSet,
  part: keyof ModelWeights,
  signal?: AbortSignal,
): Promise<WeightStore> {
  const open = (folder: string, stem: WeightStem): Promise<WeightStore> =>
    openWeightFolder(files, folder, stem, signal ? { signal } : {});
  switch (part) {
    case "unet":
      return open("unet", "diffusion_pytorch_model");
    case "vae":
      return withCurrentAttentionNames(await open("vae", "diffusion_pytorch_model"));
    case "clip": {
      const tower = await open("image_encoder", "model");
      try {
        const projection = renamedStore(
          await open("image_proj", "model"),
          (name) => `${IMAGE_PROJ}.${name}`,
        );
        return mergeStores("image_encoder and image_proj", [tower, projection]);
      } catch (error) {
        await tower.close();
        throw error;
      }
    }
    default:
      return part satisfies never;
  }
}

/** Checks names, shapes and dtypes of a part's store. Throws one `WeightsError` with all that is wrong. */
export function checkPart(
  store: WeightStore,
  part: keyof ModelWeights,
  parameters: readonly Weight[],
): void {
  checkTensors(store, parameters, { unused: part === "clip" ? UNUSED_CLIP_TENSORS : "error" });
}

export interface LoadWeightsOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesLoaded: number, bytesTotal: number) => void;
}

/**
 * Opens the weight files, checks every name and shape of all parts, and only then uploads and packs.
 * Throws `WeightsError` with everything that is missing, misshapen or left over.
 */
export async function loadWeights(
  gpu: Gpu,
  files: FileSet,
  configs: ModelConfigs,
  dtype: DType,
  options: LoadWeightsOptions = {},
): Promise<ModelWeights> {
  const { signal, onProgress } = options;
  const stores = new Map<keyof ModelWeights, WeightStore>();
  const made: DeviceWeights[] = [];
  try {
    const parameters = modelParameters(configs, dtype);
    const problems: string[] = [];
    for (const part of MODEL_PARTS) {
      const store = await openPart(files, part, signal);
      stores.set(part, store);
      try {
        checkPart(store, part, parameters[part]);
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
        problems.push(error.message);
      }
    }
    if (problems.length > 0) throw new WeightsError(problems.join("; "));
    const storeOf = (part: keyof ModelWeights): WeightStore => stores.get(part) as WeightStore;
    const bytesOf = (part: keyof ModelWeights): number =>
      parameters[part].reduce((sum, { name }) => sum + storeOf(part).info(name).byteLength, 0);
    const total = MODEL_PARTS.reduce((sum, part) => sum + bytesOf(part), 0);
    let before = 0;
    const load = async (part: keyof ModelWeights): Promise<DeviceWeights> => {
      const weights = new DeviceWeights(gpu, storeSource(storeOf(part)), { dtype });
      made.push(weights);
      await weights.load(parameters[part], {
        onProgress: (loaded) => onProgress?.(before + loaded, total),
        ...(signal && { signal }),
      });
      before += bytesOf(part);
      return weights;
    };
    const loaded: ModelWeights = {
      clip: await load("clip"),
      vae: await load("vae"),
      unet: await load("unet"),
    };
    await submittedWorkDone(gpu); // memory that ran out is found here, not by the first image
    return loaded;
  } catch (error) {
    for (const weights of made) weights.dispose();
    throw error;
  } finally {
    await Promise.all([...stores.values()].map((store) => store.close()));
  }
}
