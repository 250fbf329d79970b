/** TIFF in strips, compressed as zlib does after taking differences to the left; BigTIFF where 4 GiB may not be enough. */
import { promisify } from "node:util";
import { deflate } from "node:zlib";
import { endsInAlpha } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { Metadata } from "./metadata.ts";
import type { RowsShape, StripFormat } from "./strip-file.ts";
import { metadataTags } from "./tiff-file.ts";
import type { Tag } from "./tiff-tags.ts";
import { numbersTag, writeTags } from "./tiff-tags.ts";

const compress = promisify(deflate);

/** Of a strip before it is compressed, about. */
const STRIP_BYTES = 1 << 20;
/** Of the pixels; what compresses badly grows by less than what is left. */
const MOST_CLASSIC_BYTES = 4e9;

const TAG = {
  width: 0x0100,
  height: 0x0101,
  bitsPerSample: 0x0102,
  compression: 0x0103,
  photometric: 0x0106,
  stripOffsets: 0x0111,
  samplesPerPixel: 0x0115,
  rowsPerStrip: 0x0116,
  stripBytes: 0x0117,
  planar: 0x011c,
  predictor: 0x013d,
  extraSamples: 0x0152,
} as const;
const DEFLATE = 8;
const HORIZONTAL = 2;
const GREY = 1; // 0 is black
const RGB = 2;
const UNASSOCIATED_ALPHA = 2;

/** The format for pictures of one shape. `isBig`: as BigTIFF, which not all programs read. */
export function tiffStrips(
  shape: RowsShape,
  metadata: Metadata,
  isBig = bytesOf(shape) > MOST_CLASSIC_BYTES,
): StripFormat {
  const { width, height, channels, depth } = shape;
  const rowBytes = bytesOf(shape) / height;
  const stripRows = Math.max(1, Math.floor(STRIP_BYTES / rowBytes));
  const head = Buffer.from(isBig ? "II+\0\x08\0\0\0" : "II*\0", "latin1");
  const pointerBytes = isBig ? 8 : 4;
  const offsets: number[] = [];
  const sizes: number[] = [];
  return {
    stripRows,
    encode: (strip) => compress(differences(strip)),
    place(encoded, at) {
      const parts = at === 0 ? [head, Buffer.alloc(pointerBytes), encoded] : [encoded];
      offsets.push(at === 0 ? head.length + pointerBytes : at);
      sizes.push(encoded.length);
      return parts;
    },
    end(at) {
      const colours = channels < 3 ? GREY : RGB;
      const short = (id: number, ...values: readonly number[]) => numbersTag(id, values, 2);
      const long = (id: number, ...values: readonly number[]) => numbersTag(id, values, 4);
      const tags: readonly Tag[] = [
        long(TAG.width, width),
        long(TAG.height, height),
        short(TAG.bitsPerSample, ...Array.from({ length: channels }, () => depth)),
        short(TAG.compression, DEFLATE),
        short(TAG.photometric, colours),
        numbersTag(TAG.stripOffsets, offsets, pointerBytes),
        short(TAG.samplesPerPixel, channels),
        long(TAG.rowsPerStrip, stripRows),
        numbersTag(TAG.stripBytes, sizes, 4),
        short(TAG.planar, 1),
        short(TAG.predictor, HORIZONTAL),
        ...(endsInAlpha({ channels }) ? [short(TAG.extraSamples, UNASSOCIATED_ALPHA)] : []),
        ...metadataTags(metadata, true),
      ];
      const even = Buffer.alloc(at % 2);
      const patch = Buffer.alloc(pointerBytes);
      patch.writeUIntLE(at + even.length, 0, Math.min(6, pointerBytes));
      const list = writeTags({ isLittle: true, tags }, at + even.length, true, isBig);
      return { tail: Buffer.concat([even, list]), patch, patchAt: head.length };
    },
  };
}

const bytesOf = ({ width, height, channels, depth }: RowsShape): number =>
  (width * height * channels * depth) / 8;

/** Of every value the difference to that of the pixel on its left, as bytes. */
function differences({ width, height, channels, data }: RawImage): Uint8Array {
  const out = data.slice();
  const rowSize = width * channels;
  for (let from = 0; from < height * rowSize; from += rowSize) {
    for (let i = from + channels; i < from + rowSize; i++) {
      out[i] = (data[i] as number) - (data[i - channels] as number);
    }
  }
  return new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
}
