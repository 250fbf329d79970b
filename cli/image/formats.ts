/** Formats that are written: their names, extensions and what they can hold. */
import { extname } from "node:path";
import type { ImageKind } from "./kinds.ts";

/** Formats that are written. */
export type ImageFormat = "png" | "jpeg" | "webp" | "avif" | "tiff" | "gif";

/** What a format can hold. */
export interface FormatTraits {
  /** For people. */
  readonly name: string;
  /** The first is given to results; all are understood. */
  readonly extensions: readonly string[];
  /** Longest side in pixels. */
  readonly maxSide: number;
  readonly depth: 8 | 16;
  /** Whether `--quality` and `--lossless` say something about it. */
  readonly hasQuality: boolean;
  readonly hasLossless: boolean;
  readonly hasAlpha: boolean;
  readonly hasFrames: boolean;
  readonly hasProfile: boolean;
}

const MAX_32_BITS = 2 ** 31 - 1;

/** By format. */
export const FORMATS: Readonly<Record<ImageFormat, FormatTraits>> = {
  png: {
    name: "PNG",
    extensions: [".png"],
    maxSide: MAX_32_BITS,
    depth: 16,
    hasQuality: false,
    hasLossless: false,
    hasAlpha: true,
    hasFrames: false,
    hasProfile: true,
  },
  jpeg: {
    name: "JPEG",
    extensions: [".jpg", ".jpeg", ".jfif", ".jpe"],
    maxSide: 65_500, // libjpeg's own limit
    depth: 8,
    hasQuality: true,
    hasLossless: false,
    hasAlpha: false,
    hasFrames: false,
    hasProfile: true,
  },
  webp: {
    name: "WebP",
    extensions: [".webp"],
    maxSide: 16_383, // 14 bits in the file
    depth: 8,
    hasQuality: true,
    hasLossless: true,
    hasAlpha: true,
    hasFrames: true,
    hasProfile: true,
  },
  avif: {
    name: "AVIF",
    extensions: [".avif"],
    maxSide: 16_384, // libvips' limit
    depth: 8, // the format has 10 and 12 bits, the encoder that sharp brings has not
    hasQuality: true,
    hasLossless: true,
    hasAlpha: true,
    hasFrames: false,
    hasProfile: true,
  },
  tiff: {
    name: "TIFF",
    extensions: [".tif", ".tiff"],
    maxSide: MAX_32_BITS,
    depth: 16,
    hasQuality: false,
    hasLossless: false,
    hasAlpha: true,
    hasFrames: false,
    hasProfile: true,
  },
  gif: {
    name: "GIF",
    extensions: [".gif"],
    maxSide: 65_535, // 16 bits in the file
    depth: 8,
    hasQuality: false,
    hasLossless: false,
    hasAlpha: true,
    hasFrames: true,
    hasProfile: false,
  },
};

/** In the order in which messages list them. */
export const FORMAT_NAMES = Object.keys(FORMATS) as readonly ImageFormat[];

/** As messages list the extensions of formats that are written. */
export const WRITABLE_EXTENSIONS = FORMAT_NAMES.map((name) => FORMATS[name].extensions[0]).join(
  ", ",
);

const EXTENSIONS_ONLY_READ = [".bmp", ".dib", ".heic", ".heif"];

/** The format that a file name's extension asks for; undefined where none is written under it. */
export function formatOfPath(path: string): ImageFormat | undefined {
  const extension = extname(path).toLowerCase();
  return FORMAT_NAMES.find((name) => FORMATS[name].extensions.includes(extension));
}

/** Whether a file name says that an image is in it. */
export function isImageName(path: string): boolean {
  return (
    formatOfPath(path) !== undefined || EXTENSIONS_ONLY_READ.includes(extname(path).toLowerCase())
  );
}

/** The format of results for an input of this kind: its own, PNG for kinds that are not written. */
export function formatOfKind(kind: ImageKind): ImageFormat {
  return kind === "bmp" || kind === "heic" ? "png" : kind;
}
