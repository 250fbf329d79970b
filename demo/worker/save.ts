/** A result as an image file. */
import type { SaveOptions } from "../protocol.ts";
import { readTexture } from "./readback.ts";

export async function textureToBlob(
  device: GPUDevice,
  texture: GPUTexture,
  { type, quality }: Omit<SaveOptions, "result">,
): Promise<Blob> {
  const { width, height } = texture;
  const pixels = await readTexture(device, texture);
  if (type === "image/jpeg") flattenOnWhite(pixels);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (context === null) {
    throw new Error(
      `image: this browser makes no canvas of ${width}×${height}. Save a smaller one`,
    );
  }
  context.putImageData(new ImageData(pixels, width, height), 0, 0);
  const blob = await canvas.convertToBlob(quality === undefined ? { type } : { type, quality });
  if (blob.type === type) return blob;
  throw new Error(`image: this browser writes no ${type}, only ${blob.type}. Choose PNG`);
}

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
