/** The segments of a JPEG in front of its pixels. */
import type { Metadata } from "./metadata.ts";
import { perInch, perMetre } from "./metadata.ts";

/** What a JPEG begins with. */
export const JPEG_START = Buffer.from([0xff, 0xd8]);
const MAX_SEGMENT = 65_533; // its length, two bytes, counts itself
const EXIF = Buffer.from("Exif\0\0", "latin1");
const XMP = Buffer.from("http://ns.adobe.com/xap/1.0/\0", "latin1");
const ICC = Buffer.from("ICC_PROFILE\0", "latin1");
const PHOTOSHOP = Buffer.from("Photoshop 3.0\0", "latin1");
const RESOURCE = Buffer.from("8BIM", "latin1");
const IPTC_RESOURCE = 0x0404;
const MARKER = {
  app0: 0xe0,
  app1: 0xe1,
  app2: 0xe2,
  app13: 0xed,
  comment: 0xfe,
  scan: 0xda,
} as const;

interface Segment {
  readonly marker: number;
  readonly data: Buffer;
}

/** The segments in order, up to the pixels. */
export function jpegSegments(bytes: Uint8Array): readonly Segment[] {
  const jpeg = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const segments: Segment[] = [];
  for (let at = 2; at + 4 <= jpeg.length && jpeg[at] === 0xff;) {
    const marker = jpeg[at + 1] as number;
    if (marker === 0xff) {
      at++; // fill bytes
      continue;
    }
    if (marker === MARKER.scan) break;
    const size = jpeg.readUInt16BE(at + 2);
    segments.push({ marker, data: jpeg.subarray(at + 4, at + 2 + size) });
    at += 2 + size;
  }
  return segments;
}

/** RawImage per metre that JFIF states; undefined without, or where it only states a ratio. */
export function jfifDensity(segments: readonly Segment[]): readonly [number, number] | undefined {
  const data = segments.find(
    ({ marker, data: bytes }) =>
      marker === MARKER.app0 && bytes.toString("latin1", 0, 4) === "JFIF",
  )?.data;
  const unit = data?.[7];
  if (data === undefined || data.length < 12 || (unit !== 1 && unit !== 2)) return undefined;
  const metres = (value: number) => (unit === 1 ? perMetre(value) : value * 100);
  const density = [metres(data.readUInt16BE(8)), metres(data.readUInt16BE(10))] as const;
  return density[0] > 0 && density[1] > 0 ? density : undefined;
}

/** Comments, without the segments around them. */
export function jpegComments(segments: readonly Segment[]): readonly Uint8Array[] {
  return segments.flatMap(({ marker, data }) => (marker === MARKER.comment ? [data] : []));
}

/** IPTC's records among Photoshop's resources. */
export function jpegIptc(segments: readonly Segment[]): Uint8Array | undefined {
  for (const { marker, data } of segments) {
    if (marker !== MARKER.app13 || !data.subarray(0, PHOTOSHOP.length).equals(PHOTOSHOP)) continue;
    const records = iptcOfResources(data.subarray(PHOTOSHOP.length));
    if (records !== undefined) return records;
  }
  return undefined;
}

/** IPTC's records in a block of resources, as it also stands in TIFF files. */
export function iptcOfResources(block: Uint8Array): Uint8Array | undefined {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  for (let at = 0; at + 12 <= bytes.length && bytes.subarray(at, at + 4).equals(RESOURCE);) {
    const id = bytes.readUInt16BE(at + 4);
    const nameBytes = ((bytes[at + 6] as number) + 2) & ~1; // a length in front, to an even number
    const sizeAt = at + 6 + nameBytes;
    if (sizeAt + 4 > bytes.length) return undefined;
    const size = bytes.readUInt32BE(sizeAt);
    if (id === IPTC_RESOURCE) return Uint8Array.from(bytes.subarray(sizeAt + 4, sizeAt + 4 + size));
    at = sizeAt + 4 + ((size + 1) & ~1);
  }
  return undefined;
}

/** `jpeg` with `metadata`, and what its segments are too small for. */
export function withJpegMetadata(
  jpeg: Buffer,
  metadata: Metadata,
): { readonly bytes: Buffer; readonly lost: readonly string[] } {
  const { icc, exif, xmp, iptc, density, comments = [] } = metadata;
  const segments: Buffer[] = [jfif(density)];
  const lost: string[] = [];
  const add = (name: string, marker: number, data: Buffer) => {
    if (data.length <= MAX_SEGMENT) segments.push(segment(marker, data));
    else lost.push(name);
  };
  if (exif !== undefined) add("EXIF", MARKER.app1, Buffer.concat([EXIF, exif]));
  if (xmp !== undefined) add("XMP", MARKER.app1, Buffer.concat([XMP, xmp]));
  if (icc !== undefined) segments.push(...iccSegments(icc));
  if (iptc !== undefined) add("IPTC", MARKER.app13, iptcBlock(iptc));
  for (const comment of comments) add("a comment", MARKER.comment, Buffer.from(comment));
  const rest = jpeg.subarray(2 + ownJfifBytes(jpeg));
  return { bytes: Buffer.concat([jpeg.subarray(0, 2), ...segments, rest]), lost };
}

/** Bytes of the JFIF segment right behind the beginning, if the encoder wrote one. */
function ownJfifBytes(jpeg: Buffer): number {
  return jpeg[3] === MARKER.app0 ? 2 + jpeg.readUInt16BE(4) : 0;
}

function jfif(density: Metadata["density"]): Buffer {
  const inch = density?.map((value) => Math.round(perInch(value)));
  const fits = inch?.every((value) => value >= 1 && value <= 0xffff);
  const [x = 1, y = 1] = fits ? (inch ?? []) : [];
  const data = Buffer.from("JFIF\0\x01\x02\0\0\0\0\0\0\0", "latin1");
  data[7] = fits ? 1 : 0;
  data.writeUInt16BE(x, 8);
  data.writeUInt16BE(y, 10);
  return segment(MARKER.app0, data);
}

/** A profile in as many segments as it takes, each numbered. */
function iccSegments(icc: Uint8Array): readonly Buffer[] {
  const most = MAX_SEGMENT - ICC.length - 2;
  const count = Math.ceil(icc.length / most);
  return Array.from({ length: count }, (_, i) =>
    segment(
      MARKER.app2,
      Buffer.concat([ICC, Buffer.from([i + 1, count]), icc.subarray(i * most, (i + 1) * most)]),
    ),
  );
}

function iptcBlock(iptc: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  RESOURCE.copy(head);
  head.writeUInt16BE(IPTC_RESOURCE, 4); // an empty name of two bytes follows
  head.writeUInt32BE(iptc.length, 8);
  return Buffer.concat([PHOTOSHOP, head, iptc, Buffer.alloc(iptc.length % 2)]);
}

function segment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}
