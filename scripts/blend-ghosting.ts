/**
 * What a blend of results is worth: how far it is from the result that is computed at its place, in GMSD (gmsd.ts; 0 is equal) and
 * in dB, by rcod-tiny.
 *
 *   node bench/run.mjs ../scripts/blend-ghosting examples/photos/boats.png …
 *
 * Beside it what it is to be judged by: the nearer of the two results in its place, the same JPEG-compressed result, and a ghost,
 * the mean of the computed result and itself moved by two pixels.
 */
import sharp from "sharp";
import { psnr } from "../bench/quantization/differences.ts";
import { folderFiles, requestNodeGpu } from "../src/node/index.ts";
import { blendRealism } from "../src/rcod/images/blend-realism.ts";
import { loadModel } from "../src/rcod/model.ts";
import type { RawImage } from "../src/rcod/settings/options.ts";
import { gmsd } from "./gmsd.ts";

/** Realism of the results; the middle ones are what blends are compared with. */
const PLACES = [0, 0.25, 0.5, 0.75, 1];
const JPEG_QUALITY = 90;
const GHOST_PIXELS = 2;

export async function main(paths: readonly string[]): Promise<number> {
  const gpu = await requestNodeGpu();
  const model = await loadModel(folderFiles("models/rcod-tiny"), { gpu, precision: "f32" });
  print("picture", "realism", "blend of 0 and 1", "of 0, 0.5, 1", "nearer end", "JPEG 90", "ghost");
  for (const path of paths) {
    const results = await model.upscale(await readImage(path), { realism: PLACES });
    const ends = results.filter(({ realism }) => [0, 1].includes(realism));
    const three = results.filter(({ realism }) => [0, 0.5, 1].includes(realism));
    const name = path.split("/").at(-1) ?? path;
    for (const { image, realism } of results.slice(1, -1)) {
      const versus = (other: RawImage): string =>
        `${gmsd(image, other).toFixed(3)} ${psnr(image.data, other.data).toFixed(1)} dB`;
      const [fidelity, vivid] = ends.map((end) => end.image) as [RawImage, RawImage];
      const compressed = await jpeg(image);
      print(
        name,
        String(realism),
        versus(blendRealism(ends, realism)),
        versus(blendRealism(three, realism)),
        versus(gmsd(image, fidelity) < gmsd(image, vivid) ? fidelity : vivid),
        versus(compressed),
        versus(ghost(image)),
      );
    }
  }
  model.dispose();
  gpu.destroy();
  return 0;
}

function print(...cells: readonly string[]): void {
  process.stdout.write(`| ${cells.join(" | ")} |\n`);
}

async function readImage(path: string): Promise<RawImage> {
  const { data, info } = await sharp(path).removeAlpha().toColourspace("srgb").raw().toBuffer({
    resolveWithObject: true,
  });
  return { width: info.width, height: info.height, channels: 3, data: new Uint8Array(data) };
}

async function jpeg({ width, height, data }: RawImage): Promise<RawImage> {
  const raw = { width, height, channels: 3 } as const;
  const file = await sharp(data, { raw }).jpeg({ quality: JPEG_QUALITY }).toBuffer();
  return { ...raw, data: new Uint8Array(await sharp(file).raw().toBuffer()) };
}

/** Half of it at its place, half beside. */
function ghost({ width, height, channels, data }: RawImage): RawImage {
  const moved = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(i / channels) % width;
    const from = x < GHOST_PIXELS ? i : i - GHOST_PIXELS * channels;
    moved[i] = ((data[i] as number) + (data[from] as number)) / 2;
  }
  return { width, height, channels, data: moved };
}
