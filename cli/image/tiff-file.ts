/** What a TIFF file says beside its pixels: read, and put into one that an encoder has made. */
import { iptcOfResources } from "./jpeg-segments.ts";
import type { Metadata } from "./metadata.ts";
import { perInch } from "./metadata.ts";
import type { Tag } from "./tiff-tags.ts";
import {
  TAG,
  bytesTag,
  describingTags,
  exifOfTags,
  readTags,
  tagDensity,
  tiffHeader,
  writeTags,
} from "./tiff-tags.ts";

/** All but profile and XMP, which the decoder gives. */
export function tiffMetadata(bytes: Uint8Array): Pick<Metadata, "exif" | "iptc" | "density"> {
  const list = readTags(bytes);
  if (list === null) return {};
  const exif = exifOfTags(list);
  const density = tagDensity(list);
  const value = (id: number) => list.tags.find((tag) => tag.id === id)?.value;
  const block = value(TAG.photoshop);
  const iptc = value(TAG.iptc) ?? (block && iptcOfResources(block));
  return {
    ...(exif && { exif }),
    ...(density && { density }),
    ...(iptc && { iptc }),
  };
}

const RATIONAL = 5;
const SHORT = 3;

/** `tiff` with `metadata`: a longer list of tags at its end. Its pixels stay where they are. */
export function withTiffMetadata(tiff: Buffer, metadata: Metadata): Buffer {
  const own = readTags(tiff);
  if (own === null) throw new Error("internal: the encoder wrote no classic TIFF");
  const { isLittle } = own;
  const added = metadataTags(metadata, isLittle);
  const replaced: readonly number[] = [
    ...added.map(({ id }) => id),
    TAG.xResolution,
    TAG.yResolution,
    TAG.resolutionUnit,
  ];
  const tags = [...own.tags.filter(({ id }) => !replaced.includes(id)), ...added];
  const at = tiff.length + (tiff.length % 2);
  const out = Buffer.alloc(at);
  tiff.copy(out);
  if (isLittle) out.writeUInt32LE(at, 4);
  else out.writeUInt32BE(at, 4);
  return Buffer.concat([out, writeTags({ isLittle, tags }, at, isLittle)]);
}

/** What `metadata` says, as tags of a file in that order. */
export function metadataTags(metadata: Metadata, isLittle: boolean): readonly Tag[] {
  return [...describedTags(metadata, isLittle), ...binaryTags(metadata)];
}

/** The tags of EXIF in the file's order of bytes, with the picture's resolution. */
function describedTags({ exif, density }: Metadata, isLittle: boolean): readonly Tag[] {
  const list = exif && readTags(exif);
  const described = list
    ? (readTags(Buffer.concat([tiffHeader(isLittle), writeTags(describingTags(list), 8, isLittle)]))
        ?.tags ?? [])
    : [];
  const resolution: readonly number[] = [TAG.xResolution, TAG.yResolution, TAG.resolutionUnit];
  return [
    ...described.filter(({ id }) => !resolution.includes(id)),
    ...densityTags(density, isLittle),
  ];
}

function densityTags(density: Metadata["density"], isLittle: boolean): readonly Tag[] {
  if (density === undefined) return [];
  const rational = (id: number, metre: number): Tag => {
    const value = new Uint8Array(8);
    const view = new DataView(value.buffer);
    view.setUint32(0, Math.round(roundDensity(perInch(metre)) * 1000), isLittle);
    view.setUint32(4, 1000, isLittle);
    return { id, type: RATIONAL, count: 1, value };
  };
  const unit = Uint8Array.from(isLittle ? [2, 0] : [0, 2]); // dots per inch
  return [
    rational(TAG.xResolution, density[0]),
    rational(TAG.yResolution, density[1]),
    { id: TAG.resolutionUnit, type: SHORT, count: 1, value: unit },
  ];
}

/** EXIF that says nothing but the resolution. */
export function exifOfDensity(density: readonly [number, number]): Uint8Array {
  const tags = densityTags(density, true);
  return Buffer.concat([tiffHeader(true), writeTags({ isLittle: true, tags }, 8, true)]);
}

/** PNG states whole pixels a metre: 300 dots an inch come back as 299.9994. */
function roundDensity(value: number): number {
  return Math.abs(value - Math.round(value)) < 0.01 ? Math.round(value) : value;
}

function binaryTags({ icc, xmp, iptc }: Metadata): readonly Tag[] {
  return [
    ...(icc ? [bytesTag(TAG.icc, icc)] : []),
    ...(xmp ? [bytesTag(TAG.xmp, xmp, true)] : []),
    ...(iptc ? [bytesTag(TAG.iptc, iptc)] : []),
  ];
}
