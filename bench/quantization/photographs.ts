/** Pictures to measure with. */
import sharp from "sharp";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { openSafetensors } from "../../src/weights/index.ts";
import { fileSource } from "../../src/weights/sources/node-source.ts";

const FILE = new URL("../../tests/fixtures/rcod-tiny/photos.safetensors", import.meta.url);

/** Low-resolution crops of ten photographs that training has not seen: those of rcod-tiny's tests. */
export async function photographs(): Promise<readonly RawImage[]> {
  const file = await openSafetensors(await fileSource(FILE.pathname));
  const [count = 0, height = 0, width = 0] = file.tensors.get("lq")?.shape ?? [];
  const length = height * width * 3;
  const bytes = await file.readRange("lq", 0, count * length);
  await file.close();
  return Array.from({ length: count }, (_, i) => {
    return { width, height, channels: 3, data: bytes.slice(i * length, (i + 1) * length) };
  });
}

/** The pixels of a file, without alpha. */
export async function readPicture(path: string): Promise<RawImage> {
  const image = sharp(path).removeAlpha().toColourspace("srgb");
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: 3, data: new Uint8Array(data) };
}
