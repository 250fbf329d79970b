/** PNG in strips: each is compressed on its own, and all together are one stream of zlib. */
import { promisify } from "node:util";
import { constants, deflateRaw } from "node:zlib";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { Metadata } from "./metadata.ts";
import { PNG_SIGNATURE, encodeChunk, withPngMetadata } from "./png-chunks.ts";
import type { RowsShape, StripFormat } from "./strip-file.ts";

const deflate = promisify(deflateRaw);

/** Of a strip before it is compressed, about. */
const STRIP_BYTES = 1 << 20;
/** By channels. */
const COLOUR_TYPES = [0, 4, 2, 6] as const;
const PAETH = 4;
/** A stream of zlib begins with these, and ends with an empty last block and a checksum. */
const STREAM_HEAD = Buffer.from([0x78, 0x9c]);
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

/** The format for pictures of one shape. */
export function pngStrips(shape: RowsShape, metadata: Metadata): StripFormat {
  const { width, channels, depth } = shape;
  const pixelBytes = (channels * depth) / 8;
  const rowBytes = width * pixelBytes;
  let above: Uint8Array = new Uint8Array(rowBytes);
  let checksum = 1;
  let isFirst = true;
  return {
    stripRows: Math.max(1, Math.floor(STRIP_BYTES / rowBytes)),
    async encode(strip) {
      const rows = bigEndian(strip);
      const filtered = paeth(rows, above, pixelBytes);
      above = rows.slice(-rowBytes);
      checksum = adler32(checksum, filtered);
      return deflate(filtered, { finishFlush: constants.Z_SYNC_FLUSH });
    },
    place(encoded) {
      const head = isFirst ? [fileHead(shape, metadata)] : [];
      const data = isFirst ? Buffer.concat([STREAM_HEAD, encoded]) : encoded;
      isFirst = false;
      return [...head, encodeChunk({ type: "IDAT", data })];
    },
    end() {
      const sum = Buffer.alloc(4);
      sum.writeUInt32BE(checksum);
      const last = encodeChunk({ type: "IDAT", data: Buffer.concat([LAST_BLOCK, sum]) });
      return { tail: Buffer.concat([last, encodeChunk({ type: "IEND", data: Buffer.alloc(0) })]) };
    },
  };
}

function fileHead({ width, height, channels, depth }: RowsShape, metadata: Metadata): Buffer {
  const header = Buffer.alloc(13); // its last three bytes: the only methods that there are
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = depth;
  header[9] = COLOUR_TYPES[channels - 1] as number;
  const head = Buffer.concat([PNG_SIGNATURE, encodeChunk({ type: "IHDR", data: header })]);
  return withPngMetadata(head, metadata);
}

/** The bytes of pixels as PNG has them; of 16 bits a copy. */
function bigEndian({ data }: RawImage): Uint8Array {
  if (data.BYTES_PER_ELEMENT === 1) return data as Uint8Array;
  return Buffer.from(Uint16Array.from(data).buffer).swap16();
}

/** Rows with PNG's filter Paeth: of every byte the difference to the neighbour that is nearest to left + above − left above. */
function paeth(rows: Uint8Array, above: Uint8Array, pixelBytes: number): Uint8Array {
  const rowBytes = above.length;
  const height = rows.length / rowBytes;
  const filtered = new Uint8Array(height * (rowBytes + 1));
  for (let y = 0; y < height; y++) {
    const row = rows.subarray(y * rowBytes, (y + 1) * rowBytes);
    const up = y === 0 ? above : rows.subarray((y - 1) * rowBytes, y * rowBytes);
    const out = filtered.subarray(y * (rowBytes + 1), (y + 1) * (rowBytes + 1));
    out[0] = PAETH;
    for (let i = 0; i < pixelBytes; i++) out[i + 1] = (row[i] as number) - (up[i] as number);
    for (let i = pixelBytes; i < rowBytes; i++) {
      const a = row[i - pixelBytes] as number;
      const b = up[i] as number;
      const c = up[i - pixelBytes] as number;
      const toA = Math.abs(b - c);
      const toB = Math.abs(a - c);
      const toC = Math.abs(a + b - 2 * c);
      const nearest = toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
      out[i + 1] = (row[i] as number) - nearest;
    }
  }
  return filtered;
}

const ADLER_BASE = 65_521;
/** So many bytes may be added before a sum needs more than 32 bits. */
const ADLER_RUN = 5552;

/** zlib's checksum, continued. */
function adler32(checksum: number, bytes: Uint8Array): number {
  let a = checksum & 0xffff;
  let b = checksum >>> 16;
  for (let from = 0; from < bytes.length; from += ADLER_RUN) {
    const to = Math.min(bytes.length, from + ADLER_RUN);
    for (let i = from; i < to; i++) {
      a += bytes[i] as number;
      b += a;
    }
    a %= ADLER_BASE;
    b %= ADLER_BASE;
  }
  return ((b << 16) | a) >>> 0;
}
