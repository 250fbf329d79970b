/**
 * The oddities of weight files, and only here: renamed keys, dtypes the kernels do not decode. RCOD's own
 * checkpoint is in `rcod-checkpoint.ts`.
 */
import type { LoraUpdate, SourceTensor, TensorSource } from "../../graph/weights/device-weights.ts";
import type { WeightStore } from "../../weights/index.ts";
import { WeightsError, renamedStore, toFloat32 } from "../../weights/index.ts";

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
    lora: (name) => lora.get(name) ?? null,
  };
}

/** A tensor of a store as `DeviceWeights` reads it. Throws `WeightsError` for dtypes that are no floats. */
export function storedTensor(store: WeightStore, name: string): SourceTensor {
  const { dtype, shape, byteLength } = store.info(name);
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") {
    return {
      dtype,
      shape,
      byteLength,
      read: (start, length, signal) => store.readRange(name, start, length, signal),
    };
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
