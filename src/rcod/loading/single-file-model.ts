/**
 * Stable Diffusion in one file, safetensors or `.ckpt`, as the folders `unet/` and `vae/` of diffusers. The file does not
 * say its configuration: it is taken for Stable Diffusion 2.1-base, which predicts noise, and checked by its shapes.
 * Loaded only for such files.
 */
import { quoted } from "../../weights/errors.ts";
import type {
  ByteSource,
  FileSet,
  SingleFile,
  WeightFile,
  WeightStore,
} from "../../weights/index.ts";
import {
  WeightsError,
  bytesSource,
  layoutSafetensors,
  openWeightFile,
  readAheadFiles,
  renamedStore,
} from "../../weights/index.ts";
import { checkedSource } from "../../weights/sources/source.ts";
import { isTensorDtype } from "../../weights/tensor-info.ts";
import { parseUNetConfig, parseVaeConfig } from "../settings/config.ts";
import { LDM_UNET, LDM_VAE, unetRename, vaeRename } from "./ldm-names.ts";
import { withPlainNames } from "./stored-tensors.ts";

/** diffusers' configurations of the two networks. */
export interface BaseConfigs {
  readonly unet: object;
  readonly vae: object;
}

/** Those of Stable Diffusion 2.1-base. */
export const SD_2_1_BASE: BaseConfigs = {
  unet: {
    _class_name: "UNet2DConditionModel",
    sample_size: 64,
    in_channels: 4,
    out_channels: 4,
    block_out_channels: [320, 640, 1280, 1280],
    down_block_types: [...Array<string>(3).fill("CrossAttnDownBlock2D"), "DownBlock2D"],
    up_block_types: ["UpBlock2D", ...Array<string>(3).fill("CrossAttnUpBlock2D")],
    layers_per_block: 2,
    attention_head_dim: [5, 10, 20, 20],
    cross_attention_dim: 1024,
    use_linear_projection: true,
  },
  vae: {
    _class_name: "AutoencoderKL",
    block_out_channels: [128, 256, 512, 512],
    down_block_types: Array<string>(4).fill("DownEncoderBlock2D"),
    up_block_types: Array<string>(4).fill("UpDecoderBlock2D"),
    layers_per_block: 2,
    latent_channels: 4,
    scaling_factor: 0.18215,
  },
};

const WEIGHTS = /^(unet|vae)\/diffusion_pytorch_model\.safetensors$/;

/** The file as a folder. Opens nothing yet. */
export function singleFileModel(file: SingleFile, configs: BaseConfigs = SD_2_1_BASE): FileSet {
  const texts: Readonly<Record<string, unknown>> = {
    "unet/config.json": configs.unet,
    "vae/config.json": configs.vae,
    // The file does not tell; see above.
    "scheduler/scheduler_config.json": { prediction_type: "epsilon" },
  };
  const inFolder: FileSet = { name: file.name, open: (_path, signal) => file.open(signal) };
  return {
    name: file.name,
    async open(path, signal) {
      if (path === "unet/config.json") await checkFile(inFolder, file.name, signal);
      if (Object.hasOwn(texts, path)) {
        return bytesSource(path, new TextEncoder().encode(JSON.stringify(texts[path])));
      }
      const part = WEIGHTS.exec(path)?.[1];
      if (part === undefined) return null;
      const { store } = await openFile(inFolder, file.name, signal);
      const [prefix, rename] =
        part === "unet"
          ? [LDM_UNET, unetRename(parseUNetConfig(configs.unet))]
          : [LDM_VAE, vaeRename(parseVaeConfig(configs.vae))];
      const renamed = renamedStore(store, (name) =>
        name.startsWith(prefix) && isTensorDtype(store.info(name).dtype)
          ? rename(name.slice(prefix.length))
          : null,
      );
      return safetensorsSource(`${path} of ${file.name}`, renamed);
    },
  };
}

async function openFile(files: FileSet, name: string, signal?: AbortSignal): Promise<WeightFile> {
  const path = name.endsWith(".safetensors") ? "model.safetensors" : "model.ckpt";
  const file = await openWeightFile(readAheadFiles(files), path, signal);
  if (file !== null) return withPlainNames(file, {});
  throw new WeightsError(
    `weights: the model must exist, got no file (${name}). Check its name or address`,
  );
}

/** Refuses by name what is not Stable Diffusion 2.x. */
async function checkFile(files: FileSet, name: string, signal?: AbortSignal): Promise<void> {
  const { store } = await openFile(files, name, signal);
  try {
    const { kindOfTensors } = await import("./foreign-names.ts");
    const kind = kindOfTensors(store.names());
    const got =
      kind === "Stable Diffusion in one file" ? versionOf(store) : (kind ?? "other tensors");
    if (got === null) return;
    throw new WeightsError(
      `weights: a model in one file must be Stable Diffusion 2.x with its VAE, got ${got} (${quoted(name)}). ` +
        "Use v2-1_512-ema-pruned, or the folder of the model that the checkpoint was trained on",
    );
  } finally {
    await store.close();
  }
}

const INPUTS: Readonly<Record<number, string>> = {
  5: "its depth version",
  7: "its upscaler",
  8: "an InstructPix2Pix",
  9: "an inpainting model",
};

/** What a file is that is no Stable Diffusion 2.x; null for one. */
function versionOf(store: WeightStore): string | null {
  const shapeOf = (name: string): readonly number[] =>
    store.has(LDM_UNET + name) ? store.info(LDM_UNET + name).shape : [];
  const inputs = shapeOf("input_blocks.0.0.weight")[1] ?? 4;
  if (inputs !== 4) return INPUTS[inputs] ?? `a UNet of ${inputs} input channels`;
  const context = shapeOf("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")[1];
  if (context === 768) return "Stable Diffusion 1.x (a context of 768 channels)";
  if (context === 2048) return "Stable Diffusion XL";
  return null;
}

/** The tensors of a store as one safetensors file, which is put together where it is read. Takes the store over. */
function safetensorsSource(name: string, store: WeightStore): ByteSource {
  const { start, tensors, byteLength } = layoutSafetensors(
    Array.from(store.names(), (tensor) => store.info(tensor)),
    [],
  );
  let end = start.byteLength;
  const places = tensors.map((tensor) => {
    const begin = end;
    end += store.info(tensor.name).byteLength;
    return { name: tensor.name, begin, end };
  });
  return checkedSource(
    name,
    byteLength,
    async (offset, length, signal) => {
      const bytes = new Uint8Array(length);
      const last = offset + length;
      if (offset < start.byteLength) bytes.set(start.subarray(offset, last));
      for (const place of places) {
        const [from, to] = [Math.max(place.begin, offset), Math.min(place.end, last)];
        if (from >= to) continue;
        const part = await store.readRange(place.name, from - place.begin, to - from, signal);
        bytes.set(part, from - offset);
      }
      return bytes;
    },
    () => store.close(),
  );
}
