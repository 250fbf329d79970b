/**
 * `node bench/run.mjs full-size/make -o FOLDER`: the two downloads that a full-size RCOD_O stands on, in the layout
 * that people have them in, with reproducible weights in fp16: `sd/` (unet/ and vae/ in diffusers' layout) and `clip/`
 * (transformers'). The checkpoint is made by make_checkpoint.py, so that torch.save writes it.
 *
 * With `--weights int8`, `int4` or `mixed` the same values as one converted folder, complete without a checkpoint.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { planConversion } from "../../src/rcod/loading/convert.ts";
import type { QuantizationRecipe } from "../../src/rcod/loading/quantization-recipe.ts";
import { QUANTIZATION_RECIPES } from "../../src/rcod/loading/quantization-recipe.ts";
import { recipeFiles } from "../../src/verify/recipe-files.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";

const CONFIGS = fileURLToPath(new URL("../configs/sd21-clip-l", import.meta.url));
const PIECE_BYTES = 2 ** 23;
/** As \`rcod convert\` takes it without \`--shard-size\`. */
const SHARD_BYTES = 200e6;

/** In the recipe's model folder, and where people have it. */
const FILES: readonly (readonly [from: string, to: string])[] = [
  ["unet/config.json", "sd/unet/config.json"],
  ["unet/diffusion_pytorch_model.safetensors", "sd/unet/diffusion_pytorch_model.safetensors"],
  ["vae/config.json", "sd/vae/config.json"],
  ["vae/diffusion_pytorch_model.safetensors", "sd/vae/diffusion_pytorch_model.safetensors"],
  ["image_encoder/config.json", "clip/config.json"],
  ["image_encoder/model.safetensors", "clip/model.safetensors"],
];

/** Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      out: { type: "string", short: "o" },
      configs: { type: "string", default: CONFIGS },
      weights: { type: "string" },
    },
  });
  const { out, weights } = values;
  if (out === undefined) return failed("-o FOLDER is missing (needs 2.6 GB)");
  const recipe = QUANTIZATION_RECIPES.find((name) => name === weights);
  if (weights !== undefined && recipe === undefined) {
    return failed(`--weights must be one of ${QUANTIZATION_RECIPES.join(", ")}, got ${weights}`);
  }
  const files = await recipeFiles(folderFiles(values.configs));
  await (recipe === undefined ? writePieces(files, out) : writeConverted(files, out, recipe));
  return 0;
}

function failed(message: string): number {
  process.stderr.write(`full-size/make: ${message}\n`);
  return 2;
}

async function writePieces(files: FileSet, out: string): Promise<void> {
  for (const [from, to] of FILES) {
    const source = await files.open(from);
    if (source === null) throw new Error(`no ${from} in ${files.name}`);
    const { byteLength } = source;
    await write(join(out, to), byteLength, async function* () {
      for (let at = 0; at < byteLength; at += PIECE_BYTES) {
        yield await source.read(at, Math.min(PIECE_BYTES, byteLength - at));
      }
    });
    await source.close();
  }
}

async function writeConverted(
  files: FileSet,
  out: string,
  quantize: QuantizationRecipe,
): Promise<void> {
  const options = { dtype: "f16", shardBytes: SHARD_BYTES, quantize } as const;
  const conversion = await planConversion(files, options);
  for (const file of conversion.files) {
    await write(join(out, file.path), file.byteLength, () => file.bytes());
  }
  await conversion.close();
}

async function write(
  path: string,
  byteLength: number,
  pieces: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "w");
  for await (const piece of pieces()) await file.writeFile(piece);
  await file.close();
  process.stdout.write(`${path}: ${byteLength} bytes\n`);
}
