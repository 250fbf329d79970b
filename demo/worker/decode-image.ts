import { takeTurns } from "../next-frame.ts";
/** Pixels of an image file: first as a bitmap, which can be shown at once, then as an array, which takes longer. */
import type { ImageCut } from "../protocol.ts";

/** Sides of the canvas that pixels are read through. */
const READ_SIDE = 2048;

/** A picture that can be drawn, and what of its file is not in it, a sentence each. */
export interface DecodedBitmap {
  readonly bitmap: ImageBitmap;
  readonly notes: readonly string[];
}

/**
 * A file that the browser can read, turned as its EXIF orientation says.
 * @throws TypeError for what is no image
 */
export async function decodeBitmap(blob: Blob, cut?: ImageCut): Promise<DecodedBitmap> {
  const fileNotes = Promise.all([framesNote(blob), depthNote(blob)]);
  const bitmap = await bitmapOf(blob, cut);
  const notes = [...(await fileNotes), gamutNote(bitmap)];
  return { bitmap, notes: notes.filter((note) => note !== null) };
}

async function bitmapOf(blob: Blob, cut: ImageCut | undefined): Promise<ImageBitmap> {
  try {
    return cut
      ? await createImageBitmap(blob, cut.x, cut.y, cut.width, cut.height, sizeOptions(cut))
      : await createImageBitmap(blob);
  } catch {
    const type = blob.type || "unknown type";
    throw new TypeError(
      `image: this browser cannot read the file (${type}, ${blob.size} bytes). ` +
        "Use PNG, JPEG, WebP or AVIF",
    );
  }
}

/** The pixels of a file that nobody looks at meanwhile. */
export async function decodePixels(blob: Blob, cut?: ImageCut): Promise<ImageData> {
  const bitmap = await bitmapOf(blob, cut);
  try {
    return await readPixels(bitmap);
  } finally {
    bitmap.close();
  }
}

/**
 * sRGB pixels. Read through a small canvas: one as large as the picture would take its memory again, and browsers limit their
 * sides. Before each piece the worker does what else it is asked for.
 */
export async function readPixels(bitmap: ImageBitmap): Promise<ImageData> {
  const { width, height } = bitmap;
  const image = new ImageData(width, height);
  const side = [Math.min(width, READ_SIDE), Math.min(height, READ_SIDE)] as const;
  const context = new OffscreenCanvas(...side).getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("image: the browser gave no canvas to read pixels with");
  for (let y = 0; y < height; y += READ_SIDE) {
    for (let x = 0; x < width; x += READ_SIDE) {
      await takeTurns();
      const [columns, rows] = [Math.min(READ_SIDE, width - x), Math.min(READ_SIDE, height - y)];
      context.clearRect(0, 0, columns, rows);
      context.drawImage(bitmap, -x, -y);
      const { data } = context.getImageData(0, 0, columns, rows);
      for (let row = 0; row < rows; row++) {
        const line = data.subarray(row * columns * 4, (row + 1) * columns * 4);
        image.data.set(line, ((y + row) * width + x) * 4);
      }
    }
  }
  return image;
}

/**
 * Of an animation the browser gives the first frame. Not every browser counts them, and none by a name that is no image's. A JPEG
 * is none, and photos are not to be read twice.
 */
async function framesNote(blob: Blob): Promise<string | null> {
  const isImage = blob.type.startsWith("image/") && blob.type !== "image/jpeg";
  if (!("ImageDecoder" in globalThis) || !isImage) return null;
  let decoder: ImageDecoder | undefined;
  try {
    if (!(await ImageDecoder.isTypeSupported(blob.type))) return null;
    decoder = new ImageDecoder({ data: blob.stream(), type: blob.type });
    await decoder.completed;
    const count = decoder.tracks.selectedTrack?.frameCount ?? 1;
    return count > 1 ? `The first of ${count} frames.` : null;
  } catch {
    return null; // the bitmap is there all the same
  } finally {
    decoder?.close();
  }
}

/** Canvases have 8 bits. */
async function depthNote(blob: Blob): Promise<string | null> {
  const head = new Uint8Array(await blob.slice(0, 25).arrayBuffer());
  const isPng = head[0] === 0x89 && head[1] === 0x50;
  return isPng && head[24] === 16 ? "8 of its 16 bits a channel." : null;
}

/** Colours are compared on a copy of so many pixels a side. */
const GAMUT_SIDE = 256;
/** Rows of the matrix from linear Display P3 to linear sRGB. */
const P3_TO_SRGB: readonly (readonly number[])[] = [
  [1.2249, -0.2247, 0],
  [-0.042, 1.0419, 0],
  [-0.0197, -0.0786, 1.0979],
];
/** Beyond what rounding to 8 bits explains. */
const GAMUT_SLACK = 0.01;

/** Whether the picture has colours that sRGB, in which it is upscaled, has not. */
function gamutNote(bitmap: ImageBitmap): string | null {
  const colorSpace = "display-p3";
  const canvas = new OffscreenCanvas(GAMUT_SIDE, GAMUT_SIDE);
  const context = canvas.getContext("2d", { colorSpace, willReadFrequently: true });
  if (context === null) return null;
  context.drawImage(bitmap, 0, 0, GAMUT_SIDE, GAMUT_SIDE);
  const { data } = context.getImageData(0, 0, GAMUT_SIDE, GAMUT_SIDE, { colorSpace });
  const light = Float32Array.from({ length: 256 }, (_, level) =>
    level <= 10 ? level / 255 / 12.92 : ((level / 255 + 0.055) / 1.055) ** 2.4,
  );
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] !== 255) continue;
    const rgb = [0, 1, 2].map((c) => light[data[i + c] as number] as number);
    for (const row of P3_TO_SRGB) {
      const value = row.reduce((sum, weight, c) => sum + weight * (rgb[c] as number), 0);
      if (value < -GAMUT_SLACK || value > 1 + GAMUT_SLACK) {
        return "Its colours beyond sRGB are brought into it; the command line keeps them.";
      }
    }
  }
  return null;
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
