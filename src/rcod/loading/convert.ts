/**
 * Converts a model, whatever pieces it comes in, to the files of one self-contained folder. Tensors have the names that
 * the graphs use, and only what the pipeline reads is written. RCOD_O's LoRA is merged (`merge.ts`). RCOD_S's LoRA
 * depends on the image and stays beside its base. Nothing is held in memory but the scales of a file of integers: a file makes
 * its bytes as they are read.
 */
import type { DType } from "../../gpu/dtype.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";
import type { FileSet, JsonObject } from "../../weights/index.ts";
import { WeightsError, readJson, readText } from "../../weights/index.ts";
import { IMAGE_PROJ } from "../networks/graphs.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import { modelParameters } from "../networks/stage-graphs.ts";
import type { ClipConfig } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { Quantization, ScaleBlock, StorageOf } from "../settings/quantization.ts";
import { quantizationJson, storageOf } from "../settings/quantization.ts";
import type { ConvertedFile, ConvertedFolder, ConvertedTensor } from "./converted-files.ts";
import { floatTensor, shards, textFile, weightFile } from "./converted-files.ts";
import { integerTensors, scalesName } from "./integer-tensors.ts";
import { MEM_SCOPE, openModel, releasedMemName } from "./open-model.ts";
import type { QuantizationRecipe, QuantizedPart } from "./quantization-recipe.ts";
import { QUANTIZED_PARTS, quantizationOf } from "./quantization-recipe.ts";
import { QuantizedMatrix } from "./quantize.ts";
import type { RcodCheckpoint } from "./rcod-checkpoint.ts";
import { isDegradationTensor } from "./rcod-checkpoint.ts";
import { readConfigs } from "./read-configs.ts";
import type { OpenOptions } from "./stored-tensors.ts";
import { storeSource } from "./stored-tensors.ts";

export interface ConvertOptions extends OpenOptions {
  /** Storage of matrices. Vectors and tables are f32 in both: so they are on the device. */
  readonly dtype: DType;
  /** Matrices as integers (`quantization-recipe.ts`). Absent: as floats. */
  readonly quantize?: QuantizationRecipe | undefined;
  /** Their blocks. Default 32. */
  readonly scaleBlock?: ScaleBlock | undefined;
  /** Most bytes of tensors in one weight file; a larger tensor has a file of its own. */
  readonly shardBytes: number;
}

/** A checked model that is ready to be written. Whoever plans it closes it. */
export interface Conversion {
  readonly files: readonly ConvertedFile[];
  readonly close: () => Promise<void>;
}

/**
 * Opens and checks a model; see `modelFiles` for the pieces that it may come in. Reads no weights yet.
 * @throws WeightsError or ConfigError for what is wrong with the files
 */
export async function planConversion(files: FileSet, options: ConvertOptions): Promise<Conversion> {
  const { dtype, quantize, scaleBlock, shardBytes, signal } = options;
  const configs = await readConfigs(files, signal);
  checkQuantizable(configs, quantize);
  const quantizations: Quantizations = quantize
    ? quantizationsOf(configs, quantize, scaleBlock)
    : {};
  const json = (path: string, value: unknown): ConvertedFile =>
    textFile(path, `${JSON.stringify(value, null, 2)}\n`);
  const copy = async (path: string, part?: QuantizedPart): Promise<ConvertedFile> => {
    const quantization = part && quantizations[part];
    if (!quantization) return textFile(path, await readText(files, path, signal));
    const config = (await readJson(files, path, signal)) as JsonObject; // read once by `readConfigs`
    return json(path, { ...config, ...quantizationJson(quantization) });
  };
  const texts = [
    json("rcod_config.json", rcodConfigJson(configs)),
    await copy("unet/config.json", "unet"),
    await copy("vae/config.json", "vae"),
    json("image_encoder/config.json", {
      ...clipConfigJson(configs.clip),
      ...(quantizations.clip && quantizationJson(quantizations.clip)),
    }),
    ...(configs.mem ? [await copy("mem/config.json")] : []),
  ];
  const { sources, parameters, checkpoint, close } = await openModel(files, configs, options);
  try {
    const modulated = configs.degradation ? checkpoint : null;
    const folders = [...sources].flatMap(([part, source]) =>
      modulated && part === "degradation"
        ? []
        : convertedFolders(part, modulated ? unmerged(source) : source, parameters[part], {
            dtype,
            storage: storageOf(quantizations[part] ?? null),
          }),
    );
    const weights = folders
      .filter(({ folder }) => !(modulated && folder === IMAGE_PROJ)) // is in the checkpoint
      .flatMap((weightFolder) => shards(weightFolder, shardBytes));
    const degradation = sources.get("degradation");
    const modulation =
      modulated && degradation
        ? modulatedFiles(modulated, degradation, parameters.degradation, dtype)
        : [];
    return { files: [...texts, ...weights, ...modulation], close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The files of a conversion by their paths, whole and in memory. Ends the conversion. */
export async function convertedInMemory({
  files,
  close,
}: Conversion): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  try {
    const folder = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const file of files) {
      const bytes = new Uint8Array(file.byteLength);
      let at = 0;
      for await (const piece of file.bytes()) {
        bytes.set(piece, at);
        at += piece.byteLength;
      }
      folder.set(file.path, bytes);
    }
    return folder;
  } finally {
    await close();
  }
}

/** Integers are made of floats, and of weights that are the same for all images. */
function checkQuantizable(configs: ModelConfigs, quantize: QuantizationRecipe | undefined): void {
  const part = QUANTIZED_PARTS.find((name) => configs[name].quantization !== null);
  if (part !== undefined) {
    throw new WeightsError(
      `convert: the source must be floats, got ${configs[part].quantization?.scheme} (${part}). Convert the model that it was made of`,
    );
  }
  if (quantize === undefined || configs.degradation === null) return;
  throw new WeightsError(
    `convert: weights must be the same for all images to become ${quantize}, got an RCOD_S model, whose UNet and encoder ` +
      "are merged for each. Convert it without --weights",
  );
}

type Quantizations = Partial<Readonly<Record<ModelPart, Quantization>>>;

function quantizationsOf(
  configs: ModelConfigs,
  recipe: QuantizationRecipe,
  scaleBlock?: ScaleBlock,
): Quantizations {
  const parameters = modelParameters(configs);
  return Object.fromEntries(
    QUANTIZED_PARTS.map((part) => [
      part,
      quantizationOf(part, recipe, parameters[part], scaleBlock),
    ]),
  );
}

/** A source without its LoRA. */
function unmerged(source: TensorSource): TensorSource {
  return { tensor: (name) => source.tensor(name), lora: () => null };
}

/**
 * RCOD_S's files beside the base: the checkpoint flattened, with its factors and metadata; the estimator; the metric
 * estimation module. Tables, and layers that look at the image, are computed in f32 and stay F32.
 */
function modulatedFiles(
  checkpoint: RcodCheckpoint,
  degradation: TensorSource,
  parameters: readonly Weight[],
  dtype: DType,
): ConvertedFile[] {
  const { store, metadata } = checkpoint;
  const trained = Array.from(store.names(), (name): ConvertedTensor => {
    const { shape } = store.info(name);
    const isHalf = dtype === "f16" && shape.length > 1 && !isDegradationTensor(name);
    return floatTensor(storeSource(store), { name, shape, layout: "matrix" }, isHalf);
  });
  const isMem = ({ name }: Weight): boolean => name.startsWith(MEM_SCOPE);
  const exact = (weights: readonly Weight[], rename = (name: string) => name): ConvertedTensor[] =>
    weights.map((weight) => floatTensor(degradation, weight, false, rename(weight.name)));
  const layers = checkpoint.modulationLayers();
  const estimator = parameters.filter((weight) => !isMem(weight) && !layers.has(weight.name));
  const mem = parameters.filter(isMem);
  return [
    weightFile(CONVERTED.checkpoint, trained, metadata),
    weightFile(CONVERTED.degradationEstimator, exact(estimator)),
    ...(mem.length > 0 ? [weightFile(CONVERTED.memCheckpoint, exact(mem, releasedMemName))] : []),
  ];
}

/** RCOD_S's files in a converted folder. */
const CONVERTED = {
  checkpoint: "rcod_s.safetensors",
  degradationEstimator: "de_net.safetensors",
  memCheckpoint: "rcod_s_mem.safetensors",
} as const;

function convertedFolders(
  part: ModelPart,
  source: TensorSource,
  parameters: readonly Weight[],
  { dtype, storage: storageOfMatrix }: { readonly dtype: DType; readonly storage: StorageOf },
): readonly ConvertedFolder[] {
  const tensorsOf = (weights: readonly Weight[], prefix = ""): readonly ConvertedTensor[] =>
    weights.flatMap((weight) => {
      const isMatrix = weight.layout === "matrix";
      const storage = isMatrix && prefix === "" ? storageOfMatrix(weight.name) : undefined;
      if (storage !== undefined) return integerFiles(source, weight, storage);
      return [
        floatTensor(source, weight, dtype === "f16" && isMatrix, weight.name.slice(prefix.length)),
      ];
    });
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

/** A parameter as integers and scales. */
function integerFiles(
  source: TensorSource,
  weight: Weight,
  storage: IntegerStorage,
): readonly ConvertedTensor[] {
  const { values, scales } = integerTensors(weight.shape, storage);
  const matrix = new QuantizedMatrix(source, weight, storage);
  return [
    { name: weight.name, ...values, bytes: (signal) => matrix.integers(signal) },
    { name: scalesName(weight.name), ...scales, bytes: (signal) => matrix.scales(signal) },
  ];
}

/** `rcod_config.json` with every field that `parseRcodConfig` reads, except RCOD_O's checkpoint, which is merged. */
function rcodConfigJson({ rcod, degradation }: ModelConfigs): unknown {
  const { instance, alpha, timesteps, realismTimesteps, thresholds, colorFix } = rcod;
  const { latentTiles, upscale, minSize } = rcod;
  return {
    instance,
    alpha,
    timesteps,
    realism_timesteps: realismTimesteps,
    thresholds,
    color_fix: colorFix,
    upscale,
    min_size: minSize,
    latent_tile: latentTiles.tile,
    latent_overlap: latentTiles.overlap,
    ...(degradation && {
      checkpoint: CONVERTED.checkpoint,
      degradation_estimator: CONVERTED.degradationEstimator,
      ...(degradation.hasMem && { mem_checkpoint: CONVERTED.memCheckpoint }),
      lora_alpha: rcod.loraAlpha,
    }),
  };
}

/** The config.json of CLIP's vision tower alone. */
function clipConfigJson(config: ClipConfig): object {
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
