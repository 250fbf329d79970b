/** The oddities of checkpoints, and only here: renamed keys, dtypes the kernels do not decode, LoRA names. */
import type { LoraUpdate, SourceTensor, TensorSource } from "../graph/device-weights.ts";
import type { WeightStore } from "../weights/index.ts";
import { WeightsError, renamedStore, toFloat32 } from "../weights/index.ts";

/** PEFT's default `lora_alpha`; checkpoints do not store it. */
export const DEFAULT_LORA_ALPHA = 8;

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

/** Reads graph parameters from a store; the store stays with the caller. */
export function storeSource(store: WeightStore): TensorSource {
  return {
    tensor: (name) => storedTensor(store, name),
    lora: () => null,
  };
}

function storedTensor(store: WeightStore, name: string): SourceTensor {
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

/**
 * `base` with the low-rank updates of `adapters` merged in at load: module M with `M.lora_A[.adapter].weight`
 * and `M.lora_B[.adapter].weight` becomes W + alpha/rank · B · A. Throws `WeightsError` for an A without B, a
 * rank that differs between them, or a module the base does not have.
 */
export function withLora(
  base: TensorSource,
  adapters: WeightStore,
  alpha = DEFAULT_LORA_ALPHA,
): TensorSource {
  const updates = new Map<string, LoraUpdate>();
  const names = new Set(adapters.names());
  const problems: string[] = [];
  for (const name of names) {
    const match = /^(.*)\.lora_A(\.[^.]+)?\.weight$/.exec(name);
    if (match === null) {
      const isB = /\.lora_B(\.[^.]+)?\.weight$/.test(name);
      if (!isB) problems.push(`"${name}" is no LoRA tensor`);
      else if (!names.has(name.replace(".lora_B", ".lora_A")))
        problems.push(`"${name}" has no lora_A`);
      continue;
    }
    const [, module = "", adapter = ""] = match;
    const nameB = `${module}.lora_B${adapter}.weight`;
    if (!names.has(nameB)) {
      problems.push(`"${name}" has no lora_B`);
      continue;
    }
    const [a, b] = [storedTensor(adapters, name), storedTensor(adapters, nameB)];
    const rank = a.shape[0] ?? 0;
    const target = `${module}.weight`;
    let shape: readonly number[];
    try {
      ({ shape } = base.tensor(target));
    } catch {
      problems.push(`"${module}" is no module of the base`);
      continue;
    }
    const fits =
      shape.length >= 2 &&
      rank >= 1 &&
      b.shape[1] === rank &&
      b.shape[0] === shape[0] &&
      `${a.shape.slice(1)}` === `${shape.slice(1)}`;
    if (!fits) {
      problems.push(`"${module}": A [${a.shape}] and B [${b.shape}] do not fit [${shape}]`);
      continue;
    }
    updates.set(target, { rank, scaling: alpha / rank, a, b });
  }
  if (problems.length > 0) {
    throw new WeightsError(
      `weights: ${problems.length} LoRA problem${problems.length > 1 ? "s" : ""}: ${problems.slice(0, 8).join("; ")} (${adapters.name})`,
    );
  }
  return {
    tensor: (name) => base.tensor(name),
    lora: (name) => updates.get(name) ?? base.lora(name),
  };
}
