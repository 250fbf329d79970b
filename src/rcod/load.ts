/** From a folder of files to a checked model on the device. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import { DeviceWeights } from "../graph/device-weights.ts";
import type { Graph, Weight } from "../graph/ir.ts";
import { graphWeights } from "../graph/ir.ts";
import { optimize } from "../graph/passes.ts";
import type { FileSet, WeightStore } from "../weights/index.ts";
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

/** Where a part lies in a model folder, and what its weight files are called. */
const PARTS = {
  unet: { folder: "unet", stem: "diffusion_pytorch_model" },
  vae: { folder: "vae", stem: "diffusion_pytorch_model" },
  clip: { folder: "image_encoder", stem: "model" },
  proj: { folder: "image_proj", stem: "model" },
} as const;

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
  const opened: WeightStore[] = [];
  const open = async (part: keyof typeof PARTS): Promise<WeightStore> => {
    const { folder, stem } = PARTS[part];
    const store = await openWeightFolder(files, folder, stem, signal ? { signal } : {});
    opened.push(store);
    return store;
  };
  const made: DeviceWeights[] = [];
  try {
    const parameters = modelParameters(configs, dtype);
    const projection = renamedStore(await open("proj"), (name) => `${IMAGE_PROJ}.${name}`);
    const stores: Record<keyof ModelWeights, WeightStore> = {
      clip: mergeStores("image_encoder and image_proj", [await open("clip"), projection]),
      vae: withCurrentAttentionNames(await open("vae")),
      unet: await open("unet"),
    };
    const problems: string[] = [];
    for (const part of ["clip", "vae", "unet"] as const) {
      try {
        checkTensors(stores[part], parameters[part], {
          unused: part === "clip" ? UNUSED_CLIP_TENSORS : "error",
        });
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
        problems.push(error.message);
      }
    }
    if (problems.length > 0) throw new WeightsError(problems.join("; "));
    const totals = (["clip", "vae", "unet"] as const).map((part) =>
      parameters[part].reduce((sum, { name }) => sum + stores[part].info(name).byteLength, 0),
    );
    const total = totals.reduce((sum, bytes) => sum + bytes, 0);
    let before = 0;
    const load = async (part: keyof ModelWeights, bytes: number): Promise<DeviceWeights> => {
      const weights = new DeviceWeights(gpu, storeSource(stores[part]), { dtype });
      made.push(weights);
      await weights.load(parameters[part], {
        onProgress: (loaded) => onProgress?.(before + loaded, total),
        ...(signal && { signal }),
      });
      before += bytes;
      return weights;
    };
    const loaded: ModelWeights = {
      clip: await load("clip", totals[0] ?? 0),
      vae: await load("vae", totals[1] ?? 0),
      unet: await load("unet", totals[2] ?? 0),
    };
    await submittedWorkDone(gpu); // memory that ran out is found here, not by the first image
    return loaded;
  } catch (error) {
    for (const weights of made) weights.dispose();
    throw error;
  } finally {
    await Promise.all(opened.map((store) => store.close()));
  }
}
