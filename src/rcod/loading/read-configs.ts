/** The configurations of a model folder, read and held against each other. */
import type { FileSet, JsonObject, WeightFile } from "../../weights/index.ts";
import { WeightsError, openWeightFile, readAheadFiles, readJson } from "../../weights/index.ts";
import { refusalsOf } from "../../weights/sources/source.ts";
import type { RcodConfig } from "../settings/config.ts";
import {
  ConfigError,
  RCOD_O,
  parseClipConfig,
  parseMemConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
  sampleChannels,
} from "../settings/config.ts";
import type { DegradationConfig, LoraPart } from "../settings/degradation-config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { instanceOf } from "./rcod-checkpoint.ts";
import { withPlainNames } from "./stored-tensors.ts";

/**
 * Reads the configurations of a model folder (`unet/`, `vae/`, `image_encoder/config.json`; optional
 * `rcod_config.json` and `mem/config.json`). Throws `WeightsError` for absent files, `ConfigError` for what cannot be run.
 */
export async function readConfigs(files: FileSet, signal?: AbortSignal): Promise<ModelConfigs> {
  const missing: string[] = [];
  const read = async (path: string): Promise<unknown> => {
    const source = await files.open(path, signal);
    if (source === null) {
      missing.push(path);
      return null;
    }
    return readJson({ name: files.name, open: async () => source }, path, signal);
  };
  const unetJson = await read("unet/config.json");
  const vaeJson = await read("vae/config.json");
  const clipJson = await read("image_encoder/config.json");
  if (missing.length > 0) {
    throw new WeightsError(
      `weights: no model in ${files.name}: ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing` +
        `${refusalsOf(files, missing)}. ` +
        "A model folder holds unet/, vae/ and image_encoder/, each with weights and config.json, and the weights " +
        "of image_proj/ or a checkpoint. Pieces of different origin are given one by one: model (unet/ and vae/), " +
        "clip, checkpoint",
    );
  }
  const rcodJson = await withInstance(files, await read("rcod_config.json"), signal);
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
  await checkPrediction(files, unetJson, signal);
  const { unet, vae, mem } = configs;
  const channels = sampleChannels(vae);
  if (unet.inChannels !== channels || unet.outChannels !== channels) {
    const pixels = vae.pixelChannels > 0 ? ` and ${vae.pixelChannels} pixel` : "";
    throw new ConfigError(
      `config: the UNet must take and give the VAE's ${vae.latentChannels} latent${pixels} channels, got ${unet.inChannels} and ${unet.outChannels}`,
    );
  }
  if (mem !== null && mem.inChannels !== vae.latentChannels) {
    throw new ConfigError(
      `config: mem/ must take the VAE's ${vae.latentChannels} latent channels, got ${mem.inChannels}`,
    );
  }
  return configs;
}

/** Context channels of Stable Diffusion 2.x, of which RCOD stands on the 512 pixel version. */
const SD2_CONTEXT = 1024;
const SCHEDULER = "scheduler/scheduler_config.json";

/**
 * Refuses a Stable Diffusion 2.x that predicts velocity, as its version for 768 pixels does: the one-step formula wants
 * noise. The scheduler's configuration says so, or where there is none the UNet's `sample_size`.
 */
async function checkPrediction(files: FileSet, json: unknown, signal?: AbortSignal): Promise<void> {
  const unet = json as JsonObject;
  if (unet["cross_attention_dim"] !== SD2_CONTEXT) return;
  const source = await files.open(SCHEDULER, signal);
  await source?.close();
  const scheduler =
    source === null ? null : ((await readJson(files, SCHEDULER, signal)) as JsonObject);
  const prediction = scheduler?.["prediction_type"];
  const size = unet["sample_size"];
  const isFor768 = scheduler === null && (size === 96 || size === 768);
  if (!isFor768 && (prediction ?? "epsilon") === "epsilon") return;
  const got = isFor768
    ? `a UNet for 768 pixels ("sample_size" ${size}), which predicts velocity`
    : `"prediction_type" ${JSON.stringify(prediction)} in ${SCHEDULER}`;
  throw new ConfigError(
    `config: the UNet must predict noise ("epsilon"), got ${got} (${files.name}). Use Stable Diffusion 2.1-base`,
  );
}

/** What a weight file says without its data. */
interface Peek {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly values: WeightFile["values"];
}

/** Looks into a weight file; null where there is none. Throws `WeightsError` for a broken one. */
async function peek(
  files: FileSet,
  name: string | null,
  signal?: AbortSignal,
): Promise<Peek | null> {
  const file = name === null ? null : await openWeightFile(readAheadFiles(files), name, signal);
  if (file === null) return null;
  const { store, values } = await withPlainNames(file, {});
  try {
    return { shapes: new Map(Array.from(store.names(), (n) => [n, store.info(n).shape])), values };
  } finally {
    await store.close();
  }
}

/**
 * `rcod_config.json` with the instance that its checkpoint shows, where it names none itself. A checkpoint that is
 * absent, broken or neither instance's shows none; whoever loads it says so.
 */
async function withInstance(files: FileSet, json: unknown, signal?: AbortSignal): Promise<unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json) || "instance" in json) {
    return json;
  }
  const fields = json as JsonObject;
  const { checkpoint } = fields;
  const name = typeof checkpoint === "string" ? checkpoint : null;
  const file = await peek(files, name, signal).catch((error: unknown) => {
    if (error instanceof WeightsError) return null;
    throw error;
  });
  const instance = file && instanceOf(file.values);
  if (instance === "RCOD_S") return { ...fields, instance };
  const needsRcodS = ["degradation_estimator", "mem_checkpoint"].filter((key) => key in fields);
  if (needsRcodS.length === 0) return json;
  throw new ConfigError(
    `config: ${needsRcodS.join(" and ")} must come with RCOD_S's checkpoint, got ${instance ? `${instance}'s` : "none"} ` +
      `(${files.name}). Give rcod_s.pkl as the checkpoint, or leave them out`,
  );
}

/** The released sizes. */
const RELEASED: DegradationConfig = {
  estimator: { width: 64, outWidth: 128, hidden: 512 },
  frequencies: 64,
  blockEmbedding: 64,
  ranks: { vae: 16, unet: 32 },
  hasMem: false,
};

/** Far above every real rank; a modulation matrix has its square in elements. */
const MAX_RANK = 1024;

/**
 * RCOD_S's sizes come out of its files, or are the released ones where a file is absent or says nothing. That the
 * sizes fit together is checked later, with all other tensors. Throws `WeightsError` for broken files.
 */
async function readDegradationConfig(
  files: FileSet,
  rcod: RcodConfig,
  signal?: AbortSignal,
): Promise<DegradationConfig> {
  const net = await peek(files, rcod.degradationEstimator, signal);
  const trained = await peek(files, rcod.checkpoint, signal);
  const mem = await peek(files, rcod.memCheckpoint, signal);
  const size = (file: Peek | null, tensor: string, axis: number, released: number): number => {
    const found = file?.shapes.get(tensor)?.[axis] ?? 0;
    return found >= 1 ? found : released;
  };
  const rank = (part: LoraPart): number => {
    const value = Number(trained?.values.get(`rank_${part}`));
    const isRank = Number.isSafeInteger(value) && value >= 1 && value <= MAX_RANK;
    return isRank ? value : RELEASED.ranks[part];
  };
  const { estimator, frequencies, blockEmbedding } = RELEASED;
  const blockTable = "state_embeddings.state_dict_unet_block.weight";
  return {
    estimator: {
      width: size(net, "conv_first.0.weight", 0, estimator.width),
      outWidth: size(net, "body.0.6.weight", 0, estimator.outWidth),
      hidden: size(net, "fc_degree.0.0.weight", 0, estimator.hidden),
    },
    frequencies: size(trained, "w", 0, frequencies),
    blockEmbedding: size(trained, blockTable, 1, blockEmbedding),
    ranks: { vae: rank("vae"), unet: rank("unet") },
    hasMem: mem !== null,
  };
}
