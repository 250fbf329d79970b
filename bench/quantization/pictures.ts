/**
 * What an edition of a model makes of the pairs of pairs.py:
 *
 *   node bench/run.mjs quantization/pictures --pairs DIR --out DIR --edition int8
 *
 * writes OUT/EDITION/NAME.DEGRADATION.tT.png for every picture that is not there yet, so that it can be stopped. Editions: f16,
 * int8, int4, mixed as `rcod convert` makes them, int8-64 with blocks of 64 (editions.ts). Arithmetic is in f32, unless
 * `--precision` says other.
 */
import { access, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { Precision, RawImage } from "../../src/rcod/settings/options.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { namedEdition } from "./editions.ts";
import { readPicture } from "./photographs.ts";

export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      pairs: { type: "string" },
      out: { type: "string" },
      edition: { type: "string", default: "f16" },
      model: { type: "string", default: "models/rcod-tiny" },
      degradation: { type: "string", default: "benchmark" },
      timesteps: { type: "string", default: "249,499,749" },
      precision: { type: "string", default: "f32" },
    },
  });
  if (values.pairs === undefined || values.out === undefined) {
    process.stderr.write("quantization/pictures: --pairs and --out must be folders\n");
    return 2;
  }
  const ending = `.${values.degradation}.png`;
  const folder = join(values.out, values.edition);
  await mkdir(folder, { recursive: true });
  const timesteps = values.timesteps.split(",").map(Number);
  const gpu = await requestNodeGpu();
  const { files } = await namedEdition(folderFiles(values.model), values.edition);
  const model = await loadModel(files, { gpu, precision: values.precision as Precision });
  const names = (await readdir(values.pairs)).filter((name) => name.endsWith(ending)).toSorted();
  for (const name of names) {
    const target = (timestep: number): string =>
      join(folder, name.replace(/png$/, `t${timestep}.png`));
    const isThere = await Promise.all(timesteps.map((timestep) => exists(target(timestep))));
    const missing = timesteps.filter((_, i) => !isThere[i]);
    if (missing.length === 0) continue;
    const image = await readPicture(join(values.pairs, name));
    for (const result of await model.upscale(image, { timestep: missing })) {
      await writePicture(target(result.timestep), result.image);
    }
    process.stdout.write(`${values.edition} ${name}\n`);
  }
  model.dispose();
  gpu.destroy();
  return 0;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Under another name until it is whole. */
async function writePicture(path: string, { width, height, channels, data }: RawImage) {
  await sharp(data, { raw: { width, height, channels } }).png().toFile(`${path}.part`);
  await rename(`${path}.part`, path);
}
