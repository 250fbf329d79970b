/** The chunks of a WebP: whether it is lossless, and what it says beside its pixels. */
import type { Metadata } from "./metadata.ts";

const FLAG = { icc: 0x20, alpha: 0x10, exif: 0x08, xmp: 0x04 } as const;

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
}

function webpChunks(bytes: Uint8Array, from = 12): readonly Chunk[] {
  const webp = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  for (let at = from; at + 8 <= webp.length;) {
    const size = webp.readUInt32LE(at + 4);
    const type = webp.toString("latin1", at, at + 4);
    chunks.push({ type, data: webp.subarray(at + 8, at + 8 + size) });
    at += 8 + size + (size % 2);
  }
  return chunks;
}

const FRAME_HEADER_BYTES = 16;

/** Whether every picture in it is lossless. */
export function isLosslessWebp(bytes: Uint8Array): boolean {
  const pictures = webpChunks(bytes).flatMap((chunk) =>
    chunk.type === "ANMF" ? webpChunks(chunk.data, FRAME_HEADER_BYTES) : [chunk],
  );
  return (
    pictures.some(({ type }) => type === "VP8L") && !pictures.some(({ type }) => type === "VP8 ")
  );
}

/** `webp`, of `width` × `height`, with `metadata`: profile in front of the pixels, the rest behind. */
export function withWebpMetadata(
  webp: Buffer,
  { icc, exif, xmp }: Metadata,
  { width, height, hasAlpha }: { width: number; height: number; hasAlpha: boolean },
): Buffer {
  if (icc === undefined && exif === undefined && xmp === undefined) return webp;
  const chunks = webpChunks(webp);
  const extended = chunks.find(({ type }) => type === "VP8X")?.data;
  const header = Buffer.alloc(10);
  if (extended !== undefined) extended.copy(header);
  else {
    header[0] = hasAlpha ? FLAG.alpha : 0;
    header.writeUIntLE(width - 1, 4, 3);
    header.writeUIntLE(height - 1, 7, 3);
  }
  header[0] =
    (header[0] as number) | (icc ? FLAG.icc : 0) | (exif ? FLAG.exif : 0) | (xmp ? FLAG.xmp : 0);
  const body = Buffer.concat([
    Buffer.from("WEBP", "latin1"),
    encode("VP8X", header),
    ...(icc ? [encode("ICCP", icc)] : []),
    ...chunks.filter(({ type }) => type !== "VP8X").map(({ type, data }) => encode(type, data)),
    ...(exif ? [encode("EXIF", exif)] : []),
    ...(xmp ? [encode("XMP ", xmp)] : []),
  ]);
  return encode("RIFF", body);
}

function encode(type: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.write(type, "latin1");
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}
