/** The chunks of a PNG that are not its pixels. */
import { deflateSync } from "node:zlib";
import type { Metadata, PngChunk } from "./metadata.ts";

/** What a PNG begins with. */
export const PNG_SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
const SIGNATURE_BYTES = PNG_SIGNATURE.length;
const XMP_KEYWORD = "XML:com.adobe.xmp";

/** All chunks in order; those behind a damaged one are left out. */
export function pngChunks(png: Uint8Array): readonly PngChunk[] {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  const chunks: PngChunk[] = [];
  for (let at = SIGNATURE_BYTES; at + 12 <= bytes.length;) {
    const size = bytes.readUInt32BE(at);
    if (at + 12 + size > bytes.length) break;
    const type = bytes.toString("latin1", at + 4, at + 8);
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + size) });
    at += 12 + size;
  }
  return chunks;
}

/** Text chunks but XMP's, which is kept as what it is. */
export function textChunks(chunks: readonly PngChunk[]): readonly PngChunk[] {
  return chunks
    .filter(({ type, data }) => ["tEXt", "zTXt", "iTXt"].includes(type) && !isXmp(data))
    .map(({ type, data }) => ({ type, data: Uint8Array.from(data) }));
}

function isXmp(data: Uint8Array): boolean {
  return Buffer.from(data).toString("latin1", 0, XMP_KEYWORD.length) === XMP_KEYWORD;
}

/** RawImage per metre of `pHYs`; undefined without, or where it only states a ratio. */
export function pngDensity(chunks: readonly PngChunk[]): readonly [number, number] | undefined {
  const data = chunkData(chunks, "pHYs");
  if (data === undefined || data.length < 9 || data[8] !== 1) return undefined;
  const density = [data.readUInt32BE(0), data.readUInt32BE(4)] as const;
  return density[0] > 0 && density[1] > 0 ? density : undefined;
}

/** The data of the first chunk of a type. */
export function chunkData(chunks: readonly PngChunk[], type: string): Buffer | undefined {
  const data = chunks.find((chunk) => chunk.type === type)?.data;
  return data && Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Frames of an animated PNG that are not the picture that other programs show; 0 for others. The first frame may be
 * that picture: then its `fcTL` lies before the pixels.
 */
export function hiddenPngFrames(chunks: readonly PngChunk[]): number {
  const control = chunkData(chunks, "acTL");
  if (control === undefined || control.length < 4) return 0;
  const pixels = chunks.findIndex(({ type }) => type === "IDAT");
  const first = chunks.findIndex(({ type }) => type === "fcTL");
  const isShown = first >= 0 && first < pixels;
  return Math.max(0, control.readUInt32BE(0) - (isShown ? 1 : 0));
}

/** `png` with `metadata`, in place of the resolution and profile that it has. */
export function withPngMetadata(png: Buffer, metadata: Metadata): Buffer {
  const { icc, exif, xmp, density, pngText = [] } = metadata;
  const added: PngChunk[] = [];
  if (icc !== undefined) {
    const name = Buffer.from("ICC profile\0\0", "latin1"); // then one byte: compression method 0
    added.push({ type: "iCCP", data: Buffer.concat([name, deflateSync(icc)]) });
  }
  if (density !== undefined) {
    const data = Buffer.alloc(9);
    data.writeUInt32BE(Math.round(density[0]), 0);
    data.writeUInt32BE(Math.round(density[1]), 4);
    data[8] = 1;
    added.push({ type: "pHYs", data });
  }
  if (exif !== undefined) added.push({ type: "eXIf", data: exif });
  if (xmp !== undefined) {
    const head = Buffer.from(`${XMP_KEYWORD}\0\0\0\0\0`, "latin1"); // not compressed, no language
    added.push({ type: "iTXt", data: Buffer.concat([head, xmp]) });
  }
  added.push(...pngText);
  const headerEnd = SIGNATURE_BYTES + 25;
  const parts = [png.subarray(0, headerEnd), ...added.map(encodeChunk)];
  // The encoder's own resolution stands right behind the header.
  let at = headerEnd;
  while (at + 12 <= png.length) {
    const type = png.toString("latin1", at + 4, at + 8);
    if (type !== "pHYs" && type !== "iCCP") break;
    at += 12 + png.readUInt32BE(at);
  }
  return Buffer.concat([...parts, png.subarray(at)]);
}

/** The bytes of a chunk. */
export function encodeChunk({ type, data }: PngChunk): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, "latin1");
  chunk.set(data, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

const CRC_OF_BYTE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

/** As PNG and zlib have it; Node's own is younger than the oldest Node that we run on. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_OF_BYTE[(crc ^ byte) & 0xff] as number);
  return ~crc >>> 0;
}
