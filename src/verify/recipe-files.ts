/**
 * A model folder without weight files: its configurations, and safetensors files whose values the recipe makes
 * while they are read. A model of a billion parameters can so be loaded, run and timed from a few kilobytes.
 */
import { elementCount } from "../gpu/shape.ts";
import type { Weight } from "../graph/ir/ir.ts";
import { readConfigs } from "../rcod/loading/read-configs.ts";
import { IMAGE_PROJ } from "../rcod/networks/graphs.ts";
import { modelParameters } from "../rcod/networks/stage-graphs.ts";
import type { ByteSource, FileSet } from "../weights/index.ts";
import { WeightsError, layoutSafetensors } from "../weights/index.ts";
import { checkedSource } from "../weights/sources/source.ts";
import { recipeTensor } from "./runner/recipe.ts";

/** The recipe's 32-bit variant of these weights. */
const VARIANT = 0;

interface RecipeEntry {
  /** Name in the file. */
  readonly name: string;
  /** Name that is hashed: the graph's. */
  readonly hashed: string;
  readonly shape: readonly number[];
}

/**
 * `configs` with recipe weights in f16. Throws `WeightsError` or `ConfigError` for what is no model, and for
 * a folder that names a checkpoint, whose tensors are not a function of the configurations.
 */
export async function recipeFiles(configs: FileSet): Promise<FileSet> {
  const parsed = await readConfigs(configs);
  if (parsed.rcod.checkpoint !== null) {
    throw new WeightsError(
      `weights: recipe weights need a model without a checkpoint, got ${JSON.stringify(parsed.rcod.checkpoint)} ` +
        `(${configs.name}). Remove it from rcod_config.json`,
    );
  }
  const parameters = modelParameters(parsed);
  const prefix = `${IMAGE_PROJ}.`;
  const isProjection = ({ name }: Weight): boolean => name.startsWith(prefix);
  const entries = (weights: readonly Weight[], cut = 0): readonly RecipeEntry[] =>
    weights.map(({ name, shape }) => ({ name: name.slice(cut), hashed: name, shape }));
  const files = new Map([
    ["unet/diffusion_pytorch_model.safetensors", entries(parameters.unet)],
    ["vae/diffusion_pytorch_model.safetensors", entries(parameters.vae)],
    [
      "image_encoder/model.safetensors",
      entries(parameters.clip.filter((weight) => !isProjection(weight))),
    ],
    ["image_proj/model.safetensors", entries(parameters.clip.filter(isProjection), prefix.length)],
    ["mem/model.safetensors", entries(parameters.mem)],
  ]);
  return {
    name: `${configs.name} with recipe weights`,
    async open(path, signal) {
      const tensors = files.get(path);
      if (tensors === undefined) return configs.open(path, signal);
      return tensors.length === 0 ? null : recipeSource(path, tensors);
    },
  };
}

/** A safetensors file of recipe tensors, each made when it is read. */
function recipeSource(name: string, entries: readonly RecipeEntry[]): ByteSource {
  const places = entries.map((entry) => ({ ...entry, dtype: "F16" as const }));
  const { start: head, tensors, byteLength } = layoutSafetensors(places);
  let end = head.byteLength;
  const ranges = tensors.map(({ hashed, shape }) => {
    const start = end;
    end += 2 * elementCount(shape);
    return { hashed, shape, start, end };
  });
  return checkedSource(name, byteLength, async (offset, length) => {
    const out = new Uint8Array(length);
    if (offset < head.byteLength) out.set(head.subarray(offset, offset + length));
    for (const { hashed, shape, start, end: stop } of ranges) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, stop);
      if (from >= to) continue;
      const tensor = recipeTensor(hashed, shape, VARIANT);
      out.set(await tensor.read(from - start, to - from), from - offset);
    }
    return out;
  });
}
