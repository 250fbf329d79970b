/** A result as an image file. */
import type { SaveOptions } from "../protocol.ts";
import type { Layer } from "./layer.ts";
import { readTexture } from "./readback.ts";

/** Longest sides that the formats have. */
const MAX_SIDES: Readonly<Record<SaveOptions["type"], number>> = {
  "image/png": 2 ** 31 - 1,
  "image/jpeg": 65_535,
  "image/webp": 16_383,
};

export async function layerToBlob(
  device: GPUDevice,
  layer: Layer,
  { type, quality }: Omit<SaveOptions, "result">,
): Promise<Blob> {
  const { width, height } = layer;
  if (Math.max(width, height) > MAX_SIDES[type]) {
    throw new Error(
      `image: ${type} has at most ${MAX_SIDES[type]} pixels a side, got ${width}×${height}. Choose PNG`,
    );
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (context === null) throw tooLarge(layer);
  for (const { texture, x, y } of layer.tiles) {
    const pixels = await readTexture(device, texture);
    if (type === "image/jpeg") flattenOnWhite(pixels);
    context.putImageData(new ImageData(pixels, texture.width, texture.height), x, y);
  }
  const options = quality === undefined ? { type } : { type, quality };
  const blob = await canvas.convertToBlob(options).catch(() => {
    throw tooLarge(layer);
  });
  if (blob.type === type) return blob;
  throw new Error(`image: this browser writes no ${type}, only ${blob.type}. Choose PNG`);
}

const tooLarge = ({ width, height }: Layer): Error =>
  new Error(
    `image: this browser makes no picture of ${width}×${height} pixels, or has no memory left. Choose a smaller size`,
  );

/** JPEG has no alpha; browsers would put black behind it. */
function flattenOnWhite(pixels: Uint8ClampedArray): void {
  for (let i = 0; i < pixels.length; i += 4) {
    const alpha = (pixels[i + 3] as number) / 255;
    if (alpha === 1) continue;
    for (let c = i; c < i + 3; c++) {
      pixels[c] = (pixels[c] as number) * alpha + 255 * (1 - alpha);
    }
    pixels[i + 3] = 255;
  }
}
