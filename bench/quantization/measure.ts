/**
 * What integers cost and save: `node bench/run.mjs quantization/measure`. Converts rcod-tiny by every recipe in memory, runs it on ten
 * crops of photographs and on a picture whose original is there, and prints one JSON object: bytes, PSNR against the
 * picture of the model as it ships, and PSNR-Y against the original. Runs on the adapter that Node gets; arithmetic in f32.
 */
import sharp from "sharp";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { planConversion } from "../../src/rcod/loading/convert.ts";
import { QUANTIZATION_RECIPES } from "../../src/rcod/loading/quantization-recipe.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { memoryFiles, openSafetensors } from "../../src/weights/index.ts";
import { fileSource, folderFiles } from "../../src/weights/sources/node-source.ts";

const pathOf = (name: string): string => new URL(`../../${name}`, import.meta.url).pathname;

/** The files of a conversion. */
async function converted(quantize: (typeof QUANTIZATION_RECIPES)[number] | undefined) {
  const source = folderFiles(pathOf("models/rcod-tiny"));
  const conversion = await planConversion(source, { dtype: "f16", shardBytes: 1e9, quantize });
  const files = new Map<string, Uint8Array>();
  for (const file of conversion.files) {
    const whole = new Uint8Array(file.byteLength);
    let at = 0;
    for await (const piece of file.bytes()) {
      whole.set(piece, at);
      at += piece.byteLength;
    }
    files.set(file.path, whole);
  }
  await conversion.close();
  const bytes = [...files.values()].reduce((sum, file) => sum + file.byteLength, 0);
  return { files: memoryFiles(files), bytes };
}

/** Low-resolution crops of photographs that training has not seen. */
async function crops(): Promise<readonly RawImage[]> {
  const file = await openSafetensors(
    await fileSource(pathOf("tests/fixtures/rcod-tiny/photos.safetensors")),
  );
  const [count = 0, height = 0, width = 0] = file.tensors.get("lq")?.shape ?? [];
  const length = height * width * 3;
  const bytes = await file.readRange("lq", 0, count * length);
  await file.close();
  return Array.from({ length: count }, (_, i) => {
    return { width, height, channels: 3, data: bytes.slice(i * length, (i + 1) * length) };
  });
}

async function picture(name: string): Promise<RawImage> {
  const image = sharp(pathOf(`examples/photos/${name}`)).removeAlpha();
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: 3, data: new Uint8Array(data) };
}

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

function psnr(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return 10 * Math.log10((255 ** 2 * a.length) / sum);
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

export async function main(): Promise<number> {
  const gpu = await requestNodeGpu();
  const photos = await crops();
  const [low, original] = [await picture("boats.png"), await picture("boats-original.jpg")];
  const run = async (files: FileSet) => {
    const model: RcodModel = await loadModel(files, { gpu, precision: "f32" });
    try {
      const deviceBytes = gpu.memory.use().byPurpose["weights"]?.current ?? 0;
      const results: RawImage[] = [];
      for (const image of [...photos, low]) {
        results.push((await model.upscale(image, { realism: "fidelity" })).image);
      }
      return { deviceBytes, results };
    } finally {
      model.dispose();
    }
  };
  const floats = await converted(undefined);
  const reference = await run(floats.files);
  const toOriginal = (image: RawImage): number => psnr(luminance(image), luminance(original));
  const before = toOriginal(reference.results.at(-1) as RawImage);
  const rows: unknown[] = [{ recipe: "f16", fileBytes: floats.bytes, boatsPsnrY: rounded(before) }];
  for (const recipe of QUANTIZATION_RECIPES) {
    const { files, bytes } = await converted(recipe);
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
