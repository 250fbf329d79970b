/** Small image files of every kind, made by sharp. */
import { readFile, writeFile } from "node:fs/promises";
import sharp from "sharp";
import type { Sharp } from "sharp";

export const COLOUR = { r: 200, g: 100, b: 50 } as const;

/** A one-coloured image; `alpha` 0…1 adds a channel. */
export function plain(width: number, height: number, alpha?: number): Sharp {
  const image = sharp({ create: { width, height, channels: 3, background: COLOUR } });
  return alpha === undefined ? image : image.ensureAlpha(alpha);
}

/** Noise: an encoded file whose size grows with its pixels. */
export function noise(width: number, height: number): Sharp {
  let state = 1;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data[i] = state >>> 24;
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** Writes `image` in the format of the file's name. */
export async function save(path: string, image: Sharp): Promise<void> {
  const encoded = path.endsWith(".png")
    ? image.png()
    : path.endsWith(".webp")
      ? image.webp({ lossless: true })
      : image.jpeg({ quality: 100 });
  await writeFile(path, await encoded.toBuffer());
}

/** Writes the first `share` of an encoded image. */
export async function saveCutOff(path: string, image: Sharp, share = 0.5): Promise<void> {
  await save(path, image);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, Math.floor(bytes.length * share)));
}
