/**
 * What integers cost and save: `node bench/run.mjs quantization/measure`. Converts rcod-tiny by every recipe in memory, runs it on ten
 * crops of photographs and on a picture whose original is there, and prints one JSON object: bytes, PSNR against the
 * picture of the model as it ships, and PSNR-Y against the original. Runs on the adapter that Node gets; arithmetic in f32.
 */
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { QUANTIZATION_RECIPES } from "../../src/rcod/loading/quantization-recipe.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { psnr } from "./differences.ts";
import { converted } from "./editions.ts";
import { photographs, readPicture } from "./photographs.ts";

const pathOf = (name: string): string => new URL(`../../${name}`, import.meta.url).pathname;

/** BT.601's luminance, as evaluations of super-resolution take it. */
const luminance = ({ data }: RawImage): Float64Array =>
  Float64Array.from(
    { length: data.length / 3 },
    (_, i) =>
      16 +
      (65.481 * (data[3 * i] as number) +
        128.553 * (data[3 * i + 1] as number) +
        24.966 * (data[3 * i + 2] as number)) /
        255,
  );

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

export async function main(): Promise<number> {
  const gpu = await requestNodeGpu();
  const photos = await photographs();
  const model = folderFiles(pathOf("models/rcod-tiny"));
  const low = await readPicture(pathOf("examples/photos/boats.png"));
  const original = await readPicture(pathOf("examples/photos/boats-original.jpg"));
  const run = async (files: FileSet) => {
    const loaded: RcodModel = await loadModel(files, { gpu, precision: "f32" });
    try {
      const deviceBytes = gpu.memory.use().byPurpose["weights"]?.current ?? 0;
      const results: RawImage[] = [];
      for (const image of [...photos, low]) {
        results.push((await loaded.upscale(image, { realism: "fidelity" })).image);
      }
      return { deviceBytes, results };
    } finally {
      loaded.dispose();
    }
  };
  const floats = await converted(model);
  const reference = await run(floats.files);
  const toOriginal = (image: RawImage): number => psnr(luminance(image), luminance(original));
  const before = toOriginal(reference.results.at(-1) as RawImage);
  const rows: unknown[] = [{ recipe: "f16", fileBytes: floats.bytes, boatsPsnrY: rounded(before) }];
  for (const recipe of QUANTIZATION_RECIPES) {
    const { files, bytes } = await converted(model, recipe);
    const { deviceBytes, results } = await run(files);
    const toFloats = results.map((image, i) =>
      psnr(image.data, (reference.results[i] as RawImage).data),
    );
    const boats = results.at(-1) as RawImage;
    rows.push({
      recipe,
      fileBytes: bytes,
      deviceBytes,
      photosPsnrToFloats: toFloats.slice(0, -1).map(rounded),
      photosLeast: rounded(Math.min(...toFloats.slice(0, -1))),
      boatsPsnrToFloats: rounded(toFloats.at(-1) as number),
      boatsPsnrY: rounded(toOriginal(boats)),
      boatsPsnrYLoss: rounded(before - toOriginal(boats)),
    });
  }
  const date = new Date().toISOString().slice(0, 10);
  process.stdout.write(
    `${JSON.stringify({ date, adapter: gpu.caps.description, rows }, null, 2)}\n`,
  );
  return 0;
}
