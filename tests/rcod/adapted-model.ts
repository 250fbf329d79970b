/** The minimal model as a frozen base with an RCOD checkpoint, and the same model merged in doubles. */
import { halvesToFloats } from "../../src/gpu/dtype.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import type { NamedTensorData, TensorData } from "../../src/weights/index.ts";
import { memoryFiles, writeSafetensors } from "../../src/weights/index.ts";
import { mergeLora } from "../reference/pack-weight.ts";
import { uniformArray } from "../support/random.ts";
import type { MinimalOptions } from "./support.ts";
import { minimalConfigs, minimalFiles } from "./support.ts";

export const CHECKPOINT = "rcod_lora.safetensors";
const RANKS = { unet: 2, vae: 3 } as const;
/** Not PEFT's 8, so that ignoring it shows. */
const ALPHA = 5;

/** What RCOD adapts: attention, feed-forward and convolutions, neither norms nor the time embedding. */
const UNET_MODULE =
  /(^|\.)(to_[qkv]|to_out\.0|conv\w*|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2)$/;
const VAE_MODULE = /^((en|de)coder\.|(post_)?quant_conv$)/;

/** The checkpoint before it is written; tests damage it. */
export interface CheckpointDraft {
  readonly tensors: Map<string, TensorData>;
  readonly metadata: Map<string, string>;
}

export interface AdaptedModel {
  /** Base, checkpoint, no image_proj/. */
  readonly files: Map<string, Uint8Array>;
  /** The same without a checkpoint: merged weights in F32, and image_proj/. */
  readonly merged: Map<string, Uint8Array>;
  readonly checkpoint: CheckpointDraft;
}

export function floats(values: Float64Array, shape: readonly number[]): TensorData {
  return { dtype: "F32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

function valuesOf({ dtype, data }: TensorData): Float64Array {
  return dtype === "F32"
    ? Float64Array.from(new Float32Array(data.slice().buffer))
    : Float64Array.from(halvesToFloats(new Uint16Array(data.slice().buffer)));
}

/** The list of its modules that the checkpoint's metadata keeps per adapter, by RCOD's rule. */
function adapterOf(part: "unet" | "vae", module: string): "encoder" | "decoder" | "others" {
  if (part === "vae") return /^(decoder\.|post_)/.test(module) ? "decoder" : "encoder";
  if (/down_blocks|conv_in/.test(module)) return "encoder";
  return /up_blocks|conv_out/.test(module) ? "decoder" : "others";
}

/** Both folders. `damage` may change the checkpoint before it is written. */
export async function adaptedModel(
  damage: (checkpoint: CheckpointDraft) => unknown = () => undefined,
  options: MinimalOptions = {},
): Promise<AdaptedModel> {
  const base = new Map<string, NamedTensorData[]>();
  const files = await minimalFiles(options, (part, list) => {
    base.set(part, list);
    return list;
  });
  const parameters = modelParameters(await readConfigs(memoryFiles(files)));
  const tensors = new Map<string, TensorData>();
  const lists = new Map(
    ["unet_encoder", "unet_decoder", "unet_others", "vae_encoder", "vae_decoder"].map((key) => [
      key,
      [] as string[],
    ]),
  );
  const merged = new Map(files);
  const config = minimalConfigs(options)["rcod_config.json"] as object;
  const text = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));
  files.set("rcod_config.json", text({ ...config, checkpoint: CHECKPOINT, lora_alpha: ALPHA }));
  files.delete("image_proj/model.safetensors");

  let seed = 100;
  const trained = (name: string, shape: readonly number[], scale: number): Float64Array => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = uniformArray(count, seed++, scale).map(Math.fround);
    tensors.set(name, floats(values, shape));
    return values;
  };
  for (const part of ["unet", "vae"] as const) {
    const rank = RANKS[part];
    const list = (base.get(part) ?? []).map((tensor): NamedTensorData => {
      const { name, shape } = tensor;
      const module = name.replace(/\.weight$/, "");
      const isConvIn = part === "unet" && name.startsWith("conv_in.");
      const values = isConvIn
        ? trained(`state_dict_unet.conv_in.base_layer.${name.slice(8)}`, shape, 0.4)
        : valuesOf(tensor);
      const isMatrix = parameters[part].some(
        (weight) => weight.name === name && weight.layout.endsWith("matrix"),
      );
      const hasLora = isMatrix && (part === "unet" ? UNET_MODULE : VAE_MODULE).test(module);
      if (!hasLora) return { name, ...floats(values, shape) };
      const adapter = adapterOf(part, module);
      // Some layers are adapted twice by RCOD's patterns: lists have duplicates.
      lists.get(`${part}_${adapter}`)?.push(module, ...(module.includes("conv") ? [module] : []));
      const [out = 1, ...rest] = shape;
      const stem = `state_dict_${part}.${module}`;
      const a = trained(`${stem}.lora_A.default_${adapter}.weight`, [rank, ...rest], 0.2);
      const kernel = rest.slice(1).map(() => 1);
      const b = trained(`${stem}.lora_B.default_${adapter}.weight`, [out, rank, ...kernel], 0.2);
      return { name, ...floats(mergeLora(values, a, b, rank, ALPHA / rank), shape) };
    });
    merged.set(`${part}/diffusion_pytorch_model.safetensors`, writeSafetensors(list));
  }
  const projection = (base.get("image_proj") ?? []).map(({ name, shape }): NamedTensorData => {
    const values = trained(`state_dict_proj.${name}`, shape, 0.3);
    return { name, ...floats(values, shape) };
  });
  merged.set("image_proj/model.safetensors", writeSafetensors(projection));

  const metadata = new Map<string, string>([
    ["rank_unet", String(RANKS.unet)],
    ["rank_vae", String(RANKS.vae)],
    ...[...lists].map(([key, modules]): [string, string] => [
      `${key.replace("_", "_lora_")}_modules`,
      JSON.stringify(modules),
    ]),
  ]);
  const checkpoint = { tensors, metadata };
  damage(checkpoint);
  files.set(
    CHECKPOINT,
    writeSafetensors(
      [...tensors].map(([name, tensor]) => ({ name, ...tensor })),
      metadata,
    ),
  );
  return { files, merged, checkpoint };
}
