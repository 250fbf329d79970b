/** From rows of pixels, as they come, to a file that the picture needs not be in memory for. */
import type { FileHandle } from "node:fs/promises";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { EncodeOptions } from "./encode.ts";
import {
  cannotEncode,
  encoderOf,
  jpegOf,
  lostMetadata,
  lostPixels,
  metadataOfResult,
} from "./encode.ts";
import type { ImageFormat } from "./formats.ts";
import { JPEG_START, withJpegMetadata } from "./jpeg-segments.ts";
import { jpegStrips } from "./jpeg-strips.ts";
import type { Metadata } from "./metadata.ts";
import { hasTransparency } from "./pixels.ts";
import { pngStrips } from "./png-strips.ts";
import type { RowsShape, StripFormat } from "./strip-file.ts";
import { StripWriter } from "./strip-file.ts";
import { tiffStrips } from "./tiff-strips.ts";

/** Formats that are written in rows. The others need the whole picture. */
export const ROW_FORMATS = ["png", "jpeg", "tiff"] as const satisfies readonly ImageFormat[];
export type RowFormat = (typeof ROW_FORMATS)[number];

export const isRowFormat = (format: ImageFormat): format is RowFormat =>
  ROW_FORMATS.some((name) => name === format);

/** How rows are encoded. */
export interface RowOptions extends Pick<EncodeOptions, "quality"> {
  readonly format: RowFormat;
}

/** Takes rows from the top to the bottom. Throws what the file system throws. */
export interface RowEncoder {
  /** The next rows in whole width, in the depth of the shape. */
  write(rows: RawImage): Promise<void>;
  /** Finishes the file; what it could not hold, a phrase each. */
  end(): Promise<readonly string[]>;
}

/** An encoder to `file`, which is empty and stays the caller's. `metadata` as in `encodeImage`. */
export function encodeRows(
  file: FileHandle,
  shape: RowsShape,
  metadata: Metadata,
  options: RowOptions,
): RowEncoder {
  const upright = metadataOfResult(metadata, shape, options.format);
  const writer = new StripWriter(file, stripsOf(shape, upright, options), shape);
  let isTransparent = false;
  return {
    async write(rows) {
      isTransparent ||= hasTransparency(rows);
      await writer.write(rows);
    },
    async end() {
      await writer.end();
      return [
        ...lostPixels(isTransparent, options.format),
        ...lostMetadata(upright, options.format),
      ];
    },
  };
}

function stripsOf(
  shape: RowsShape,
  metadata: Metadata,
  { format, quality }: RowOptions,
): StripFormat {
  switch (format) {
    case "png":
      return pngStrips(shape, metadata);
    case "tiff":
      return tiffStrips(shape, metadata);
    case "jpeg": {
      const { bytes } = withJpegMetadata(JPEG_START, metadata);
      return jpegStrips(shape, bytes, async (strip) => {
        try {
          return await jpegOf(await encoderOf([strip], { format }), quality, true).toBuffer();
        } catch (error) {
          throw cannotEncode(error);
        }
      });
    }
    default:
      return format satisfies never;
  }
}
