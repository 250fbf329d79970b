/** A minimal model in memory, random but tame, for tests of loading and of the pipeline. */
import type { Gpu } from "../../src/gpu/device.ts";
import { floatToHalfBits } from "../../src/gpu/dtype.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import type { Weight } from "../../src/graph/ir/ir.ts";
import { loadWeights } from "../../src/rcod/loading/load.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import { Pipeline } from "../../src/rcod/pipeline.ts";
import type { RcodConfig } from "../../src/rcod/settings/config.ts";
import type { ModelConfigs } from "../../src/rcod/settings/model-configs.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { NamedTensorData } from "../../src/weights/index.ts";
import { memoryFiles, writeSafetensors } from "../../src/weights/index.ts";
import { parameterValues } from "../graph/support.ts";
import { uniformSource } from "../support/random.ts";

export interface MinimalOptions {
  readonly vaeWidths?: readonly number[];
  readonly midAttention?: boolean;
  readonly minSize?: number;
  readonly upscale?: number;
  /** Channels of a pixel path. Default: none. */
  readonly pixelChannels?: number;
  /** Widths of mem/. Default: no such folder. */
  readonly mem?: readonly number[];
}

const IMAGE_PROJ = "image_proj.";

/** The config.json files of the minimal model by path. */
export function minimalConfigs({
  vaeWidths = [8, 8],
  midAttention = true,
  minSize = 4,
  upscale = 4,
  pixelChannels,
  mem,
}: MinimalOptions = {}): Record<string, unknown> {
  return {
    "unet/config.json": {
      block_out_channels: [8, 16],
      layers_per_block: 1,
      down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"],
      up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D"],
      attention_head_dim: 2,
      cross_attention_dim: 12,
      norm_num_groups: 4,
      ...(pixelChannels && { in_channels: 4 + pixelChannels, out_channels: 4 + pixelChannels }),
    },
    "vae/config.json": {
      block_out_channels: vaeWidths,
      layers_per_block: 1,
      norm_num_groups: 4,
      scaling_factor: 0.5,
      mid_block_add_attention: midAttention,
      ...(pixelChannels && { pixel_channels: pixelChannels }),
    },
    "image_encoder/config.json": {
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      image_size: 28,
      patch_size: 14,
    },
    "rcod_config.json": { min_size: minSize, upscale, color_fix: "none" },
    ...(mem && {
      "mem/config.json": {
        _class_name: "MetricEstimationModule",
        in_channels: 4,
        block_out_channels: mem,
      },
    }),
  };
}

function halfTensor(name: string, { shape, ...rest }: Weight): NamedTensorData {
  const values = parameterValues({
    ...rest,
    shape,
    layout: rest.layout.endsWith("matrix")
      ? "matrix"
      : rest.layout === "table"
        ? "table"
        : "vector",
  });
  const words = Uint16Array.from(values, floatToHalfBits);
  return { name, dtype: "F16", shape, data: new Uint8Array(words.buffer) };
}

/** All files of the minimal model; `tensors` may drop or add some of a part. */
export async function minimalFiles(
  options: MinimalOptions = {},
  tensors: (part: string, list: NamedTensorData[]) => NamedTensorData[] = (_part, list) => list,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const [path, json] of Object.entries(minimalConfigs(options))) {
    files.set(path, new TextEncoder().encode(JSON.stringify(json)));
  }
  const parameters = modelParameters(await readConfigs(memoryFiles(files)));
  const parts: Record<string, NamedTensorData[]> = {
    unet: [],
    vae: [],
    image_encoder: [],
    image_proj: [],
    ...(options.mem && { mem: [] }),
  };
  for (const weight of parameters.unet) parts["unet"]?.push(halfTensor(weight.name, weight));
  for (const weight of parameters.vae) parts["vae"]?.push(halfTensor(weight.name, weight));
  for (const weight of parameters.mem) parts["mem"]?.push(halfTensor(weight.name, weight));
  for (const weight of parameters.clip) {
    const isProjection = weight.name.startsWith(IMAGE_PROJ);
    const name = isProjection ? weight.name.slice(IMAGE_PROJ.length) : weight.name;
    parts[isProjection ? "image_proj" : "image_encoder"]?.push(halfTensor(name, weight));
  }
  for (const [part, list] of Object.entries(parts)) {
    const stem = part === "unet" || part === "vae" ? "diffusion_pytorch_model" : "model";
    files.set(`${part}/${stem}.safetensors`, writeSafetensors(tensors(part, list)));
  }
  return files;
}

export interface MinimalPipeline {
  readonly pipeline: Pipeline;
  readonly configs: ModelConfigs;
}

export async function minimalPipeline(
  gpu: Gpu,
  dtype: DType = "f32",
  options: MinimalOptions = {},
  latentTiles?: RcodConfig["latentTiles"],
): Promise<MinimalPipeline> {
  const files = memoryFiles(await minimalFiles(options));
  const read = await readConfigs(files);
  const configs = latentTiles ? { ...read, rcod: { ...read.rcod, latentTiles } } : read;
  const weights = await loadWeights(gpu, files, configs, dtype);
  return { configs, pipeline: new Pipeline(gpu, configs, weights, dtype) };
}

/** A smooth image with some noise. */
export function testImage(width: number, height: number, channels: 3 | 4 = 3, seed = 1): RawImage {
  const next = uniformSource(seed);
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(i / channels) % width;
    const y = Math.floor(i / channels / width);
    data[i] = Math.round(
      127 + 80 * Math.sin((x + (i % channels)) / 3) * Math.cos(y / 4) + 40 * (next() - 0.5),
    );
  }
  return { width, height, channels, data };
}

/** Largest difference of two images' bytes. */
export function largestDifference(a: RawImage, b: RawImage): number {
  if (a.data.length !== b.data.length)
    throw new Error(`${a.data.length} bytes and ${b.data.length}`);
  let largest = 0;
  for (let i = 0; i < a.data.length; i++)
    largest = Math.max(largest, Math.abs((a.data[i] as number) - (b.data[i] as number)));
  return largest;
}
