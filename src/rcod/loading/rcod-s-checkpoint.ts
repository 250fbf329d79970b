/**
 * RCOD_S's files: `rcod_s.pkl` (LoRA, conv_in, token projection, modulation layers), `de_net.pth` (estimator)
 * and `rcod_s_mem.pkl` (metric estimation), as torch.save wrote them or flattened into safetensors:
 *
 *   state_dict_unet.<module>.lora_A.default.weight, lora_B …      state_dict_unet.conv_in.weight, .bias
 *   state_dict_vae.<module>.lora_A.vae_skip.weight, lora_B …      state_dict_clip_proj.weight, .bias
 *   state_dict_<part>_de_mlp.0.…, …_block_mlp.0.…, …_fuse_mlp.…   w, state_embeddings.state_dict_<part>_block.weight
 */
import type { LoraUpdate } from "../../graph/weights/device-weights.ts";
import { quoted } from "../../weights/errors.ts";
import type { ExpectedTensor, FileSet, WeightStore } from "../../weights/index.ts";
import {
  WeightsError,
  mergeStores,
  openWeightFile,
  parseStrictJson,
  renamedStore,
  toFloat32,
} from "../../weights/index.ts";
import type { DegradationTables } from "../networks/modulation.ts";
import { blockCounts, blockOfModule, levelsOf } from "../networks/modulation.ts";
import type { UNetConfig, VaeConfig } from "../settings/config.ts";
import type { DegradationConfig, ModulatedPart } from "../settings/degradation-config.ts";
import { MODULATED_PARTS } from "../settings/degradation-config.ts";
import type { LoraModule, RcodCheckpoint, TrainedParameters } from "./rcod-checkpoint.ts";
import { borrowedStore, checkedUpdates, trainedTensors } from "./rcod-checkpoint.ts";

/** The configurations that say which modules and blocks there are. */
export interface ModulatedConfigs {
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly degradation: DegradationConfig;
}

const ADAPTERS: Readonly<Record<ModulatedPart, string>> = { unet: "default", vae: "vae_skip" };

/** The modulation layers, which are checked as a part of the model (`openDegradation`). */
const MODULATION_LAYER = /^state_dict_((?:vae|unet)_(?:de|block|fuse)_mlp\..+)$/;

/** Scope of the metric estimation module's parameters, and their prefix in its file. */
export const MEM_SCOPE = "mem.";
const MEM_PREFIX = "state_dict_clip_proj.";

/** The name in the metric estimation module's file of a parameter in `MEM_SCOPE`. */
export function releasedMemName(parameter: string): string {
  return `${MEM_PREFIX}${parameter.slice(MEM_SCOPE.length)}`;
}

/** Whether a parameter of the degradation part comes out of the checkpoint. */
export function isModulationLayer(parameter: string): boolean {
  return MODULATION_LAYER.test(`state_dict_${parameter}`);
}

/** Whether a tensor of the checkpoint belongs to what is computed from the image, in f32. */
export function isDegradationTensor(name: string): boolean {
  return (
    MODULATION_LAYER.test(name) ||
    name === W ||
    MODULATED_PARTS.some((part) => blockTable(part) === name)
  );
}

const W = "w";
const blockTable = (part: ModulatedPart): string =>
  `state_embeddings.state_dict_${part}_block.weight`;

/**
 * Last components of the encoder's adapted modules. The checkpoint has them as a regular expression, which is
 * not run: one from a file may take forever.
 */
const ENCODER_TARGETS =
  /(?:^|\.)(?:conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)$/;

/**
 * The modulated updates of each part by the parameter's name. Reads no tensor. Throws one `WeightsError` with
 * all that is wrong: metadata, modules without LoRA or with LoRA that the model does not have, tensors of
 * another shape or rank, and what is missing or left over of conv_in, the projection and the tables.
 */
export function modulatedUpdates(
  checkpoint: RcodCheckpoint,
  parameters: TrainedParameters,
  configs: ModulatedConfigs,
  alpha: number,
): ReadonlyMap<string, ReadonlyMap<string, LoraUpdate>> {
  const problems: string[] = [];
  const modules: LoraModule[] = [];
  const targets = unetTargets(checkpoint, problems);
  for (const part of MODULATED_PARTS) {
    const rank = configs.degradation.ranks[part];
    if (checkpoint.metadata.get(`rank_${part}`) !== String(rank)) {
      const got = checkpoint.metadata.get(`rank_${part}`);
      problems.push(`"rank_${part}" must be an integer from 1 to 1024, got ${got ?? "nothing"}`);
    }
    for (const { name, shape, layout } of parameters[part]) {
      if (!layout.endsWith("matrix") || !name.endsWith(".weight")) continue;
      const module = name.slice(0, -".weight".length);
      const isTarget =
        part === "vae"
          ? module.startsWith("encoder.") && ENCODER_TARGETS.test(module)
          : targets.some((target) => module === target || module.endsWith(`.${target}`));
      if (!isTarget) continue;
      const stem = `state_dict_${part}.${module}`;
      modules.push({
        part,
        weight: name,
        shape,
        rank,
        a: `${stem}.lora_A.${ADAPTERS[part]}.weight`,
        b: `${stem}.lora_B.${ADAPTERS[part]}.weight`,
        block: blockOfModule(part, module, levelsOf(configs, part)),
      });
    }
  }
  const expected = [...trainedTensors(checkpoint, parameters), ...tableTensors(configs)];
  return checkedUpdates(checkpoint, modules, {
    expected,
    unjudged: [MODULATION_LAYER, ...(targets.length > 0 ? [] : [/^state_dict_unet\./])],
    problems,
    alpha,
    advice:
      "The checkpoint must have lora_A and lora_B of rank_unet or rank_vae for every module of " +
      "unet_lora_target_modules and every layer of the encoder. Use the base that it was trained on",
  });
}

/** Ends of the names of the UNet's adapted modules. */
function unetTargets({ metadata }: RcodCheckpoint, problems: string[]): readonly string[] {
  const text = metadata.get("unet_lora_target_modules") ?? "";
  try {
    const value = parseStrictJson(text, "modules");
    const isList = Array.isArray(value) && value.every((name) => typeof name === "string");
    if (isList && value.length > 0) return value;
  } catch {
    // Refused below.
  }
  const got = text === "" ? "nothing" : quoted(text);
  problems.push(`"unet_lora_target_modules" must be a JSON list of names, got ${got}`);
  return [];
}

function tableTensors(configs: ModulatedConfigs): ExpectedTensor[] {
  const { frequencies, blockEmbedding } = configs.degradation;
  const blocks = blockCounts(configs);
  return [
    { name: W, shape: [frequencies] },
    ...MODULATED_PARTS.map((part) => ({
      name: blockTable(part),
      shape: [blocks[part], blockEmbedding],
    })),
  ];
}

/** Reads the checked tables. */
export async function readTables(
  { store }: RcodCheckpoint,
  signal?: AbortSignal,
): Promise<DegradationTables> {
  const read = async (name: string): Promise<Float32Array> =>
    toFloat32(store.info(name), await store.read(name, signal));
  return {
    w: await read(W),
    blocks: { vae: await read(blockTable("vae")), unet: await read(blockTable("unet")) },
  };
}

/**
 * The weights of estimator, modulation layers and metric estimation under the names of their graphs. The caller
 * closes the store, not the checkpoint with it. Throws `WeightsError` for an absent or broken file.
 */
export async function openDegradation(
  files: FileSet,
  checkpoint: RcodCheckpoint,
  signal?: AbortSignal,
): Promise<WeightStore> {
  const { degradationEstimator: estimator, memCheckpoint: mem } = checkpoint.config;
  const stores: WeightStore[] = [];
  try {
    const net = estimator === null ? null : await openWeightFile(files, estimator, signal);
    if (net === null) {
      throw new WeightsError(
        `weights: the degradation estimator ${quoted(estimator ?? "(none)")} of an RCOD_S model must exist ` +
          `(${files.name}). Add the file, or name another as degradation_estimator in rcod_config.json`,
      );
    }
    stores.push(net.store);
    stores.push(
      renamedStore(
        borrowedStore(checkpoint.store),
        (name) => MODULATION_LAYER.exec(name)?.[1] ?? null,
      ),
    );
    const metric = mem === null ? null : await openWeightFile(files, mem, signal);
    if (metric) {
      stores.push(
        renamedStore(metric.store, (name) =>
          name.startsWith(MEM_PREFIX) ? `${MEM_SCOPE}${name.slice(MEM_PREFIX.length)}` : name,
        ),
      );
    }
    return mergeStores(
      [net.store.name, checkpoint.store.name, ...(metric ? [metric.store.name] : [])].join(", "),
      stores,
    );
  } catch (error) {
    await Promise.all(stores.map((store) => store.close()));
    throw error;
  }
}
