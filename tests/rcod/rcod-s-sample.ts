/** A tiny RCOD_S model folder as people have it: base, CLIP and the three files of torch.save. */
import { floatToHalfBits, halfBitsToFloat } from "../../src/gpu/dtype.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import { fnv1a32, recipeHalves } from "../../src/verify/runner/recipe.ts";
import type { NamedTensorData } from "../../src/weights/index.ts";
import { memoryFiles, toFloat32, writeSafetensors } from "../../src/weights/index.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";
import { elementByteLength } from "../../src/weights/tensor-info.ts";
import { openTorch } from "../../src/weights/torch/torch-file.ts";
import { readPickle } from "../../src/weights/torch/torch-pickle.ts";
import type { TorchStorage } from "../../src/weights/torch/torch-tensor.ts";
import { fmix32 } from "../support/fmix32.ts";
import { archiveOf, torchFixture } from "../weights/torch/torch-samples.ts";

const attention = (type: string): string[] => Array.from({ length: 3 }, () => `CrossAttn${type}`);

const CONFIGS = {
  "unet/config.json": {
    block_out_channels: [16, 32, 32, 32],
    layers_per_block: 1,
    down_block_types: [...attention("DownBlock2D"), "DownBlock2D"],
    up_block_types: ["UpBlock2D", ...attention("UpBlock2D")],
    attention_head_dim: [1, 1, 2, 2],
    cross_attention_dim: 48,
    norm_num_groups: 8,
  },
  "vae/config.json": {
    block_out_channels: [16, 16, 32, 32],
    layers_per_block: 2,
    norm_num_groups: 16,
  },
  "image_encoder/config.json": {
    vision_config: {
      hidden_size: 48,
      intermediate_size: 96,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      image_size: 56,
      patch_size: 14,
    },
  },
  "rcod_config.json": { instance: "RCOD_S" },
};

/** Folder, prefix in the recipe, and file of each part of the base. */
const BASE = [
  ["unet", "turbo-tiny/unet/", "unet/diffusion_pytorch_model.safetensors"],
  ["vae", "turbo-tiny/vae/", "vae/diffusion_pytorch_model.safetensors"],
  ["clip", "clip-tiny/", "image_encoder/model.safetensors"],
] as const;

let files: Promise<ReadonlyMap<string, Uint8Array>> | undefined;

/** The folder's files; the caller may change the copy. */
export async function rcodSFiles(): Promise<Map<string, Uint8Array>> {
  files ??= makeFiles();
  return new Map(await files);
}

async function makeFiles(): Promise<ReadonlyMap<string, Uint8Array>> {
  const made = new Map<string, Uint8Array>(
    Object.entries(CONFIGS).map(([path, json]) => [path, encodeJson(json)]),
  );
  made.set("rcod_s.pkl", await checkpoint());
  made.set("de_net.pth", torchFixture("de_net.pth"));
  made.set("rcod_s_mem.pkl", torchFixture("rcod_s_mem.pkl"));
  const parameters = modelParameters(await readConfigs(memoryFiles(made)));
  for (const [part, prefix, path] of BASE) {
    const tensors = parameters[part]
      .filter(({ name }) => !name.startsWith("image_proj."))
      .map(({ name, shape }): NamedTensorData => {
        const count = shape.reduce((product, size) => product * size, 1);
        const halves = recipeHalves(`${prefix}${name}`, shape, 0, 0, count);
        return { name, dtype: "F16", shape, data: new Uint8Array(halves.buffer) };
      });
    made.set(path, writeSafetensors(tensors));
  }
  return made;
}

const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** The pickle that torch.save wrote, with the tensors of the recipe. */
async function checkpoint(): Promise<Uint8Array<ArrayBuffer>> {
  const pickle = torchFixture("rcod_s.data.pkl");
  const storages = new Map<string, TorchStorage>();
  const where = "rcod_s.data.pkl";
  readPickle(pickle, 0, {
    where,
    storageIdLength: 5,
    fileByteLength: Infinity,
    storages,
    checkStorage: () => undefined,
  });
  const data: Record<string, Uint8Array<ArrayBuffer>> = {};
  for (const [key, { dtype, elementCount }] of storages)
    data[key] = new Uint8Array(elementCount * elementByteLength(dtype));
  const { tensors } = await openTorch(bytesSource(where, archiveOf(pickle, data)));
  for (const [name, { shape, storage, offset }] of tensors) {
    const values = valuesOf(name, shape);
    new Float32Array((data[storage.key] as Uint8Array<ArrayBuffer>).buffer).set(values, offset);
  }
  return archiveOf(pickle, data);
}

function valuesOf(name: string, shape: readonly number[]): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const plain = name.replace(/\.(lora_[AB])\.[^.]+\.weight$/, ".$1.weight");
  if (name !== "w" && !name.startsWith("state_embeddings.")) {
    const recipe = `rcod_s/${plain.replace(".", "/")}`;
    const halves = recipeHalves(recipe, shape, 0, 0, count);
    return toFloat32({ name: recipe, dtype: "F16" }, new Uint8Array(halves.buffer));
  }
  const seed = fnv1a32(`rcod_s/${plain.replaceAll(".", "/")}`);
  return Float32Array.from({ length: count }, (_, i) => {
    const u = fmix32((seed + Math.imul(i, 0x9e3779b9)) >>> 0) / 2 ** 31 - 1;
    return halfBitsToFloat(floatToHalfBits(Math.sqrt(3) * u));
  });
}
