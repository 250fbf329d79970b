/** From pixels and what a file said beside them to the bytes of a file. */
import type { Sharp } from "sharp";
import { colorChannels, depthOf, endsInAlpha } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { CliError, oneLine } from "../errors.ts";
import type { Timing } from "./decode.ts";
import type { ImageFormat } from "./formats.ts";
import { FORMATS } from "./formats.ts";
import { loadSharp } from "./header.ts";
import { JPEG_START, withJpegMetadata } from "./jpeg-segments.ts";
import type { Metadata } from "./metadata.ts";
import { uprightXmp } from "./metadata.ts";
import { hasTransparency } from "./pixels.ts";
import { withPngMetadata } from "./png-chunks.ts";
import { exifOfDensity, withTiffMetadata } from "./tiff-file.ts";
import { readTags, tagDensity, uprightExif } from "./tiff-tags.ts";
import { withWebpMetadata } from "./webp-chunks.ts";

/** How a file is encoded. */
export interface EncodeOptions {
  readonly format: ImageFormat;
  /** 1 … 100, of formats that lose something. */
  readonly quality?: number;
  /** Of formats that can. */
  readonly lossless: boolean;
  /** With more than one frame. */
  readonly timing?: Timing;
}

/** A file, and what it could not hold, a phrase each. */
export interface Encoded {
  readonly bytes: Buffer;
  readonly notes: readonly string[];
}

/**
 * Of 100, high enough that what the model has added survives: on examples/photos/boats.png 45.9 dB, 42.4 and 45.5. WebP
 * halves the resolution of colour, and a higher quality does not bring it back.
 */
const DEFAULT_QUALITY = { jpeg: 95, webp: 95, avif: 90 } as const;

/**
 * Encodes frames of one size. `metadata` is that of the source: orientation and sizes in it become those of the frames.
 * JPEG has no alpha: transparent parts become white. Throws `CliError`.
 */
export async function encodeImage(
  frames: readonly [RawImage, ...RawImage[]],
  metadata: Metadata,
  options: EncodeOptions,
): Promise<Encoded> {
  const { format } = options;
  const upright = metadataOfResult(metadata, frames[0], format);
  const notes = lostPixels(frames.some(hasTransparency), format);
  try {
    const image = await encoderOf(frames, options);
    const bytes = await encodeWith(image, frames[0], upright, options);
    return { bytes, notes: [...notes, ...lostMetadata(upright, format)] };
  } catch (error) {
    throw cannotEncode(error);
  }
}

/** What an encoder throws, as an error about the result. */
export function cannotEncode(error: unknown): CliError {
  return new CliError(`cannot encode the result: ${oneLine((error as Error).message)}`);
}

/** What is written beside the pixels of a result of that size. */
export function metadataOfResult(
  metadata: Metadata,
  size: Pick<RawImage, "width" | "height">,
  format: ImageFormat,
): Metadata {
  return withExifDensity(uprightMetadata(metadata, size), format);
}

function uprightMetadata(
  metadata: Metadata,
  { width, height }: Pick<RawImage, "width" | "height">,
): Metadata {
  const { exif, xmp } = metadata;
  return {
    ...metadata,
    ...(exif && { exif: uprightExif(exif, width, height) }),
    ...(xmp && { xmp: uprightXmp(xmp) }),
  };
}

/** WebP and AVIF have no place of their own for the resolution: it goes into EXIF. */
function withExifDensity(metadata: Metadata, format: ImageFormat): Metadata {
  const { exif, density } = metadata;
  const isNeeded = hasDensityInExif(format) && density && !exif;
  return isNeeded ? { ...metadata, exif: exifOfDensity(density) } : metadata;
}

const hasDensityInExif = (format: ImageFormat): boolean => format === "webp" || format === "avif";

/** Whether the resolution has no place: EXIF that is kept as it is does not state it. */
function losesDensity({ exif, density }: Metadata, format: ImageFormat): boolean {
  if (!hasDensityInExif(format) || !density || !exif) return false;
  const tags = readTags(exif);
  return tags === null || tagDensity(tags) === undefined;
}

/** What a format loses of the pixels. */
export function lostPixels(isTransparent: boolean, format: ImageFormat): readonly string[] {
  const { name, hasAlpha } = FORMATS[format];
  const notes: string[] = [];
  if (!hasAlpha && isTransparent) {
    notes.push(`${name} has no transparency; transparent parts become white`);
  }
  if (format === "gif") {
    notes.push("GIF holds 256 colours a frame and no half transparency; --format webp keeps all");
  }
  return notes;
}

/** sharp on the frames, one below the other. */
export async function encoderOf(
  frames: readonly [RawImage, ...RawImage[]],
  { format }: Pick<EncodeOptions, "format">,
): Promise<Sharp> {
  const [first] = frames;
  const { width, height, channels } = first;
  const sharp = await loadSharp();
  const raw = { width, height: height * frames.length, channels, pageHeight: height };
  const image = sharp(frames.length === 1 ? first.data : stacked(frames), {
    raw,
    limitInputPixels: false,
  });
  const isGrey = colorChannels(first) === 1;
  const isDeep = depthOf(first) === 16 && FORMATS[format].depth === 16;
  return image.toColourspace(isDeep ? (isGrey ? "grey16" : "rgb16") : isGrey ? "b-w" : "srgb");
}

function stacked(frames: readonly [RawImage, ...RawImage[]]): Uint8Array | Uint16Array {
  const size = frames[0].data.length;
  const isDeep = depthOf(frames[0]) === 16;
  const all = isDeep ? new Uint16Array(size * frames.length) : new Uint8Array(size * frames.length);
  for (const [i, { data }] of frames.entries()) all.set(data, i * size);
  return all;
}

async function encodeWith(
  image: Sharp,
  frame: RawImage,
  metadata: Metadata,
  options: EncodeOptions,
): Promise<Buffer> {
  const { format, lossless, quality, timing } = options;
  const loop = timing && { loop: timing.loops, delay: [...timing.delaysMs] };
  const { width, height } = frame;
  switch (format) {
    case "png":
      return withPngMetadata(await image.png().toBuffer(), metadata);
    case "jpeg":
      return withJpegMetadata(await jpegOf(image, quality).toBuffer(), metadata).bytes;
    case "webp": {
      const how = lossless
        ? { lossless }
        : { quality: quality ?? DEFAULT_QUALITY.webp, smartSubsample: true };
      const webp = await image.webp({ ...how, ...loop }).toBuffer();
      const hasAlpha = endsInAlpha(frame);
      return withWebpMetadata(webp, metadata, { width, height, hasAlpha });
    }
    case "avif":
      return encodeAvif(image, metadata, options);
    case "tiff": {
      const how = { compression: "deflate", predictor: "horizontal" } as const;
      return withTiffMetadata(await image.tiff(how).toBuffer(), metadata);
    }
    case "gif":
      return image.gif({ ...loop }).toBuffer();
    default:
      return format satisfies never;
  }
}

/** `image` as a JPEG; `isPart`: with the same tables whatever is in it. */
export function jpegOf(image: Sharp, quality?: number, isPart = false): Sharp {
  return image.flatten({ background: "white" }).jpeg({
    quality: quality ?? DEFAULT_QUALITY.jpeg,
    chromaSubsampling: "4:4:4",
    optimiseCoding: !isPart,
  });
}

/** AVIF is no list of chunks: libvips writes what it reads from a PNG in between. */
async function encodeAvif(
  image: Sharp,
  metadata: Metadata,
  options: EncodeOptions,
): Promise<Buffer> {
  const { lossless, quality = DEFAULT_QUALITY.avif } = options;
  const how = lossless ? { lossless } : { quality };
  const { icc, exif, xmp } = metadata;
  if (!icc && !exif && !xmp) return image.avif(how).toBuffer();
  const between = withPngMetadata(await image.png({ compressionLevel: 0 }).toBuffer(), metadata);
  const sharp = await loadSharp();
  const carried = sharp(between, { limitInputPixels: false });
  if (icc) carried.keepIccProfile();
  if (exif) carried.keepExif();
  if (xmp) carried.keepXmp();
  return carried.avif(how).toBuffer();
}

const NAMES = {
  exif: "EXIF",
  xmp: "XMP",
  iptc: "IPTC",
  density: "the resolution",
  pngText: "PNG text",
  comments: "comments",
} as const;

/** Parts that a format has no place for. */
const UNKEPT: Readonly<Record<ImageFormat, readonly (keyof typeof NAMES)[]>> = {
  png: ["iptc", "comments"],
  jpeg: ["pngText"],
  webp: ["iptc", "pngText", "comments"],
  avif: ["iptc", "pngText", "comments"],
  tiff: ["pngText", "comments"],
  gif: ["exif", "xmp", "iptc", "density", "pngText", "comments"],
};

/** What a format has no place for of what is there. */
export function lostMetadata(metadata: Metadata, format: ImageFormat): readonly string[] {
  const lost = [
    ...(format === "jpeg" ? withJpegMetadata(JPEG_START, metadata).lost : []),
    ...UNKEPT[format].filter((part) => metadata[part] !== undefined).map((part) => NAMES[part]),
    ...(losesDensity(metadata, format) ? [NAMES.density] : []),
  ];
  return lost.length === 0 ? [] : [`${listed(lost)} cannot be kept in ${FORMATS[format].name}`];
}

function listed(names: readonly string[]): string {
  return names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}
