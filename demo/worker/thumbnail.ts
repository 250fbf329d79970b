/** What a picture looks like in a strip. */
import type { Thumbnail } from "../protocol.ts";

/** Pixels of its shorter side: twice what is shown, for dense screens. */
const SIDE = 144;

/** Cut to a square around the middle. */
export async function thumbnailOf(file: Blob): Promise<Thumbnail> {
  const bitmap = await createImageBitmap(file);
  try {
    const { width, height } = bitmap;
    const side = Math.min(width, height);
    const shown = Math.min(side, SIDE);
    const canvas = new OffscreenCanvas(shown, shown);
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("image: the browser gave no canvas for a thumbnail");
    context.imageSmoothingQuality = "high";
    const [left, top] = [(width - side) / 2, (height - side) / 2];
    context.drawImage(bitmap, left, top, side, side, 0, 0, shown, shown);
    return { blob: await canvas.convertToBlob({ type: "image/png" }), width, height };
  } finally {
    bitmap.close();
  }
}
