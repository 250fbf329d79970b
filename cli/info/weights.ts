/** What `rcod info` says of a model's weight files: whether they fit the configurations, and what stays of RCOD_S's. */
import { elementCount } from "../../src/gpu/shape.ts";
import { weightMembers } from "../../src/graph/ir/ir.ts";
import type { LoraUpdate } from "../../src/graph/weights/device-weights.ts";
import { checkPart, openPart } from "../../src/rcod/loading/open-model.ts";
import type { LoraUpdates } from "../../src/rcod/loading/rcod-checkpoint.ts";
import { openCheckpoint } from "../../src/rcod/loading/rcod-checkpoint.ts";
import type { ModelPart } from "../../src/rcod/networks/stage-graphs.ts";
import { modelParameters, modelParts, modelWeights } from "../../src/rcod/networks/stage-graphs.ts";
import type { LoraPart } from "../../src/rcod/settings/degradation-config.ts";
import { LORA_PARTS } from "../../src/rcod/settings/degradation-config.ts";
import type { ModelConfigs } from "../../src/rcod/settings/model-configs.ts";
import type { FileSet, WeightStem, WeightStore } from "../../src/weights/index.ts";
import { WeightsError, hasWeights } from "../../src/weights/index.ts";

/** The weight files of one part, or the checkpoint. */
export interface WeightsInfo {
  readonly part: ModelPart | "checkpoint";
  readonly tensors: number;
  readonly bytes: number;
  /** Of the model's values in this part; null for a checkpoint. */
  readonly bitsPerValue: number | null;
  /** What is missing, misshapen or left over; null when all is right. */
  readonly problem: string | null;
  /** What is left out or was renamed; absent where nothing is. */
  readonly notes?: readonly string[];
}

/** RCOD_S: what stays on the device beside the packed weights, to merge them for each image, as the files store it. */
export interface ResidentInfo {
  readonly part: LoraPart;
  readonly matrices: number;
  readonly baseBytes: number;
  readonly factorBytes: number;
}

export interface ModelWeightsInfo {
  readonly weights: readonly WeightsInfo[];
  /** Empty for RCOD_O, and where the checkpoint does not fit. */
  readonly resident: readonly ResidentInfo[];
}

const FOLDERS: readonly (readonly [folder: string, stem: WeightStem])[] = [
  ["image_encoder", "model"],
  ["image_proj", "model"],
  ["vae", "diffusion_pytorch_model"],
  ["unet", "diffusion_pytorch_model"],
];

/**
 * Checks every name and shape of the weights. Null for a folder that holds none at all. Throws `WeightsError`
 * when the checkpoint does not open: without it the parts are incomplete.
 */
export async function describeWeights(
  files: FileSet,
  configs: ModelConfigs,
  strict = false,
): Promise<ModelWeightsInfo | null> {
  const present = await Promise.all(FOLDERS.map(([name, stem]) => hasWeights(files, name, stem)));
  if (!present.includes(true)) return null;
  const parameters = modelParameters(configs);
  let notes: string[] = [];
  const options = { strict, onWarning: (message: string) => void notes.push(message) };
  const checkpoint = await openCheckpoint(files, configs.rcod, options);
  const checkpointNotes = notes;
  const weights: WeightsInfo[] = [];
  const byteLengths = new Map<ModelPart, ReadonlyMap<string, number>>();
  for (const part of modelParts(configs)) {
    notes = [];
    const open = (): Promise<WeightStore> => openPart(files, part, checkpoint, options);
    const check = (store: WeightStore): void => {
      checkPart(store, part, parameters[part], options);
      const lengths = [...store.names()].map(
        (name) => [name, store.info(name).byteLength] as const,
      );
      byteLengths.set(part, new Map(lengths));
    };
    const info = await describeStore(part, open, check);
    const values = parameters[part].reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const bitsPerValue = info.problem === null ? (8 * info.bytes) / values : null;
    weights.push(withNotes({ ...info, bitsPerValue }, notes));
  }
  let updates: LoraUpdates = new Map();
  if (checkpoint) {
    const check = (): void => {
      updates = checkpoint.loraUpdates(parameters, configs, options);
    };
    notes = checkpointNotes;
    const info = await describeStore("checkpoint", async () => checkpoint.store, check);
    weights.push(withNotes(info, notes));
  }
  const packed = modelWeights(configs, "f32"); // the same tensors in f16
  const resident = LORA_PARTS.flatMap((part): readonly ResidentInfo[] => {
    const lengths = byteLengths.get(part);
    const own = updates.get(part);
    if (!configs.degradation || !lengths || !own) return [];
    const names = packed[part].flatMap((weight) => weightMembers(weight).map(({ name }) => name));
    return [residentInfo(part, names, lengths, own)];
  });
  return { weights, resident };
}

function withNotes(info: WeightsInfo, notes: readonly string[]): WeightsInfo {
  return notes.length > 0 ? { ...info, notes } : info;
}

/** A tensor that is packed twice is kept twice. */
function residentInfo(
  part: LoraPart,
  names: readonly string[],
  byteLengths: ReadonlyMap<string, number>,
  updates: ReadonlyMap<string, LoraUpdate>,
): ResidentInfo {
  let [matrices, baseBytes, factorBytes] = [0, 0, 0];
  for (const name of names) {
    const update = updates.get(name);
    if (update === undefined) continue;
    matrices++;
    baseBytes += byteLengths.get(name) ?? 0;
    factorBytes += update.a.byteLength + update.b.byteLength;
  }
  return { part, matrices, baseBytes, factorBytes };
}

/** Opens, measures, checks and closes a store. */
async function describeStore(
  part: WeightsInfo["part"],
  open: () => Promise<WeightStore>,
  check: (store: WeightStore) => void,
): Promise<WeightsInfo> {
  let [tensors, bytes] = [0, 0];
  let problem: string | null = null;
  let store: WeightStore | undefined;
  try {
    store = await open();
    for (const name of store.names()) {
      tensors++;
      bytes += store.info(name).byteLength;
    }
    check(store);
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    problem = error.message;
  } finally {
    await store?.close();
  }
  return { part, tensors, bytes, bitsPerValue: null, problem };
}
