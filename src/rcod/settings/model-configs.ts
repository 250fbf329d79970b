/** The configurations of a model folder, read and held against each other. */
import type { FileSet, JsonObject } from "../../weights/index.ts";
import { WeightsError, readJson } from "../../weights/index.ts";
import type { ClipConfig, MemConfig, RcodConfig, UNetConfig, VaeConfig } from "./config.ts";
import {
  ConfigError,
  RCOD_O,
  parseClipConfig,
  parseMemConfig,
  parseRcodConfig,
  parseUNetConfig,
  parseVaeConfig,
} from "./config.ts";
import type { DegradationConfig } from "../networks/degradation.ts";
import { readDegradationConfig } from "../networks/degradation.ts";
import { instanceOfCheckpoint } from "../loading/rcod-checkpoint.ts";

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

/** `rcod_config.json` with the instance that its checkpoint shows, where it names none itself. */
async function withInstance(files: FileSet, json: unknown, signal?: AbortSignal): Promise<unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json) || "instance" in json) {
    return json;
  }
  const fields = json as JsonObject;
  const { checkpoint } = fields;
  const instance =
    typeof checkpoint === "string" ? await instanceOfCheckpoint(files, checkpoint, signal) : null;
  if (instance === "RCOD_S") return { ...fields, instance };
  const needsRcodS = ["degradation_estimator", "mem_checkpoint"].filter((key) => key in fields);
  if (needsRcodS.length === 0) return json;
  throw new ConfigError(
    `config: ${needsRcodS.join(" and ")} must come with RCOD_S's checkpoint, got ${instance ? `${instance}'s` : "none"} ` +
      `(${files.name}). Give rcod_s.pkl as the checkpoint, or leave them out`,
  );
}
