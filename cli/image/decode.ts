/** From the bytes of a file to pixels, upright, in the file's own colours, and to all else that it says. */
import type { Sharp } from "sharp";
import type { PixelRectangle, RawImage } from "../../src/rcod/settings/options.ts";
import { usageError } from "../errors.ts";
import { decodeBmp } from "./bmp.ts";
import { cmykToRgb, toSrgb } from "./colour.ts";
import type { ImageHeader } from "./header.ts";
import { MAX_INPUT_PIXELS, checkHeld, inspectImage, sharpOf, unreadable } from "./header.ts";
import { jfifDensity, jpegComments, jpegIptc, jpegSegments } from "./jpeg-segments.ts";
import { KIND_NAMES } from "./kinds.ts";
import type { Metadata } from "./metadata.ts";
import { asRgb8 } from "./pixels.ts";
import { pngDensity, textChunks } from "./png-chunks.ts";
import type { ColourPlan, ProfileMode } from "./profile.ts";
import { avifCodes, planColours, pngCodes } from "./profile.ts";
import { readImageFile } from "./source.ts";
import { tiffMetadata } from "./tiff-file.ts";
import { readTags, tagDensity } from "./tiff-tags.ts";
import { isLosslessWebp } from "./webp-chunks.ts";

/** How a file is decoded. */
export interface DecodeOptions {
  readonly profile: ProfileMode;
  /** Whether an animation is read as one, or only its first frame. */
  readonly frames: "all" | "first";
}

/** A decoded file. */
export interface Picture {
  /** All of one size; at least one. */
  readonly frames: readonly [RawImage, ...RawImage[]];
  /** Of an animation. */
  readonly timing?: Timing;
  readonly metadata: Metadata;
  /** Whether the file is a lossless WebP. */
  readonly isLossless: boolean;
  /** What was converted or left out, a phrase each. */
  readonly notes: readonly string[];
}

/** When the frames of an animation follow each other. */
export interface Timing {
  readonly delaysMs: readonly number[];
  /** 0 is without end. */
  readonly loops: number;
}

/** Decodes a file of that header. Throws `CliError` (exit code 2); messages do not name the file. */
export async function decodeImage(
  bytes: Uint8Array,
  header: ImageHeader,
  options: DecodeOptions,
): Promise<Picture> {
  checkHeld(header, options.frames === "all" ? header.frames : 1);
  if (header.bmp !== undefined) {
    try {
      const { density } = header.bmp;
      const metadata = density ? { density } : {};
      return { frames: [decodeBmp(bytes, header.bmp)], metadata, isLossless: false, notes: [] };
    } catch (error) {
      throw unreadable(error);
    }
  }
  const { decoder } = header;
  const frameCount = options.frames === "all" ? header.frames : 1;
  const { plan, ...said } = await describeImage(bytes, header, options.profile, frameCount);
  const tall = await decodePixels(bytes, header, plan, frameCount);
  const frames = framesOf(tall, frameCount);
  const timing = frameCount > 1 && {
    delaysMs: decoder?.delay ?? [],
    loops: decoder?.loop ?? 0,
  };
  return { frames, ...(timing && { timing }), ...said };
}

/** What a file says, and how its values become the engine's; all but BMP. `frameCount`: frames that are read. */
export async function describeImage(
  bytes: Uint8Array,
  header: ImageHeader,
  profile: ProfileMode,
  frameCount: number,
): Promise<{ readonly plan: ColourPlan } & Pick<Picture, "metadata" | "isLossless" | "notes">> {
  const { kind, decoder } = header;
  const { plan, note } = planColours(
    {
      space: decoder?.space ?? "srgb",
      icc: decoder?.icc,
      chunks: header.chunks,
      codes: kind === "avif" ? avifCodes(bytes) : header.chunks && pngCodes(header.chunks),
    },
    profile,
  );
  const hidden = header.hiddenFrames + header.frames - frameCount;
  const notes = [...(note === undefined ? [] : [note]), ...hiddenNote(header, hidden)];
  const icc = plan.kind === "keep-p3" ? await p3Profile() : plan.kind === "keep" && plan.icc;
  const metadata = { ...metadataOf(bytes, header), ...(icc && { icc }) };
  return { plan, metadata, isLossless: kind === "webp" && isLosslessWebp(bytes), notes };
}

function hiddenNote({ kind, chunks }: ImageHeader, hidden: number): readonly string[] {
  if (hidden === 0) return [];
  const what = kind === "tiff" ? "page" : kind === "heic" || kind === "avif" ? "image" : "frame";
  const of = chunks === undefined ? KIND_NAMES[kind] : "animated PNG";
  const more = hidden === 1 ? `1 more ${what} is` : `${hidden} more ${what}s are`;
  return [`only the first ${what} of the ${of} is upscaled; ${more} left out`];
}

/** Pixels, upright; of a file with one frame also those of `part` alone. Throws `CliError` (exit code 2). */
export async function decodePixels(
  bytes: Uint8Array,
  { kind, depth, decoder }: ImageHeader,
  plan: ColourPlan,
  frameCount: number,
  part?: PixelRectangle,
): Promise<RawImage> {
  const image = await sharpOf(bytes, {
    limitInputPixels: MAX_INPUT_PIXELS,
    ignoreIcc: plan.kind !== "decoder",
    ...(frameCount > 1 && { pages: -1 }),
  });
  if (frameCount === 1 && kind !== "gif") image.autoOrient();
  if (part) image.extract({ left: part.x, top: part.y, width: part.width, height: part.height });
  const isGrey = decoder?.space === "b-w" || decoder?.space === "grey16";
  try {
    if (plan.kind === "cmyk") return cmykToRgb(await inks(image));
    if (plan.kind === "decoder") image.withIccProfile("srgb", { attach: false }); // sharp's own choice for 16 bits is P3
    const space = depth === 16 ? (isGrey ? "grey16" : "rgb16") : "srgb";
    const decoded = await rawPixels(image.toColourspace(space), depth);
    const pixels = isGrey && decoded.channels > 2 ? asGrey(decoded) : decoded;
    return plan.kind === "transfer" ? toSrgb(pixels, plan.transfer, plan.matrix) : pixels;
  } catch (error) {
    throw unreadable(error);
  }
}

/** Grey, with alpha where there is one: of 8 bits sharp gives raw pixels of grey only without it. */
function asGrey({ width, height, channels, data }: RawImage): RawImage {
  const outChannels = channels === 4 ? 2 : 1;
  const grey = new Uint8Array(width * height * outChannels);
  for (let i = 0; i < width * height; i++) {
    grey[outChannels * i] = data[channels * i] as number;
    if (outChannels === 2) grey[2 * i + 1] = data[channels * i + 3] as number;
  }
  return { width, height, channels: outChannels, data: grey };
}

async function inks(image: Sharp) {
  const { data, info } = await image
    .pipelineColourspace("cmyk")
    .toColourspace("cmyk")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, data };
}

async function rawPixels(image: Sharp, depth: 8 | 16): Promise<RawImage> {
  const { data, info } = await image
    .raw({ depth: depth === 16 ? "ushort" : "uchar" })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels !== 1 && channels !== 2 && channels !== 3 && channels !== 4) {
    throw usageError(`it has ${channels as number} channels; grey, RGB and CMYK can be read`);
  }
  if (depth === 8) return { width, height, channels, data };
  const { buffer, byteOffset } = byteOffsetIsEven(data) ? data : Uint8Array.from(data);
  const values = new Uint16Array(buffer, byteOffset, width * height * channels);
  return { width, height, channels, data: values };
}

const byteOffsetIsEven = ({ byteOffset }: Uint8Array): boolean => byteOffset % 2 === 0;

/** The frames that stand below each other. */
function framesOf(tall: RawImage, count: number): readonly [RawImage, ...RawImage[]] {
  const height = tall.height / count;
  const size = tall.width * height * tall.channels;
  const frame = (i: number): RawImage => ({
    ...tall,
    height,
    data: tall.data.subarray(i * size, (i + 1) * size),
  });
  return [frame(0), ...Array.from({ length: count - 1 }, (_, i) => frame(i + 1))];
}

/** All but the profile. */
function metadataOf(bytes: Uint8Array, { kind, chunks = [], decoder }: ImageHeader): Metadata {
  const ofTiff = kind === "tiff" ? tiffMetadata(bytes) : {};
  const segments = kind === "jpeg" ? jpegSegments(bytes) : [];
  const exif = ofTiff.exif ?? (decoder?.exif && withoutPrefix(decoder.exif));
  const exifTags = exif && readTags(exif);
  const density =
    ofTiff.density ??
    jfifDensity(segments) ??
    pngDensity(chunks) ??
    (exifTags ? tagDensity(exifTags) : undefined);
  const xmp = decoder?.xmp;
  const iptc = ofTiff.iptc ?? jpegIptc(segments);
  const pngText = textChunks(chunks);
  const comments = jpegComments(segments);
  return {
    ...(exif && { exif }),
    ...(xmp && { xmp }),
    ...(iptc && { iptc }),
    ...(density && { density }),
    ...(pngText.length > 0 && { pngText }),
    ...(comments.length > 0 && { comments }),
  };
}

/** libvips' own profile of Display P3, for pixels that a code says are such. */
async function p3Profile(): Promise<Buffer | undefined> {
  const image = await sharpOf(new Uint8Array(3), { raw: { width: 1, height: 1, channels: 3 } });
  const png = await image.withIccProfile("p3").png().toBuffer();
  return (await (await sharpOf(png, {})).metadata()).icc;
}

/** The decoder leaves the letters in front of EXIF where a file has them. */
function withoutPrefix(exif: Buffer): Buffer {
  return exif.toString("latin1", 0, 6) === "Exif\0\0" ? exif.subarray(6) : exif;
}

/** Reads a file as 8-bit sRGB with three channels, four with alpha. Throws as `decodeImage`. */
export async function readImage(path: string): Promise<ReturnType<typeof asRgb8>> {
  const bytes = await readImageFile(path);
  const picture = await decodeImage(bytes, await inspectImage(bytes), {
    profile: "srgb",
    frames: "first",
  });
  return asRgb8(picture.frames[0]);
}
