/**
 * A model, whatever pieces it comes in, as the files of one self-contained folder: LoRA merged, names of today,
 * only what the pipeline reads. Nothing is held: every file makes its bytes when they are asked for.
 */
import type { DType } from "../gpu/dtype.ts";
import { floatToHalfBits } from "../gpu/dtype.ts";
import type { TensorSource } from "../graph/device-weights.ts";
import type { Weight } from "../graph/ir.ts";
import { quoted } from "../weights/errors.ts";
import type { FileSet, TensorPlace, WeightStem } from "../weights/index.ts";
import { WeightsError, elementByteLength, layoutSafetensors, readText } from "../weights/index.ts";
import type { ClipConfig, RcodConfig } from "./config.ts";
import { IMAGE_PROJ } from "./graphs.ts";
import type { ModelPart } from "./model-parts.ts";
import { readConfigs } from "./model-configs.ts";
import { modelParameters } from "./model-parts.ts";
import { openModel } from "./open-model.ts";
import { mergedPieces } from "./merge.ts";

export interface ConvertOptions {
  /** Storage of matrices. Vectors and tables are f32 in both: so they are on the device. */
  readonly dtype: DType;
  /** Most bytes of tensors in one weight file; a larger tensor has a file of its own. */
  readonly shardBytes: number;
  readonly signal?: AbortSignal;
}

/** A file of the converted folder. */
export interface ConvertedFile {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly byteLength: number;
  /** Its bytes, in pieces of at most 8 MiB (a header is one piece). */
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A checked model that is ready to be written. Whoever plans it closes it. */
export interface Conversion {
  readonly files: readonly ConvertedFile[];
  readonly close: () => Promise<void>;
}

/** A tensor to write, with where its values come from. */
interface ConvertedTensor extends TensorPlace {
  readonly source: TensorSource;
  readonly weight: Weight;
}

/** The weights of one folder. */
interface ConvertedPart {
  readonly folder: string;
  readonly stem: WeightStem;
  readonly tensors: readonly ConvertedTensor[];
}

/**
 * Opens and checks a model; see `modelFiles` for the pieces that it may come in. Reads no weights yet.
 * @throws WeightsError or ConfigError for what is wrong with the files
 */
export async function planConversion(files: FileSet, options: ConvertOptions): Promise<Conversion> {
  const { dtype, shardBytes, signal } = options;
  const configs = await readConfigs(files, signal);
  if (configs.degradation) {
    throw new WeightsError(
      `weights: only RCOD_O converts, got RCOD_S: its LoRA merges anew for each image (${files.name}). ` +
        "Use the folder as it is",
    );
  }
  const json = (path: string, value: unknown): ConvertedFile =>
    textFile(path, `${JSON.stringify(value, null, 2)}\n`);
  const copy = async (path: string): Promise<ConvertedFile> =>
    textFile(path, await readText(files, path, signal));
  const texts = [
    json("rcod_config.json", rcodConfigJson(configs.rcod)),
    await copy("unet/config.json"),
    await copy("vae/config.json"),
    json("image_encoder/config.json", clipConfigJson(configs.clip)),
    ...(configs.mem ? [await copy("mem/config.json")] : []),
  ];
  const parameters = modelParameters(configs);
  const { sources, close } = await openModel(files, configs, parameters, signal);
  try {
    const parts = [...sources].flatMap(([part, source]) =>
      convertedParts(part, source, parameters[part], dtype),
    );
    return { files: [...texts, ...parts.flatMap((part) => shards(part, shardBytes))], close };
  } catch (error) {
    await close();
    throw error;
  }
}

function convertedParts(
  part: ModelPart,
  source: TensorSource,
  parameters: readonly Weight[],
  dtype: DType,
): readonly ConvertedPart[] {
  const tensorsOf = (weights: readonly Weight[], prefix = ""): readonly ConvertedTensor[] =>
    weights.map((weight) => ({
      name: weight.name.slice(prefix.length),
      dtype: dtype === "f16" && weight.layout.endsWith("matrix") ? "F16" : "F32",
      shape: weight.shape,
      source,
      weight,
    }));
  if (part !== "clip") {
    const stem = part === "mem" ? "model" : "diffusion_pytorch_model";
    return [{ folder: part, stem, tensors: tensorsOf(parameters) }];
  }
  const prefix = `${IMAGE_PROJ}.`;
  const isProjection = ({ name }: Weight): boolean => name.startsWith(prefix);
  const tower = parameters.filter((weight) => !isProjection(weight));
  return [
    { folder: "image_encoder", stem: "model", tensors: tensorsOf(tower) },
    {
      folder: "image_proj",
      stem: "model",
      tensors: tensorsOf(parameters.filter(isProjection), prefix),
    },
  ];
}

/** One file, or several with an index, named as diffusers and transformers do. */
function shards({ folder, stem, tensors }: ConvertedPart, shardBytes: number): ConvertedFile[] {
  const groups: ConvertedTensor[][] = [];
  let filled = Infinity;
  for (const tensor of tensors) {
    const bytes = byteLengthOf(tensor);
    if (filled + bytes > shardBytes) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)?.push(tensor);
    filled += bytes;
  }
  if (groups.length === 1) return [weightFile(`${folder}/${stem}.safetensors`, tensors)];
  const digits = (count: number): string => String(count).padStart(5, "0");
  const names = groups.map(
    (_group, i) => `${stem}-${digits(i + 1)}-of-${digits(groups.length)}.safetensors`,
  );
  const weight_map = Object.fromEntries(
    groups.flatMap((group, i) => group.map(({ name }) => [name, names[i]])),
  );
  const total_size = tensors.reduce((sum, tensor) => sum + byteLengthOf(tensor), 0);
  const index = JSON.stringify({ metadata: { total_size }, weight_map }, null, 2);
  return [
    textFile(`${folder}/${stem}.safetensors.index.json`, `${index}\n`),
    ...groups.map((group, i) => weightFile(`${folder}/${names[i]}`, group)),
  ];
}

function byteLengthOf({ dtype, shape }: TensorPlace): number {
  return shape.reduce((product, size) => product * size, elementByteLength(dtype));
}

function textFile(path: string, text: string): ConvertedFile {
  const bytes = new TextEncoder().encode(text);
  return {
    path,
    byteLength: bytes.byteLength,
    async *bytes() {
      yield bytes;
    },
  };
}

function weightFile(path: string, tensors: readonly ConvertedTensor[]): ConvertedFile {
  const layout = layoutSafetensors(tensors, [["format", "pt"]]); // transformers reads no file without it
  return {
    path,
    byteLength: layout.byteLength,
    async *bytes(signal) {
      yield layout.start;
      for (const { source, weight, dtype } of layout.tensors) {
        for await (const values of mergedPieces(source, weight, signal)) {
          yield encode(values, dtype === "F16", weight.name);
        }
      }
    },
  };
}

const EXPONENT_OF_INFINITY = 0x7c00;

/** Little-endian elements. @throws WeightsError for what is no finite number of the dtype */
function encode(values: Float32Array, toHalf: boolean, name: string): Uint8Array {
  const fail = (value: number): never => {
    const advice = Number.isFinite(value) ? "Convert to fp32" : "The file is damaged";
    const rule = toHalf ? "finite and at most 65504 in fp16" : "finite";
    throw new WeightsError(
      `weights: values must be ${rule}, got ${value} (tensor ${quoted(name)}). ${advice}`,
    );
  };
  if (!toHalf) {
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad !== undefined) fail(bad);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const bits = floatToHalfBits(value);
    if ((bits & EXPONENT_OF_INFINITY) === EXPONENT_OF_INFINITY) fail(value);
    halves[i] = bits;
  }
  return new Uint8Array(halves.buffer);
}

/** `rcod_config.json` with every field that `parseRcodConfig` reads but the checkpoint's, which is merged. */
function rcodConfigJson(config: RcodConfig): unknown {
  const { alpha, timesteps, thresholds, colorFix, latentTiles, upscale, minSize } = config;
  return {
    instance: "RCOD_O",
    alpha,
    timesteps,
    thresholds,
    color_fix: colorFix,
    upscale,
    min_size: minSize,
    latent_tile: latentTiles.tile,
    latent_overlap: latentTiles.overlap,
  };
}

/** The vision tower's part of a CLIP config.json, as a model of its own. */
function clipConfigJson(config: ClipConfig): unknown {
  return {
    architectures: ["CLIPVisionModel"],
    model_type: "clip_vision_model",
    hidden_act: "quick_gelu",
    num_channels: 3,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    image_size: config.imageSize,
    patch_size: config.patchSize,
    layer_norm_eps: config.layerNormEps,
  };
}
