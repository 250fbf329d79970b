/** What an image file says about itself before its pixels are decoded. */
import type { Sharp, SharpOptions } from "sharp";
import { CliError, EXIT, oneLine, systemReason, usageError } from "../errors.ts";
import type { BmpHeader } from "./bmp.ts";
import { readBmpHeader } from "./bmp.ts";
import type { ImageKind } from "./kinds.ts";
import { KIND_NAMES, READABLE, recognise } from "./kinds.ts";
import type { PngChunk } from "./metadata.ts";
import { hiddenPngFrames, pngChunks } from "./png-chunks.ts";

/** 25,000 × 25,000: enlarged four times, they have the longest sides that the engine takes. */
export const MAX_INPUT_PIXELS = 25_000 ** 2;
/** Of a picture that is decoded as a whole, and of frames that are upscaled together: 128 MiB with alpha. */
export const MAX_HELD_PIXELS = 2 ** 25;

/** Kinds that are decoded in bands, so that pixels need not all be in memory. */
const KINDS_IN_BANDS: readonly ImageKind[] = ["png", "jpeg", "tiff"];

/** Sizes are those of the upright picture. */
export interface ImageHeader {
  readonly kind: ImageKind;
  readonly width: number;
  readonly height: number;
  readonly depth: 8 | 16;
  /** Frames that are read: those of an animated GIF or WebP, else 1. */
  readonly frames: number;
  /** Frames or pages beside the first that are not read. */
  readonly hiddenFrames: number;
  /** Of a PNG. */
  readonly chunks?: readonly PngChunk[];
  /** All but BMP, which has its own. */
  readonly decoder?: DecoderHeader;
  readonly bmp?: BmpHeader;
}

/** What libvips says of a file. */
export type DecoderHeader = Awaited<ReturnType<Sharp["metadata"]>>;

/**
 * Reads the header of a whole file. Throws `CliError` (exit code 2) where it is no image, of a kind that is not read, or
 * too large; messages do not name the file.
 */
export async function inspectImage(bytes: Uint8Array): Promise<ImageHeader> {
  const kind = readableKind(bytes);
  const header = kind === "bmp" ? bmpHeader(bytes) : await decoderHeader(bytes, kind);
  checkPixels(header);
  return header;
}

function readableKind(bytes: Uint8Array): ImageKind {
  const found = recognise(bytes);
  if (found === undefined) throw usageError(`not an image (${READABLE} can be read)`);
  if ("unread" in found) {
    throw usageError(`it is ${found.unread}, which is not read. ${found.advice}`);
  }
  return found.kind;
}

function bmpHeader(bytes: Uint8Array): ImageHeader {
  try {
    const bmp = readBmpHeader(bytes);
    const { width, height } = bmp;
    return { kind: "bmp", width, height, depth: 8, frames: 1, hiddenFrames: 0, bmp };
  } catch (error) {
    throw unreadable(error);
  }
}

async function decoderHeader(bytes: Uint8Array, kind: ImageKind): Promise<ImageHeader> {
  if (kind === "heic") await checkHeic();
  let decoder: DecoderHeader;
  try {
    decoder = await (await sharpOf(bytes, { limitInputPixels: false })).metadata();
  } catch (error) {
    throw unreadable(error);
  }
  const chunks = kind === "png" ? pngChunks(bytes) : undefined;
  const pages = decoder.pages ?? 1;
  const isAnimation = kind === "gif" || kind === "webp";
  const { width, height } = isAnimation && pages > 1 ? decoder : decoder.autoOrient;
  return {
    kind,
    width,
    height: isAnimation && pages > 1 ? (decoder.pageHeight ?? height) : height,
    depth: depthOf(decoder),
    frames: isAnimation ? pages : 1,
    hiddenFrames: isAnimation ? 0 : chunks ? hiddenPngFrames(chunks) : pages - 1,
    ...(chunks && { chunks }),
    decoder,
  };
}

function depthOf({ depth, space }: DecoderHeader): 8 | 16 {
  if (depth === "uchar" || space.startsWith("lab") || space === "cmyk") return 8;
  if (depth === "ushort") return 16;
  throw usageError(
    `its samples are of type ${depth}; 8 and 16 bits without a sign can be read. Save it with 16 bits a channel`,
  );
}

async function checkHeic(): Promise<void> {
  const sharp = await loadSharp();
  const readable = sharp.format.heif.input.fileSuffix ?? [];
  if (readable.includes(".heic")) return;
  throw usageError(
    "it is a HEIC image, and the libvips that sharp brings has no decoder for its codec (HEVC). Convert it to JPEG " +
      "or PNG first, or install sharp with a libvips of the system that has one",
  );
}

/** Whether a file's pixels can be read in bands. */
export const isReadInBands = ({ kind }: ImageHeader): boolean => KINDS_IN_BANDS.includes(kind);

function checkPixels(header: ImageHeader): void {
  const { width, height } = header;
  if (!isReadInBands(header)) return checkHeld(header, 1);
  if (width * height <= MAX_INPUT_PIXELS) return;
  const advice = "Crop it or scale it down first";
  throw tooLarge(`${width} × ${height} is`, width * height, MAX_INPUT_PIXELS, advice);
}

/** Throws `CliError` (exit code 2) where pixels are too many to be decoded as a whole: those of one frame, or of all. */
export function checkHeld(header: ImageHeader, frames = header.frames): void {
  const { kind, width, height } = header;
  const pixels = width * height * frames;
  if (pixels <= MAX_HELD_PIXELS) return;
  const size = `${width} × ${height}`;
  if (frames > 1) {
    const advice = "Take fewer frames, or the first alone: -o NAME.png";
    throw tooLarge(`${frames} frames of ${size} are`, pixels, MAX_HELD_PIXELS, advice);
  }
  const of = isReadInBands(header) ? "" : `, of a ${KIND_NAMES[kind]}`;
  const advice = of === "" ? "Crop it or scale it down first" : "Save it as PNG, JPEG or TIFF";
  throw tooLarge(`${size} is`, pixels, MAX_HELD_PIXELS, advice, of);
}

function tooLarge(what: string, pixels: number, most: number, advice: string, of = ""): CliError {
  return usageError(
    `${what} ${megapixels(pixels)} megapixels, more than the ${megapixels(most)} that can be read${of}. ${advice}`,
  );
}

/** sharp on an image in memory. */
export async function sharpOf(bytes: Uint8Array, options: SharpOptions): Promise<Sharp> {
  const sharp = await loadSharp();
  // "error" refuses cut-off files, yet not those with harmless warnings (stray bytes, odd profiles).
  return sharp(bytes, { failOn: "error", ...options });
}

/** The package. Throws `CliError` where it is not installed. */
export async function loadSharp(): Promise<typeof import("sharp")> {
  try {
    const { default: sharp } = await import("sharp");
    return sharp;
  } catch (error) {
    throw new CliError(
      `the npm package "sharp" (image files) cannot be loaded: ${systemReason(error)}. Run npm install sharp`,
    );
  }
}

/** What a decoder throws, as an error about the file. */
export function unreadable(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const reason = oneLine(error instanceof Error ? error.message : String(error));
  return new CliError(`the image is damaged or cut off (${reason})`, EXIT.usage);
}

function megapixels(pixels: number): string {
  return (pixels / 1e6).toFixed(1);
}
