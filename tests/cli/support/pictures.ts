import type { DecodeOptions, Picture } from "../../../cli/image/decode.ts";
import { decodeImage } from "../../../cli/image/decode.ts";
import type { EncodeOptions, Encoded } from "../../../cli/image/encode.ts";
import { encodeImage } from "../../../cli/image/encode.ts";
import { inspectImage } from "../../../cli/image/header.ts";
/** Image files in memory: decoded, encoded, and with what their containers say put in by hand. */
import { crc32 } from "../../reference/crc32.ts";

/** A file's picture, by default in its own colours with all its frames. */
export async function decode(
  bytes: Uint8Array,
  options: Partial<DecodeOptions> = {},
): Promise<Picture> {
  return decodeImage(bytes, await inspectImage(bytes), {
    profile: "keep",
    frames: "all",
    ...options,
  });
}

/** A picture as a file of another format. */
export function encode(
  { frames, metadata, timing }: Picture,
  options: Partial<EncodeOptions> & Pick<EncodeOptions, "format">,
): Promise<Encoded> {
  return encodeImage(frames, metadata, { lossless: false, ...(timing && { timing }), ...options });
}

/** `png` with chunks behind its header. */
export function withChunks(png: Buffer, chunks: readonly (readonly [string, Buffer])[]): Buffer {
  const encoded = chunks.map(([type, data]) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(data.length);
    head.write(type, 4, "latin1");
    const tail = Buffer.alloc(4);
    tail.writeUInt32BE(crc32(Buffer.concat([head.subarray(4), data])));
    return Buffer.concat([head, data, tail]);
  });
  return Buffer.concat([png.subarray(0, 33), ...encoded, png.subarray(33)]);
}

/** Big-endian 32-bit numbers, as PNG has them. */
export function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}

/** The largest difference of two rows of values. */
export function largestError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let error = 0;
  for (let i = 0; i < a.length; i++) {
    error = Math.max(error, Math.abs((a[i] as number) - (b[i] as number)));
  }
  return error;
}

/** A profile of one of the spaces `GRAY`, `RGB ` and `CMYK`: its header, and for grey a curve of one gamma. */
export function profile(space: string, gamma = 1): Buffer {
  const icc = Buffer.alloc(128 + 4 + 12 + 16);
  icc.writeUInt32BE(icc.length, 0);
  icc.writeUInt32BE(0x02_40_00_00, 8);
  icc.write("mntr", 12, "latin1");
  icc.write(space, 16, "latin1");
  icc.write("XYZ ", 20, "latin1");
  icc.write("acsp", 36, "latin1");
  icc.writeUInt32BE(1, 128);
  icc.write("kTRC", 132, "latin1");
  icc.writeUInt32BE(144, 136);
  icc.writeUInt32BE(14, 140);
  icc.write("curv", 144, "latin1");
  icc.writeUInt32BE(1, 152);
  icc.writeUInt16BE(Math.round(gamma * 256), 156);
  return icc;
}
