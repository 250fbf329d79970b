import type { Weight } from "../../graph/ir/ir.ts";
/**
 * RCOD's checkpoint: what was trained on top of a frozen base, as one file in the model folder: the released
 * dictionary as torch.save wrote it, or safetensors with the same names, flattened:
 *
 *   state_dict_unet.<module>.lora_A.<adapter>.weight   [rank, in] or [rank, in, kh, kw]
 *   state_dict_unet.<module>.lora_B.<adapter>.weight   [out, rank] or [out, rank, 1, 1]
 *   state_dict_unet.conv_in.base_layer.weight, .bias   trained in full, in place of the base's; its LoRA comes on top
 *   state_dict_vae.<module>.lora_A …, lora_B …         as for the UNet
 *   state_dict_proj.weight, .bias                      the token projection, in place of image_proj/
 *
 * The metadata (in the dictionary: values beside the tensors) holds the ranks and, per adapter, the list of its
 * modules.
 */
import type { LoraUpdate } from "../../graph/weights/device-weights.ts";
import { listSome, quoted } from "../../weights/errors.ts";
import type { ExpectedTensor, FileSet, WeightStore } from "../../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  mergeStores,
  openWeightFile,
  parseStrictJson,
  readAheadFiles,
  renamedStore,
} from "../../weights/index.ts";
import { IMAGE_PROJ } from "../networks/graphs.ts";
import type { RcodConfig } from "../settings/config.ts";
import { RCOD_O } from "../settings/config.ts";
import { storedTensor } from "./stored-tensors.ts";

/** The parts of which some parameters were trained in full. */
type TrainedPart = "unet" | "clip";

export type CheckpointConfig = Pick<
  RcodConfig,
  "instance" | "degradationEstimator" | "memCheckpoint"
>;

/** An open checkpoint. Whoever opens it closes its store. */
export interface RcodCheckpoint {
  readonly store: WeightStore;
  /** What it is, and the files beside it. */
  readonly config: CheckpointConfig;
  /** Numbers and lists as JSON texts, as safetensors has them. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The parts with LoRA. */
const LORA_PARTS = ["unet", "vae"] as const;
type LoraPart = (typeof LORA_PARTS)[number];

/** The released checkpoints leave the decoder as it is and do not have this list; a small model may adapt it. */
const DECODER_LIST = "vae_lora_decoder_modules";

/** What only one instance's checkpoint has. RCOD_S lists its modules by the ends of their names. */
const ONLY_IN: Readonly<Record<RcodConfig["instance"], string>> = {
  RCOD_O: "unet_lora_encoder_modules",
  RCOD_S: "unet_lora_target_modules",
};

/** Adapters of each part, with the metadata key that lists their modules. */
const ADAPTERS: Readonly<Record<LoraPart, Readonly<Record<string, string>>>> = {
  unet: {
    default_encoder: "unet_lora_encoder_modules",
    default_decoder: "unet_lora_decoder_modules",
    default_others: "unet_lora_others_modules",
  },
  vae: { default_encoder: "vae_lora_encoder_modules", default_decoder: DECODER_LIST },
};

type TrainedNames = Readonly<Record<TrainedPart, Readonly<Record<string, string>>>>;

/** Parameters that were trained in full, with the checkpoint's name for each. */
const TRAINED: Readonly<Record<RcodConfig["instance"], TrainedNames>> = {
  RCOD_O: trainedNames("state_dict_unet.conv_in.base_layer", "state_dict_proj"),
  RCOD_S: trainedNames("state_dict_unet.conv_in", "state_dict_clip_proj"),
};

function trainedNames(convIn: string, projection: string): TrainedNames {
  const both = (own: string, name: string): Readonly<Record<string, string>> => ({
    [`${own}.weight`]: `${name}.weight`,
    [`${own}.bias`]: `${name}.bias`,
  });
  return { unet: both("conv_in", convIn), clip: both(IMAGE_PROJ, projection) };
}

/** The parameters of the parts that a checkpoint changes. */
export type TrainedParameters = Readonly<Record<"unet" | "vae" | "clip", readonly Weight[]>>;

/**
 * Whose checkpoint the file `name` is, by its content; null where it is absent, broken or neither's: whoever loads it
 * says so.
 */
export async function instanceOfCheckpoint(
  files: FileSet,
  name: string,
  signal?: AbortSignal,
): Promise<RcodConfig["instance"] | null> {
  try {
    const file = await openWeightFile(readAheadFiles(files), name, signal);
    await file?.store.close();
    return file && instanceOf(file.values);
  } catch (error) {
    if (error instanceof WeightsError) return null;
    throw error;
  }
}

function instanceOf(values: ReadonlyMap<string, unknown>): RcodConfig["instance"] | null {
  if (values.has(ONLY_IN.RCOD_S)) return "RCOD_S";
  return values.has(ONLY_IN.RCOD_O) ? "RCOD_O" : null;
}

/**
 * Opens the checkpoint `name` of a model folder with this configuration. Throws `WeightsError` where it is absent,
 * broken, or another instance's than the configuration is.
 */
export async function openCheckpoint(
  files: FileSet,
  name: string,
  signal?: AbortSignal,
  config: CheckpointConfig = RCOD_O,
): Promise<RcodCheckpoint> {
  const file = await openWeightFile(readAheadFiles(files), name, signal);
  if (file === null) {
    throw new WeightsError(
      `weights: the checkpoint ${quoted(name)} of rcod_config.json must exist (${files.name}). ` +
        "Add the file, or name another",
    );
  }
  const instance = instanceOf(file.values);
  if (instance !== null && instance !== config.instance) {
    await file.store.close();
    throw new WeightsError(
      `weights: the checkpoint must be ${config.instance}'s, got ${instance}'s: it has ${quoted(ONLY_IN[instance])} ` +
        `(${file.store.name}). Use ${config.instance.toLowerCase()}.pkl, or a rcod_config.json that names ${instance}, or ` +
        "no instance",
    );
  }
  const texts = [...file.values].map(([key, value]): [string, string] => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  return { store: file.store, config, metadata: new Map(texts) };
}

/** `base` with what the checkpoint trained in full in its place. Takes over `base`, not the checkpoint. */
export function withTrainedTensors(
  base: WeightStore,
  checkpoint: RcodCheckpoint,
  part: TrainedPart,
): WeightStore {
  const names = Object.entries(TRAINED[checkpoint.config.instance][part]);
  const parameters = new Map(names.map(([own, name]) => [name, own]));
  const borrowed = borrowedStore(checkpoint.store);
  const trained = renamedStore(borrowed, (name) => parameters.get(name) ?? null);
  const frozen = renamedStore(base, (name) => (trained.has(name) ? null : name));
  return mergeStores(base.name, [frozen, trained]);
}

/** A store whose owner closes it. */
export function borrowedStore(store: WeightStore): WeightStore {
  return { ...store, close: async () => undefined };
}

/** A module with LoRA. */
export interface LoraModule {
  readonly part: LoraPart;
  /** Its parameter, and that one's shape. */
  readonly weight: string;
  readonly shape: readonly number[];
  readonly rank: number;
  /** Its modulation matrix, where it has one. */
  readonly block?: number;
  /** Names of the factors in the checkpoint. */
  readonly a: string;
  readonly b: string;
}

/**
 * The updates to merge into each part by the parameter's name, scaled by alpha / rank. Reads no tensor.
 * Throws one `WeightsError` with all that is wrong: metadata, unknown modules, tensors that are missing (A
 * without B, a listed module without either, conv_in, the projection), of another shape or rank, or left over.
 */
export function loraUpdates(
  checkpoint: RcodCheckpoint,
  parameters: TrainedParameters,
  alpha: number,
): ReadonlyMap<string, ReadonlyMap<string, LoraUpdate>> {
  const problems: string[] = [];
  const modules: LoraModule[] = [];
  const unjudged: RegExp[] = []; // without its metadata nothing can be said of a part
  for (const part of LORA_PARTS) {
    const adapted = readAdapters(checkpoint.metadata, part, problems);
    if (adapted === null) {
      unjudged.push(new RegExp(`^state_dict_${part}\\.`));
      continue;
    }
    const shapes = new Map(
      parameters[part]
        .filter(({ layout }) => layout.endsWith("matrix"))
        .map(({ name, shape }) => [name, shape]),
    );
    for (const [module, adapter] of adapted.adapters) {
      const weight = `${module}.weight`;
      const shape = shapes.get(weight);
      if (shape === undefined) {
        problems.push(`the ${part} has no layer ${quoted(module)} for ${adapter}`);
        continue;
      }
      const a = `state_dict_${part}.${module}.lora_A.${adapter}.weight`;
      const b = `state_dict_${part}.${module}.lora_B.${adapter}.weight`;
      modules.push({ part, weight, shape, rank: adapted.rank, a, b });
    }
  }
  return checkedUpdates(checkpoint, modules, {
    expected: trainedTensors(checkpoint, parameters),
    unjudged,
    problems,
    alpha,
    advice:
      "The checkpoint's metadata must list exactly the modules that it has lora_A and lora_B for, all of " +
      "rank_unet or rank_vae, and all in the base model. Use the base that it was trained on",
  });
}

/**
 * The updates of `modules` by part and parameter, once the checkpoint is known to hold exactly their factors and
 * the `expected` tensors; `unjudged` ones may be there. Throws one `WeightsError` with what is wrong and the
 * `problems` found before.
 */
export function checkedUpdates(
  { store }: RcodCheckpoint,
  modules: readonly LoraModule[],
  {
    expected,
    unjudged,
    problems,
    alpha,
    advice,
  }: {
    readonly expected: readonly ExpectedTensor[];
    readonly unjudged: readonly RegExp[];
    readonly problems: readonly string[];
    readonly alpha: number;
    readonly advice: string;
  },
): ReadonlyMap<string, ReadonlyMap<string, LoraUpdate>> {
  const factors = modules.flatMap(({ a, b, rank, shape }): ExpectedTensor[] => [
    { name: a, shape: [rank, ...shape.slice(1)] },
    { name: b, shape: [shape[0] as number, rank] },
  ]);
  const messages: string[] = [];
  if (problems.length > 0) {
    messages.push(
      `weights: ${problems.length} problem${problems.length > 1 ? "s" : ""} in the checkpoint's metadata: ` +
        `${listSome(problems)} (${store.name})`,
    );
  }
  try {
    checkTensors(store, [...expected, ...factors], { unused: unjudged });
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    messages.push(error.message);
  }
  if (messages.length > 0) {
    throw new WeightsError(`${messages.join("; ")}. ${advice}, or export it again`);
  }
  const updatesOf = (part: LoraPart): ReadonlyMap<string, LoraUpdate> =>
    new Map(
      modules
        .filter((module) => module.part === part)
        .map(({ weight, rank, block, a, b }) => [
          weight,
          {
            rank,
            scaling: alpha / rank,
            a: storedTensor(store, a),
            b: storedTensor(store, b),
            ...(block !== undefined && { block }),
          },
        ]),
    );
  return new Map(LORA_PARTS.map((part) => [part, updatesOf(part)]));
}

/** What the checkpoint must hold in full, shaped as the parameters that it replaces. */
export function trainedTensors(
  { config }: RcodCheckpoint,
  parameters: TrainedParameters,
): ExpectedTensor[] {
  return (["unet", "clip"] as const).flatMap((part) =>
    parameters[part].flatMap(({ name, shape }) => {
      const tensor = TRAINED[config.instance][part][name];
      return tensor === undefined ? [] : [{ name: tensor, shape }];
    }),
  );
}

/** Rank and adapter of every module of a part that the metadata lists, or null and what is wrong with them. */
function readAdapters(
  metadata: ReadonlyMap<string, string>,
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
  for (const [adapter, key] of Object.entries(ADAPTERS[part])) {
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

/** A JSON list of texts, or null. */
function parseNames(text = ""): readonly string[] | null {
  try {
    const value = parseStrictJson(text, "modules");
    return Array.isArray(value) && value.every((name) => typeof name === "string") ? value : null;
  } catch {
    return null;
  }
}
