/** Pixels of an image file. */
import type { ImageCut } from "../protocol.ts";

/**
 * sRGB pixels of a file that the browser can read, turned as its EXIF orientation says.
 * @throws TypeError for what is no image
 */
export async function decodeImage(blob: Blob, cut?: ImageCut): Promise<ImageData> {
  let bitmap: ImageBitmap;
  try {
    bitmap = cut
      ? await createImageBitmap(blob, cut.x, cut.y, cut.width, cut.height, sizeOptions(cut))
      : await createImageBitmap(blob);
  } catch {
    const type = blob.type || "unknown type";
    throw new TypeError(
      `image: this browser cannot read the file (${type}, ${blob.size} bytes). ` +
        "Use PNG, JPEG, WebP or AVIF",
    );
  }
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", {
      willReadFrequently: true,
    });
    if (context === null) throw new Error("image: the browser gave no canvas to read pixels with");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    bitmap.close();
  }
}

function sizeOptions({ width, height, maxSide }: ImageCut): ImageBitmapOptions {
  if (maxSide === undefined || Math.max(width, height) <= maxSide) return {};
  const factor = maxSide / Math.max(width, height);
  return {
    resizeWidth: Math.max(1, Math.round(width * factor)),
    resizeHeight: Math.max(1, Math.round(height * factor)),
    resizeQuality: "high",
  };
}
