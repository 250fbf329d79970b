/**
 * Which modules of a model have LoRA, and under which names the checkpoint holds their factors. RCOD_O's metadata
 * lists the modules of every adapter. RCOD_S's metadata lists the ends of the UNet's names; in its VAE, all layers of
 * the encoder have LoRA. Needs metadata and names only, no tensor.
 */
import type { Weight } from "../../graph/ir/ir.ts";
import { quoted } from "../../weights/errors.ts";
import { parseStrictJson } from "../../weights/index.ts";
import type { NetworkLevels } from "../networks/modulation.ts";
import { blockOfModule } from "../networks/modulation.ts";
import type { PartWeights } from "../networks/stage-graphs.ts";
import type { LoraPart } from "../settings/degradation-config.ts";
import { LORA_PARTS } from "../settings/degradation-config.ts";

/** Numbers and lists as JSON texts, as safetensors has them. */
export type CheckpointMetadata = ReadonlyMap<string, string>;

/** A module with LoRA. */
export interface LoraModule {
  readonly part: LoraPart;
  /** Name and shape of the parameter that the update is merged into. */
  readonly weight: string;
  readonly shape: readonly number[];
  readonly rank: number;
  /** RCOD_S: number of its modulation matrix. */
  readonly block?: number;
  /** Names of the factors in the checkpoint. */
  readonly a: string;
  readonly b: string;
}

/** The modules that the metadata names, and what is wrong with it. */
export interface FoundModules {
  readonly modules: readonly LoraModule[];
  readonly problems: readonly string[];
  /** Tensors that may be there or not: the broken metadata does not say. */
  readonly unjudged: readonly RegExp[];
  /** What to do when metadata and tensors disagree. */
  readonly advice: string;
}

/** The released checkpoints leave the decoder as it is and do not have this list; a small model may adapt it. */
const DECODER_LIST = "vae_lora_decoder_modules";

/** RCOD_O: adapters of each part, with the metadata key that lists their modules. */
const LISTS: Readonly<Record<LoraPart, Readonly<Record<string, string>>>> = {
  unet: {
    default_encoder: "unet_lora_encoder_modules",
    default_decoder: "unet_lora_decoder_modules",
    default_others: "unet_lora_others_modules",
  },
  vae: { default_encoder: "vae_lora_encoder_modules", default_decoder: DECODER_LIST },
};

/** RCOD_O: the modules that the metadata lists. */
export function listedModules(
  metadata: CheckpointMetadata,
  parameters: Pick<PartWeights, LoraPart>,
): FoundModules {
  const problems: string[] = [];
  const modules: LoraModule[] = [];
  const unjudged: RegExp[] = [];
  for (const part of ["unet", "vae"] as const) {
    const adapted = readAdapters(metadata, part, problems);
    if (adapted === null) {
      unjudged.push(new RegExp(`^state_dict_${part}\\.`));
      continue;
    }
    const { rank, adapters } = adapted;
    const matrices = new Map(matricesOf(parameters[part]).map((weight) => [weight.name, weight]));
    for (const [module, adapter] of adapters) {
      const weight = matrices.get(`${module}.weight`);
      if (weight === undefined)
        problems.push(`the ${part} has no layer ${quoted(module)} for ${adapter}`);
      else modules.push(loraModule(part, weight, rank, adapter));
    }
  }
  const advice =
    "The checkpoint's metadata must list exactly the modules that it has lora_A and lora_B for, all of " +
    "rank_unet or rank_vae, and all in the base model. Use the base that it was trained on";
  return { modules, problems, unjudged, advice };
}

/** Rank and adapter of every module of a part that the metadata lists. Null, with problems, where it is broken. */
function readAdapters(
  metadata: CheckpointMetadata,
  part: LoraPart,
  problems: string[],
): { readonly rank: number; readonly adapters: ReadonlyMap<string, string> } | null {
  const before = problems.length;
  const refuse = (key: string, rule: string): void => {
    const value = metadata.get(key);
    problems.push(`${quoted(key)} ${rule}, got ${value === undefined ? "nothing" : quoted(value)}`);
  };
  const rank = metadata.get(`rank_${part}`) ?? "";
  if (!/^[1-9]\d{0,4}$/.test(rank)) refuse(`rank_${part}`, "must be an integer ≥ 1");
  const adapters = new Map<string, string>();
  for (const [adapter, key] of Object.entries(LISTS[part])) {
    if (key === DECODER_LIST && !metadata.has(key)) continue;
    const names = parseNames(metadata.get(key));
    if (names === null) refuse(key, "must be a JSON list of module names");
    for (const module of new Set(names)) {
      const other = adapters.get(module);
      if (other !== undefined)
        problems.push(`${quoted(module)} must have one adapter, got ${other} and ${adapter}`);
      adapters.set(module, adapter);
    }
  }
  return problems.length > before ? null : { rank: Number(rank), adapters };
}

/** RCOD_S: the one adapter of each part. */
const ADAPTERS: Readonly<Record<LoraPart, string>> = { unet: "default", vae: "vae_skip" };

/**
 * RCOD_S: last components of the encoder's adapted modules. The checkpoint has them as a regular expression, which
 * is not run: an expression from a file may take forever.
 */
const ENCODER_TARGETS =
  /(?:^|\.)(?:conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)$/;

/** RCOD_S: the modules of the model that the metadata targets, each with its modulation matrix. */
export function targetedModules(
  metadata: CheckpointMetadata,
  parameters: Pick<PartWeights, LoraPart>,
  levels: NetworkLevels,
  ranks: Readonly<Record<LoraPart, number>>,
): FoundModules {
  const problems: string[] = [];
  const modules: LoraModule[] = [];
  const list = metadata.get("unet_lora_target_modules");
  const targets = parseNames(list) ?? [];
  if (targets.length === 0) {
    const got = list ? quoted(list) : "nothing";
    problems.push(`"unet_lora_target_modules" must be a JSON list of names, got ${got}`);
  }
  const isTarget: Readonly<Record<LoraPart, (module: string) => boolean>> = {
    vae: (module) => module.startsWith("encoder.") && ENCODER_TARGETS.test(module),
    unet: (module) => targets.some((end) => module === end || module.endsWith(`.${end}`)),
  };
  for (const part of LORA_PARTS) {
    const rank = ranks[part];
    const got = metadata.get(`rank_${part}`);
    if (got !== String(rank)) {
      problems.push(`"rank_${part}" must be an integer from 1 to 1024, got ${got ?? "nothing"}`);
    }
    for (const weight of matricesOf(parameters[part])) {
      const module = moduleOf(weight);
      if (!isTarget[part](module)) continue;
      const block = blockOfModule(part, module, levels[part].blockOutChannels.length);
      modules.push({ ...loraModule(part, weight, rank, ADAPTERS[part]), block });
    }
  }
  const advice =
    "The checkpoint must have lora_A and lora_B of rank_unet or rank_vae for every module of " +
    "unet_lora_target_modules and every layer of the encoder. Use the base that it was trained on";
  const unjudged = targets.length > 0 ? [] : [/^state_dict_unet\./];
  return { modules, problems, unjudged, advice };
}

/** The parameters that an update can be merged into. */
function matricesOf(weights: readonly Weight[]): readonly Weight[] {
  return weights.filter(
    ({ name, layout }) => layout.endsWith("matrix") && name.endsWith(".weight"),
  );
}

function moduleOf({ name }: Weight): string {
  return name.slice(0, -".weight".length);
}

function loraModule(part: LoraPart, weight: Weight, rank: number, adapter: string): LoraModule {
  const stem = `state_dict_${part}.${moduleOf(weight)}`;
  return {
    part,
    weight: weight.name,
    shape: weight.shape,
    rank,
    a: `${stem}.lora_A.${adapter}.weight`,
    b: `${stem}.lora_B.${adapter}.weight`,
  };
}

/** A JSON list of texts, or null. */
function parseNames(text = ""): readonly string[] | null {
  try {
    const value = parseStrictJson(text, "modules");
    return Array.isArray(value) && value.every((name) => typeof name === "string") ? value : null;
  } catch {
    return null;
  }
}
