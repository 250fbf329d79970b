/**
 * A model in other storages, made in memory from one in floats: as `rcod convert` writes it, or with single groups of tensors
 * rounded to integers and back into floats. Rounded alike, both give the same picture in f32.
 */
import { halfBitsToFloat, roundToDtype } from "../../src/gpu/dtype.ts";
import { elementCount } from "../../src/gpu/shape.ts";
import type { Weight } from "../../src/graph/ir/ir.ts";
import type { IntegerStorage } from "../../src/kernels/quantized/storage.ts";
import { blockChannels, integerLimit } from "../../src/kernels/quantized/storage.ts";
import { convertedInMemory, planConversion } from "../../src/rcod/loading/convert.ts";
import type { QuantizationRecipe } from "../../src/rcod/loading/quantization-recipe.ts";
import {
  QUANTIZATION_RECIPES,
  QUANTIZED_PARTS,
  quantizationOf,
} from "../../src/rcod/loading/quantization-recipe.ts";
import { blockScale, nearestInteger } from "../../src/rcod/loading/quantize.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { IMAGE_PROJ } from "../../src/rcod/networks/graphs.ts";
import type { ModelPart } from "../../src/rcod/networks/stage-graphs.ts";
import { MODEL_PARTS, modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import type { ScaleBlock, StorageOf } from "../../src/rcod/settings/quantization.ts";
import { SCALE_BLOCKS, storageOf } from "../../src/rcod/settings/quantization.ts";
import type { FileSet, NamedTensorData } from "../../src/weights/index.ts";
import {
  bytesSource,
  memoryFiles,
  openSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../src/weights/index.ts";

/** More than a part has. */
const ONE_FILE = 1e12;

/** A model in memory. */
export interface Edition {
  readonly files: FileSet;
  readonly bytes: number;
}

/** The integers that a parameter is rounded to; undefined for one that stays as it is. */
export type RoundingOf = (part: ModelPart, weight: Weight) => IntegerStorage | undefined;

/** `f16`, a recipe, or a recipe with longer blocks: `int8-64`. */
export async function namedEdition(model: FileSet, name: string): Promise<Edition> {
  const [recipe, block] = name.split("-");
  const quantize = QUANTIZATION_RECIPES.find((known) => known === recipe);
  const scaleBlock = SCALE_BLOCKS.find((length) => String(length) === block);
  if (quantize ? block !== undefined && !scaleBlock : name !== "f16") {
    const names = ["f16", ...QUANTIZATION_RECIPES].join(", ");
    throw new Error(
      `editions: an edition is ${names}, or one with a block as int8-64, got ${name}`,
    );
  }
  return converted(model, quantize, scaleBlock);
}

/** What `rcod convert` writes. */
export async function converted(
  model: FileSet,
  quantize?: QuantizationRecipe,
  scaleBlock?: ScaleBlock,
): Promise<Edition> {
  const options = { dtype: "f16", shardBytes: ONE_FILE, quantize, scaleBlock } as const;
  return edition(await convertedInMemory(await planConversion(model, options)));
}

/** The integers of a recipe. */
export async function recipeRounding(
  model: FileSet,
  recipe: QuantizationRecipe,
): Promise<RoundingOf> {
  const parameters = modelParameters(await readConfigs(model));
  const storages = new Map<ModelPart, StorageOf>(
    QUANTIZED_PARTS.map((part) => [
      part,
      storageOf(quantizationOf(part, recipe, parameters[part])),
    ]),
  );
  return (part, { name, layout }) => {
    const isKept = layout !== "matrix" || name.startsWith(`${IMAGE_PROJ}.`);
    return isKept ? undefined : storages.get(part)?.(name);
  };
}

/** Files of floats whose values are those of integers; other matrices are halves, as in the model that is converted. */
export async function rounded(model: FileSet, roundingOf: RoundingOf): Promise<Edition> {
  const parameters = modelParameters(await readConfigs(model));
  const files = await convertedInMemory(
    await planConversion(model, { dtype: "f32", shardBytes: ONE_FILE, quantize: undefined }),
  );
  for (const [path, bytes] of files) {
    if (!path.endsWith(".safetensors")) continue;
    const [folder = ""] = path.split("/");
    const part = MODEL_PARTS.find((name) => name === folder) ?? "clip";
    const prefix = folder === IMAGE_PROJ ? `${IMAGE_PROJ}.` : "";
    const weights = new Map(parameters[part].map((weight) => [weight.name, weight]));
    const file = await openSafetensors(bytesSource(path, bytes));
    const tensors: NamedTensorData[] = [];
    for (const { name, shape } of file.tensors.values()) {
      const weight = weights.get(prefix + name);
      if (weight === undefined) throw new Error(`editions: ${path} holds an unknown ${name}`);
      const values = toFloat32({ name, dtype: "F32" }, (await file.read(name)).slice());
      const storage = roundingOf(part, weight);
      if (storage) roundMatrix(values, shape, storage);
      else if (weight.layout === "matrix") toHalves(values);
      tensors.push({ name, dtype: "F32", shape, data: new Uint8Array(values.buffer) });
    }
    files.set(path, writeSafetensors(tensors, [["format", "pt"]]));
  }
  return edition(files);
}

/** Rounds values in place. A vector is a row. */
function roundMatrix(
  values: Float32Array,
  shape: readonly number[],
  storage: IntegerStorage,
): void {
  const [inChannels = 1, ...kernel] = shape.length === 1 ? shape : shape.slice(1);
  const taps = elementCount(kernel);
  const limit = integerLimit(storage);
  const block = blockChannels(storage);
  for (let row = 0; row < values.length; row += inChannels * taps) {
    for (let channel = 0; channel < inChannels; channel += block) {
      const channels = Math.min(block, inChannels - channel);
      for (let tap = 0; tap < taps; tap++) {
        const at = (i: number): number => row + (channel + i) * taps + tap;
        const scaleBlock = Float32Array.from(
          { length: channels },
          (_, i) => values[at(i)] as number,
        );
        const scale = halfBitsToFloat(blockScale(scaleBlock, storage));
        scaleBlock.forEach((value, i) => {
          values[at(i)] = scale * nearestInteger(value, scale, limit);
        });
      }
    }
  }
}

function toHalves(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = roundToDtype(values[i] as number, "f16");
}

function edition(files: ReadonlyMap<string, Uint8Array>): Edition {
  const bytes = [...files.values()].reduce((sum, file) => sum + file.byteLength, 0);
  return { files: memoryFiles(files), bytes };
}
