/**
 * `node bench/run.mjs full-size/make -o FOLDER`: the two downloads that a full-size RCOD_O stands on, in the layout
 * that people have them in, with reproducible weights in fp16: `sd/` (unet/ and vae/ in diffusers' layout) and `clip/`
 * (transformers'). The checkpoint is made by make_checkpoint.py, so that torch.save writes it.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { recipeFiles } from "../../src/verify/recipe-files.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";

const CONFIGS = fileURLToPath(new URL("../configs/sd21-clip-l", import.meta.url));
const PIECE_BYTES = 2 ** 23;

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
    options: { out: { type: "string", short: "o" }, configs: { type: "string", default: CONFIGS } },
  });
  if (values.out === undefined) {
    process.stderr.write("full-size/make: -o FOLDER is missing (needs 2.6 GB)\n");
    return 2;
  }
  const files = await recipeFiles(folderFiles(values.configs));
  for (const [from, to] of FILES) {
    const source = await files.open(from);
    if (source === null) throw new Error(`no ${from} in ${files.name}`);
    const path = join(values.out, to);
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, "w");
    for (let at = 0; at < source.byteLength; at += PIECE_BYTES) {
      await file.writeFile(await source.read(at, Math.min(PIECE_BYTES, source.byteLength - at)));
    }
    await file.close();
    await source.close();
    process.stdout.write(`${path}: ${source.byteLength} bytes\n`);
  }
  return 0;
}
