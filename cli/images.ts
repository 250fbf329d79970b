/** PNG, JPEG and WebP files to raw 8-bit sRGB and back, through sharp. */
import { open } from "node:fs/promises";
import { extname } from "node:path";
import type { Sharp } from "sharp";
import type { RawImage } from "../src/rcod/settings/options.ts";
import { writeFileAtomically } from "./atomic-write.ts";
import { SCALE } from "./engine.ts";
import { CliError, EXIT, oneLine, systemReason, usageError } from "./errors.ts";

export type ImageFormat = "png" | "jpeg" | "webp";

const FORMAT_BY_EXTENSION: Readonly<Record<string, ImageFormat>> = {
  ".png": "png",
  ".jpg": "jpeg",
  ".jpeg": "jpeg",
  ".webp": "webp",
};

/** 4096 × 4096. The result has 16 times as many: 268 megapixels, 1 GiB in memory with alpha. */
export const MAX_INPUT_PIXELS = 4096 * 4096;

/** Longest side that a file of the format can have, in pixels. */
const MAX_SIDE: Readonly<Record<ImageFormat, number>> = {
  png: 2 ** 31 - 1,
  jpeg: 65_500, // libjpeg's own limit
  webp: 16_383, // 14 bits in the file
};

/** Of 100. High enough that what the model has added survives. */
const LOSSY_QUALITY = 95;

/** The format of a file name's extension; undefined for an extension that is not supported. */
export function formatOfPath(path: string): ImageFormat | undefined {
  return FORMAT_BY_EXTENSION[extname(path).toLowerCase()];
}

/** What a file says about itself. Sizes are those after EXIF rotation. */
export interface ImageHeader {
  readonly width: number;
  readonly height: number;
  readonly format: ImageFormat;
}

/**
 * Reads an image's header only. Throws `CliError` (exit code 2) where the file is missing, empty, no image,
 * of another format or too large; messages do not repeat the path.
 */
export async function inspectImage(path: string): Promise<ImageHeader> {
  await checkReadable(path);
  let metadata: Awaited<ReturnType<Sharp["metadata"]>>;
  try {
    metadata = await (await sharpOf(path, false)).metadata();
  } catch (error) {
    throw unreadable(error);
  }
  const { format } = metadata;
  if (format !== "png" && format !== "jpeg" && format !== "webp") {
    throw usageError(`${format} images are not supported; use PNG, JPEG or WebP`);
  }
  const { width, height } = metadata.autoOrient;
  if (width * height > MAX_INPUT_PIXELS) {
    throw usageError(
      `${width} × ${height} is ${megapixels(width * height)} megapixels, more than the ` +
        `${megapixels(MAX_INPUT_PIXELS)} (4096 × 4096) that can be upscaled. Crop it or scale it down first`,
    );
  }
  return { width, height, format };
}

/** Checks that a result of an input this large can be stored at `output`. Throws `CliError` (exit code 2). */
export function checkOutputSize(header: ImageHeader, output: string): void {
  const format = formatOfPath(output) ?? "png";
  const side = Math.max(header.width, header.height) * SCALE;
  if (side > MAX_SIDE[format]) {
    throw usageError(
      `the result is ${header.width * SCALE} × ${header.height * SCALE} pixels, ` +
        `${format === "jpeg" ? "JPEG" : "WebP"} files end at ${MAX_SIDE[format]}. Write a PNG: -o NAME.png`,
    );
  }
}

/**
 * Decodes an image: EXIF rotation applied, colour profile, 16 bits, grey, palette and CMYK converted to 8-bit
 * sRGB, alpha kept as a fourth channel. Throws `CliError` (exit code 2); messages do not repeat the path.
 */
export async function readImage(path: string): Promise<RawImage> {
  await inspectImage(path);
  try {
    const { data, info } = await (
      await sharpOf(path, MAX_INPUT_PIXELS)
    )
      .autoOrient()
      .raw({ depth: "uchar" }) // in sRGB, sharp's default for every output
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3 && info.channels !== 4) {
      throw new Error(`internal: decoded to ${info.channels} channels`);
    }
    return { width: info.width, height: info.height, channels: info.channels, data };
  } catch (error) {
    throw unreadable(error);
  }
}

/**
 * Encodes `image` by the extension of `path` and writes it atomically. JPEG has no alpha: transparent parts
 * become white. Throws `CliError` when it cannot be written, or the signal's reason.
 */
export async function writeImage(
  path: string,
  image: RawImage,
  signal?: AbortSignal,
): Promise<void> {
  const { default: sharp } = await import("sharp");
  const { width, height, channels } = image;
  const encoder = sharp(image.data, { raw: { width, height, channels }, limitInputPixels: false });
  let bytes: Uint8Array;
  try {
    bytes = await encode(encoder, formatOfPath(path) ?? "png");
  } catch (error) {
    throw new CliError(`cannot encode ${path}: ${oneLine((error as Error).message)}`);
  }
  signal?.throwIfAborted();
  await writeFileAtomically(path, bytes, signal);
}

function encode(encoder: Sharp, format: ImageFormat): Promise<Uint8Array> {
  switch (format) {
    case "png":
      return encoder.png().toBuffer();
    case "jpeg":
      return encoder
        .flatten({ background: "white" })
        .jpeg({ quality: LOSSY_QUALITY, chromaSubsampling: "4:4:4" })
        .toBuffer();
    case "webp":
      return encoder.webp({ quality: LOSSY_QUALITY }).toBuffer();
    default:
      return format satisfies never;
  }
}

/** Whether any pixel is not opaque. */
export function hasTransparency(image: RawImage): boolean {
  if (image.channels !== 4) return false;
  for (let i = 3; i < image.data.length; i += 4) if (image.data[i] !== 255) return true;
  return false;
}

async function sharpOf(path: string, limitInputPixels: number | false): Promise<Sharp> {
  let sharp: typeof import("sharp");
  try {
    ({ default: sharp } = await import("sharp"));
  } catch (error) {
    throw new CliError(
      `the npm package "sharp" (image files) cannot be loaded: ${systemReason(error)}. Run npm install sharp`,
    );
  }
  sharp.cache(false); // the cache's key is the name: a file that has changed would come out as it was
  // "error" refuses cut-off files, yet not those with harmless warnings (stray bytes, odd profiles).
  return sharp(path, { failOn: "error", limitInputPixels });
}

async function checkReadable(path: string): Promise<void> {
  try {
    const handle = await open(path);
    try {
      const stats = await handle.stat();
      if (stats.isDirectory()) throw usageError("it is a folder");
      if (stats.size === 0 && stats.isFile()) throw usageError("the file is empty");
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw usageError(systemReason(error));
  }
}

function unreadable(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const reason = oneLine(error instanceof Error ? error.message : String(error));
  if (/unsupported image format/i.test(reason)) {
    return new CliError("not an image (PNG, JPEG and WebP can be read)", EXIT.usage);
  }
  return new CliError(`the image is damaged or cut off (${reason})`, EXIT.usage);
}

function megapixels(pixels: number): string {
  return (pixels / 1e6).toFixed(1);
}
