/** From pixels and what a file said beside them to the bytes of a file. */
import type { Sharp } from "sharp";
import { colorChannels, depthOf, endsInAlpha } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { CliError, oneLine } from "../errors.ts";
import type { Timing } from "./decode.ts";
import type { ImageFormat } from "./formats.ts";
import { FORMATS } from "./formats.ts";
import { loadSharp } from "./header.ts";
import { withJpegMetadata } from "./jpeg-segments.ts";
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
  const upright = withExifDensity(uprightMetadata(metadata, frames[0]), options.format);
  const notes = lostPixels(frames, options.format);
  try {
    const image = await encoderOf(frames, options);
    const encoded = await encodeWith(image, frames[0], upright, options);
    const { bytes } = encoded;
    const lost = [
      ...encoded.lost,
      ...(losesDensity(upright, options.format) ? [NAMES.density] : []),
    ];
    const kept = lost.length === 0 ? [] : [`${listed(lost)} cannot be kept in ${nameOf(options)}`];
    return { bytes, notes: [...notes, ...kept] };
  } catch (error) {
    throw new CliError(`cannot encode the result: ${oneLine((error as Error).message)}`);
  }
}

const nameOf = ({ format }: EncodeOptions): string => FORMATS[format].name;

function uprightMetadata(metadata: Metadata, { width, height }: RawImage): Metadata {
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

function lostPixels(frames: readonly RawImage[], format: ImageFormat): readonly string[] {
  const { name, hasAlpha } = FORMATS[format];
  const notes: string[] = [];
  if (!hasAlpha && frames.some(hasTransparency)) {
    notes.push(`${name} has no transparency; transparent parts become white`);
  }
  if (format === "gif") {
    notes.push("GIF holds 256 colours a frame and no half transparency; --format webp keeps all");
  }
  return notes;
}

/** sharp on the frames, one below the other. */
async function encoderOf(
  frames: readonly [RawImage, ...RawImage[]],
  { format }: EncodeOptions,
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

interface Bytes {
  readonly bytes: Buffer;
  readonly lost: readonly string[];
}

async function encodeWith(
  image: Sharp,
  frame: RawImage,
  metadata: Metadata,
  options: EncodeOptions,
): Promise<Bytes> {
  const { format, lossless, quality, timing } = options;
  const loop = timing && { loop: timing.loops, delay: [...timing.delaysMs] };
  const { width, height } = frame;
  switch (format) {
    case "png": {
      const bytes = withPngMetadata(await image.png().toBuffer(), metadata);
      return { bytes, lost: namesOf(metadata, ["iptc", "comments"]) };
    }
    case "jpeg": {
      const jpeg = await image
        .flatten({ background: "white" })
        .jpeg({ quality: quality ?? DEFAULT_QUALITY.jpeg, chromaSubsampling: "4:4:4" })
        .toBuffer();
      const { bytes, lost } = withJpegMetadata(jpeg, metadata);
      return { bytes, lost: [...lost, ...namesOf(metadata, ["pngText"])] };
    }
    case "webp": {
      const how = lossless
        ? { lossless }
        : { quality: quality ?? DEFAULT_QUALITY.webp, smartSubsample: true };
      const webp = await image.webp({ ...how, ...loop }).toBuffer();
      const hasAlpha = endsInAlpha(frame);
      const bytes = withWebpMetadata(webp, metadata, { width, height, hasAlpha });
      return { bytes, lost: namesOf(metadata, ["iptc", "pngText", "comments"]) };
    }
    case "avif":
      return {
        bytes: await encodeAvif(image, metadata, options),
        lost: namesOf(metadata, ["iptc", "pngText", "comments"]),
      };
    case "tiff": {
      const how = { compression: "deflate", predictor: "horizontal" } as const;
      const bytes = withTiffMetadata(await image.tiff(how).toBuffer(), metadata);
      return { bytes, lost: namesOf(metadata, ["pngText", "comments"]) };
    }
    case "gif":
      return {
        bytes: await image.gif({ ...loop }).toBuffer(),
        lost: namesOf(metadata, ["exif", "xmp", "iptc", "density", "pngText", "comments"]),
      };
    default:
      return format satisfies never;
  }
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

/** Of the parts that a format has no place for: those that are there. */
function namesOf(metadata: Metadata, parts: readonly (keyof typeof NAMES)[]): readonly string[] {
  return parts.filter((part) => metadata[part] !== undefined).map((part) => NAMES[part]);
}

function listed(names: readonly string[]): string {
  return names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}
