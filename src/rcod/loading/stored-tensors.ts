/**
 * The oddities of weight files, and only here: renamed keys, dtypes the kernels do not decode. RCOD's own
 * checkpoint is in `rcod-checkpoint.ts`.
 */
import type {
  LoraUpdate,
  SourceTensor,
  StoredBytes,
  TensorSource,
} from "../../graph/weights/device-weights.ts";
import type { WeightFile, WeightStore } from "../../weights/index.ts";
import { WeightsError, renamedStore, toFloat32 } from "../../weights/index.ts";
import { scalesName } from "./integer-tensors.ts";

const OLD_ATTENTION_NAMES: readonly (readonly [RegExp, string])[] = [
  [/(mid_block\.attentions\.\d+)\.query\./, "$1.to_q."],
  [/(mid_block\.attentions\.\d+)\.key\./, "$1.to_k."],
  [/(mid_block\.attentions\.\d+)\.value\./, "$1.to_v."],
  [/(mid_block\.attentions\.\d+)\.proj_attn\./, "$1.to_out.0."],
];

/** A VAE store whose mid-block attention has today's names, whichever the file uses. */
export function withCurrentAttentionNames(store: WeightStore): WeightStore {
  return renamedStore(store, (name) =>
    OLD_ATTENTION_NAMES.reduce(
      (renamed, [pattern, replacement]) => renamed.replace(pattern, replacement),
      name,
    ),
  );
}

/** How files may be taken. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined;
  /** Refuse tensors that the model does not use, instead of telling `onWarning`. Default false. */
  readonly strict?: boolean | undefined;
  /** Hears what was left out or assumed, in one sentence each. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What training scripts put around the names of a model's tensors; see `wrapped-names.ts`. */
const WRAPPED =
  /^(?:params|params_ema|model|state_dict|model_state_dict|weights|module|_orig_mod)\.|^state_dict_\w+\.(?:module|_orig_mod)\./;

/** A weight file without what was put around its names. Takes the file over. */
export async function withPlainNames(
  file: WeightFile,
  { onWarning = () => {} }: OpenOptions,
): Promise<WeightFile> {
  if (!Array.from(file.store.names()).some((name) => WRAPPED.test(name))) return file;
  const { unwrapped } = await import("./wrapped-names.ts");
  return unwrapped(file, onWarning);
}

/** A CLIP store whose names have the prefix of transformers before its version 5. */
export function withVisionPrefix(store: WeightStore): WeightStore {
  const isBare = store.has("embeddings.class_embedding");
  return isBare ? renamedStore(store, (name) => `vision_model.${name}`) : store;
}

/** Tensors of a CLIP file that its vision tower does not use. */
export const UNUSED_CLIP_TENSORS: readonly RegExp[] = [
  /^text_model\./,
  /^visual_projection\./,
  /^text_projection\./,
  /^logit_scale$/,
  /^vision_model\.post_layernorm\./,
  /^vision_model\.embeddings\.position_ids$/,
];

/** Reads graph parameters from a store, with the updates of `lora` by name; the store stays with the caller. */
export function storeSource(
  store: WeightStore,
  lora: ReadonlyMap<string, LoraUpdate> = new Map(),
): TensorSource {
  return {
    tensor: (name) => storedTensor(store, name),
    integers: (name) => ({
      values: storedBytes(store, name),
      scales: storedBytes(store, scalesName(name)),
    }),
    lora: (name) => lora.get(name) ?? null,
  };
}

function storedBytes(store: WeightStore, name: string): StoredBytes {
  return {
    byteLength: store.info(name).byteLength,
    read: (start, length, signal) => store.readRange(name, start, length, signal),
  };
}

/** A tensor of a store as `DeviceWeights` reads it. Throws `WeightsError` for dtypes that are no floats. */
export function storedTensor(store: WeightStore, name: string): SourceTensor {
  const { dtype, shape, byteLength } = store.info(name);
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") {
    return { dtype, shape, ...storedBytes(store, name) };
  }
  if (dtype !== "F64") {
    throw new WeightsError(
      `weights: "${name}" must be F64, F32, F16 or BF16, got ${dtype} (${store.name}). Convert the checkpoint`,
    );
  }
  // No shader decodes doubles: narrow on the host, piece by piece.
  return {
    dtype: "F32",
    shape,
    byteLength: byteLength / 2,
    read: async (start, length, signal) => {
      const bytes = await store.readRange(name, start * 2, length * 2, signal);
      return new Uint8Array(toFloat32({ name, dtype }, bytes).buffer);
    },
  };
}
