/**
 * RCOD's checkpoint: what was trained on top of a frozen base, as one file in the model folder. It is the released
 * dictionary as torch.save wrote it, or safetensors with the same names, flattened:
 *
 *   RCOD_O (`rcod_o.pkl`)
 *   state_dict_unet.<module>.lora_A.<adapter>.weight      [rank, in] or [rank, in, kh, kw]
 *   state_dict_unet.<module>.lora_B.<adapter>.weight      [out, rank] or [out, rank, 1, 1]
 *   state_dict_unet.conv_in.base_layer.weight, .bias      trained in full, in place of the base's; LoRA comes on top
 *   state_dict_vae.<module>.lora_A …, lora_B …            as for the UNet
 *   state_dict_proj.weight, .bias                         the token projection, in place of image_proj/
 *
 *   RCOD_S (`rcod_s.pkl`)
 *   state_dict_unet.<module>.lora_A.default.weight, lora_B …
 *   state_dict_unet.conv_in.weight, .bias                 trained in full, without LoRA
 *   state_dict_vae.<module>.lora_A.vae_skip.weight, lora_B …
 *   state_dict_clip_proj.weight, .bias                    the token projection
 *   state_dict_<part>_de_mlp.0.…, …_block_mlp.0.…, …_fuse_mlp.…              modulation layers
 *   w, state_embeddings.state_dict_<part>_block.weight                       tables of the embeddings
 *
 * The metadata (in the dictionary: values beside the tensors) holds the ranks and names the modules with LoRA; see
 * `lora-modules.ts`. RCOD_S has two more files beside it: see `open-model.ts`.
 */
import type { LoraUpdate } from "../../graph/weights/device-weights.ts";
import { listSome, quoted } from "../../weights/errors.ts";
import type { ExpectedTensor, FileSet, WeightFile, WeightStore } from "../../weights/index.ts";
import {
  WeightsError,
  checkTensors,
  openWeightFile,
  readAheadFiles,
  renamedStore,
  toFloat32,
} from "../../weights/index.ts";
import { refusalsOf } from "../../weights/sources/source.ts";
import { IMAGE_PROJ } from "../networks/graphs.ts";
import type { DegradationTables } from "../networks/modulation.ts";
import { blockCounts } from "../networks/modulation.ts";
import type { PartWeights } from "../networks/stage-graphs.ts";
import type { RcodConfig } from "../settings/config.ts";
import type { LoraPart } from "../settings/degradation-config.ts";
import { LORA_PARTS } from "../settings/degradation-config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { CheckpointMetadata } from "./lora-modules.ts";
import { listedModules, targetedModules } from "./lora-modules.ts";
import type { OpenOptions } from "./stored-tensors.ts";
import { storedTensor, withPlainNames } from "./stored-tensors.ts";

type Instance = RcodConfig["instance"];

/** The parts of which some parameters were trained in full. */
type TrainedPart = "unet" | "clip";

/** The parameters of the parts that a checkpoint changes. */
type ChangedWeights = Pick<PartWeights, TrainedPart | LoraPart>;

/** The updates to merge, by part and parameter. */
export type LoraUpdates = ReadonlyMap<LoraPart, ReadonlyMap<string, LoraUpdate>>;

/** Metadata that only one instance's checkpoint has. */
const ONLY_IN: Readonly<Record<Instance, string>> = {
  RCOD_O: "unet_lora_encoder_modules",
  RCOD_S: "unet_lora_target_modules",
};

/** How the names of what RCOD trained begin. */
const TRAINED_PREFIX = "state_dict_";

/** Modules that were trained in full, with the checkpoint's name for each. */
const TRAINED: Readonly<
  Record<Instance, Readonly<Record<TrainedPart, readonly [string, string]>>>
> = {
  RCOD_O: {
    unet: ["conv_in", "state_dict_unet.conv_in.base_layer"],
    clip: [IMAGE_PROJ, "state_dict_proj"],
  },
  RCOD_S: {
    unet: ["conv_in", "state_dict_unet.conv_in"],
    clip: [IMAGE_PROJ, "state_dict_clip_proj"],
  },
};

const MODULATION_LAYER = /^state_dict_((?:vae|unet)_(?:de|block|fuse)_mlp\..+)$/;

/** Names of the tables: the frequencies of the scores' embedding, and the block embeddings of a part. */
const FREQUENCIES = "w";
const blockTable = (part: LoraPart): string => `state_embeddings.state_dict_${part}_block.weight`;

/** Whether a tensor of RCOD_S's checkpoint takes part in looking at the image, which is computed in f32. */
export function isDegradationTensor(name: string): boolean {
  const tables = [FREQUENCIES, ...LORA_PARTS.map(blockTable)];
  return MODULATION_LAYER.test(name) || tables.includes(name);
}

/** Whose checkpoint a file with these values is; null where it is neither's. */
export function instanceOf(values: WeightFile["values"]): Instance | null {
  if (values.has(ONLY_IN.RCOD_S)) return "RCOD_S";
  return values.has(ONLY_IN.RCOD_O) ? "RCOD_O" : null;
}

/**
 * Opens the checkpoint that a model's configuration names; null where it names none. Throws `WeightsError` where the
 * file is absent, broken, or another instance's than the configuration is.
 */
export async function openCheckpoint(
  files: FileSet,
  rcod: RcodConfig,
  options: OpenOptions = {},
): Promise<RcodCheckpoint | null> {
  if (rcod.checkpoint === null) return null;
  const opened = await openWeightFile(readAheadFiles(files), rcod.checkpoint, options.signal);
  if (opened === null) {
    throw new WeightsError(
      `weights: the checkpoint ${quoted(rcod.checkpoint)} of rcod_config.json must exist (${files.name})` +
        `${refusalsOf(files, [rcod.checkpoint])}. ` +
        "Add the file, or name another",
    );
  }
  const file = await withPlainNames(opened, options);
  const instance = instanceOf(file.values);
  if (
    instance === null &&
    !Array.from(file.store.names()).some((n) => n.startsWith(TRAINED_PREFIX))
  ) {
    await file.store.close();
    const { kindOfTensors } = await import("./foreign-names.ts");
    const kind = kindOfTensors(file.store.names()) ?? "other tensors";
    throw new WeightsError(
      `weights: the checkpoint must be RCOD's, got ${kind} (${file.store.name}): it has no ranks, no list of modules ` +
        "and no token projection (state_dict_proj). Give rcod_o.pkl or rcod_s.pkl, or what was exported like them",
    );
  }
  if (instance !== null && instance !== rcod.instance) {
    await file.store.close();
    throw new WeightsError(
      `weights: the checkpoint must be ${rcod.instance}'s, got ${instance}'s: it has ${quoted(ONLY_IN[instance])} ` +
        `(${file.store.name}). Use ${rcod.instance.toLowerCase()}.pkl, or a rcod_config.json that names ${instance}, or ` +
        "no instance",
    );
  }
  return new RcodCheckpoint(file, rcod);
}

/** An open checkpoint: all that is read of a model's checkpoint is asked of this object. */
export class RcodCheckpoint {
  /** Its tensors. Whoever opened the checkpoint closes them. */
  readonly store: WeightStore;
  readonly metadata: CheckpointMetadata;
  /** The configuration that names it. */
  readonly rcod: RcodConfig;

  constructor({ store, values }: WeightFile, rcod: RcodConfig) {
    const texts = [...values].map(([key, value]): [string, string] => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    this.store = store;
    this.metadata = new Map(texts);
    this.rcod = rcod;
  }

  /** What was trained in full of a part, under the parameters' names: `conv_in`, or the token projection. */
  trained(part: TrainedPart): WeightStore {
    const [own, stem] = TRAINED[this.rcod.instance][part];
    return this.#renamed((name) =>
      name === `${stem}.weight` || name === `${stem}.bias` ? own + name.slice(stem.length) : null,
    );
  }

  /** RCOD_S: the layers that make modulation matrices, under the parameters' names. */
  modulationLayers(): WeightStore {
    return this.#renamed((name) => MODULATION_LAYER.exec(name)?.[1] ?? null);
  }

  /** RCOD_S: reads the tables, which `loraUpdates` has checked. */
  async readTables(signal?: AbortSignal): Promise<DegradationTables> {
    const read = async (name: string): Promise<Float32Array> =>
      toFloat32(this.store.info(name), await this.store.read(name, signal));
    return {
      w: await read(FREQUENCIES),
      blocks: { vae: await read(blockTable("vae")), unet: await read(blockTable("unet")) },
    };
  }

  /**
   * The updates to merge into each part, scaled by alpha / rank. RCOD_S's are modulated: each has the number of its
   * matrix. Checks the whole checkpoint, except for the modulation layers; reads no tensor.
   * Throws one `WeightsError` with all that is wrong: metadata, unknown modules, tensors that are missing (A without B,
   * a module without either, conv_in, the projection, a table), of another shape or rank, or left over.
   */
  loraUpdates(
    parameters: ChangedWeights,
    configs: ModelConfigs,
    { strict = false, onWarning = () => {} }: OpenOptions = {},
  ): LoraUpdates {
    const { degradation } = configs;
    const { modules, problems, unjudged, advice } = degradation
      ? targetedModules(this.metadata, parameters, configs, degradation.ranks)
      : listedModules(this.metadata, parameters);
    const { store } = this;
    const messages: string[] = [];
    if (problems.length > 0) {
      messages.push(
        `weights: ${problems.length} problem${problems.length > 1 ? "s" : ""} in the checkpoint's metadata: ` +
          `${listSome(problems)} (${store.name})`,
      );
    }
    const factors = modules.flatMap(({ a, b, rank, shape }): ExpectedTensor[] => [
      { name: a, shape: [rank, ...shape.slice(1)] },
      { name: b, shape: [shape[0] as number, rank] },
    ]);
    const expected = [...this.#trainedTensors(parameters), ...tableTensors(configs), ...factors];
    if (!store.has(`${TRAINED[this.rcod.instance].clip[1]}.weight`)) {
      messages.push(
        `weights: the checkpoint must hold the token projection, got none (${store.name})`,
      );
    }
    try {
      const unused = degradation ? [MODULATION_LAYER, ...unjudged] : unjudged;
      // What was trained and is not used would be missing in the picture.
      const isStrict = strict || isAnyTrained(store, expected);
      checkTensors(store, expected, { unused, ...(!isStrict && { onUnused: onWarning }) });
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      messages.push(error.message);
    }
    if (messages.length > 0) {
      throw new WeightsError(`${messages.join("; ")}. ${advice}, or export it again`);
    }
    const updates = new Map(LORA_PARTS.map((part) => [part, new Map<string, LoraUpdate>()]));
    for (const { part, weight, rank, block, a, b } of modules) {
      updates.get(part)?.set(weight, {
        rank,
        scaling: this.rcod.loraAlpha / rank,
        a: storedTensor(store, a),
        b: storedTensor(store, b),
        ...(block !== undefined && { block }),
      });
    }
    return updates;
  }

  /** What the checkpoint must hold in full, shaped as the parameters that it replaces. */
  #trainedTensors(parameters: ChangedWeights): ExpectedTensor[] {
    return (["unet", "clip"] as const).flatMap((part) => {
      const [own, stem] = TRAINED[this.rcod.instance][part];
      return parameters[part]
        .filter(({ name }) => name === `${own}.weight` || name === `${own}.bias`)
        .map(({ name, shape }) => ({ name: stem + name.slice(own.length), shape }));
    });
  }

  /** Tensors under other names, which `rename` gives, or null to leave one out. Closing it does nothing. */
  #renamed(rename: (name: string) => string | null): WeightStore {
    return renamedStore({ ...this.store, close: async () => undefined }, rename);
  }
}

/** Whether a checkpoint has something that RCOD trained beyond what is expected. */
function isAnyTrained(store: WeightStore, expected: readonly ExpectedTensor[]): boolean {
  const names = new Set(expected.map(({ name }) => name));
  return Array.from(store.names()).some(
    (name) => name.startsWith(TRAINED_PREFIX) && !MODULATION_LAYER.test(name) && !names.has(name),
  );
}

function tableTensors({ degradation, ...networks }: ModelConfigs): ExpectedTensor[] {
  if (degradation === null) return [];
  const { frequencies, blockEmbedding } = degradation;
  const blocks = blockCounts(networks);
  return [
    { name: FREQUENCIES, shape: [frequencies] },
    ...LORA_PARTS.map((part) => ({
      name: blockTable(part),
      shape: [blocks[part], blockEmbedding],
    })),
  ];
}
