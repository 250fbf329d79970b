/** The tags of a TIFF structure, which EXIF is as well: read, changed in place, copied into another file. */

/** A tag with its value as bytes in the structure's order, or the tags of the structure that it points to. */
export interface Tag {
  readonly id: number;
  readonly type: number;
  readonly count: number;
  readonly value: Uint8Array;
  readonly children?: readonly Tag[];
}

/** Tags, and the order of the bytes of their values. */
export interface TagList {
  readonly isLittle: boolean;
  readonly tags: readonly Tag[];
}

export const TAG = {
  orientation: 0x0112,
  xResolution: 0x011a,
  yResolution: 0x011b,
  resolutionUnit: 0x0128,
  xmp: 0x02bc,
  iptc: 0x83bb,
  photoshop: 0x8649,
  exif: 0x8769,
  icc: 0x8773,
  gps: 0x8825,
  interoperability: 0xa005,
  pixelWidth: 0xa002,
  pixelHeight: 0xa003,
} as const;

const TYPE = { byte: 1, ascii: 2, short: 3, long: 4, rational: 5, undefined: 7 } as const;

/** Bytes of one value by type, and of the numbers that it is made of. */
const VALUE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];
const NUMBER_BYTES = [0, 1, 1, 2, 4, 4, 1, 1, 2, 4, 4, 4, 8, 4];
/** The types of whole numbers by their bytes; those of eight are BigTIFF's. */
const WHOLE_TYPES = { 2: 3, 4: 4, 8: 16 } as const;

const POINTERS: readonly number[] = [TAG.exif, TAG.gps, TAG.interoperability];
/** Bounds for files made to hurt. */
const MAX_TAGS = 4096;
const MAX_DEPTH = 4;
/** EXIF of cameras has up to some hundred KiB. */
const MAX_EXIF_BYTES = 1 << 24;

/** The first list of tags of a classic TIFF structure; null where it is none. Broken tags are left out. */
export function readTags(bytes: Uint8Array): TagList | null {
  const view = viewOf(bytes);
  if (view.byteLength < 8) return null;
  const order = view.getUint16(0);
  const isLittle = order === 0x4949;
  if ((!isLittle && order !== 0x4d4d) || view.getUint16(2, isLittle) !== 42) return null;
  return { isLittle, tags: tagsAt(bytes, view.getUint32(4, isLittle), isLittle, 0) };
}

function tagsAt(bytes: Uint8Array, at: number, isLittle: boolean, depth: number): readonly Tag[] {
  const view = viewOf(bytes);
  if (at + 2 > bytes.length || depth > MAX_DEPTH) return [];
  const count = Math.min(view.getUint16(at, isLittle), MAX_TAGS);
  const tags: Tag[] = [];
  const seen = new Set<number>();
  for (let i = 0; i < count; i++) {
    const entry = at + 2 + 12 * i;
    if (entry + 12 > bytes.length) break;
    const id = view.getUint16(entry, isLittle);
    const type = view.getUint16(entry + 2, isLittle);
    const values = view.getUint32(entry + 4, isLittle);
    const size = (VALUE_BYTES[type] ?? 0) * values;
    if (size === 0 || seen.has(id)) continue;
    seen.add(id);
    const from = size <= 4 ? entry + 8 : view.getUint32(entry + 8, isLittle);
    if (from + size > bytes.length) continue;
    const value = bytes.subarray(from, from + size);
    const tag = { id, type, count: values, value };
    if (!POINTERS.includes(id) || size !== 4) tags.push(tag);
    else {
      const children = tagsAt(bytes, viewOf(value).getUint32(0, isLittle), isLittle, depth + 1);
      if (children.length > 0) tags.push({ ...tag, children });
    }
  }
  return tags;
}

/**
 * The bytes of tags and their values, to be placed at `base` of a file with that order. A list begins with itself: its
 * place is `base`. `isBig`: as BigTIFF has them, with counts and places of eight bytes.
 */
export function writeTags(
  { isLittle, tags }: TagList,
  base: number,
  toLittle: boolean,
  isBig = false,
): Buffer {
  const sorted = [...tags].toSorted((a, b) => a.id - b.id);
  const [countBytes, entryBytes, placeBytes] = isBig ? [8, 20, 8] : [2, 12, 4];
  const head = Buffer.alloc(countBytes + entryBytes * sorted.length + placeBytes); // no list follows
  const view = viewOf(head);
  const writePlace = (at: number, place: number): void => {
    if (isBig) view.setBigUint64(at, BigInt(place), toLittle);
    else view.setUint32(at, place, toLittle);
  };
  const parts: Buffer[] = [head];
  let end = head.length;
  if (isBig) writePlace(0, sorted.length);
  else view.setUint16(0, sorted.length, toLittle);
  for (const [i, { id, type, count, value, children }] of sorted.entries()) {
    const entry = countBytes + entryBytes * i;
    view.setUint16(entry, id, toLittle);
    view.setUint16(entry + 2, children ? (isBig ? WHOLE_TYPES[8] : TYPE.long) : type, toLittle);
    writePlace(entry + 4, count);
    const bytes = children
      ? writeTags({ isLittle, tags: children }, base + end, toLittle, isBig)
      : swapped(value, NUMBER_BYTES[type] ?? 1, isLittle === toLittle);
    if (!children && bytes.length <= placeBytes) bytes.copy(head, entry + 4 + placeBytes);
    else {
      writePlace(entry + 4 + placeBytes, base + end);
      const padded = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
      parts.push(padded);
      end += padded.length;
    }
  }
  return Buffer.concat(parts);
}

function swapped(value: Uint8Array, size: number, isSame: boolean): Buffer {
  const bytes = Buffer.from(value);
  if (isSame || size === 1) return bytes;
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  return bytes;
}

/** A tag of bytes, as ICC, XMP and IPTC are stored. */
export function bytesTag(id: number, value: Uint8Array, isText = false): Tag {
  return { id, type: isText ? TYPE.byte : TYPE.undefined, count: value.length, value };
}

/** A tag of whole numbers of 2, 4 or 8 bytes, in little order. */
export function numbersTag(id: number, values: readonly number[], size: number): Tag {
  const value = Buffer.alloc(size * values.length);
  for (const [i, number] of values.entries())
    value.writeUIntLE(number, i * size, Math.min(6, size));
  return { id, type: WHOLE_TYPES[size as 2 | 4 | 8], count: values.length, value };
}

/** The number that a tag holds: its first value, quotients divided; undefined for others. */
export function tagNumber(list: TagList, id: number): number | undefined {
  const tag = list.tags.find((candidate) => candidate.id === id);
  if (tag === undefined) return undefined;
  const view = viewOf(tag.value);
  if (tag.type === TYPE.short) return view.getUint16(0, list.isLittle);
  if (tag.type === TYPE.long) return view.getUint32(0, list.isLittle);
  if (tag.type !== TYPE.rational) return undefined;
  const below = view.getUint32(4, list.isLittle);
  return below === 0 ? undefined : view.getUint32(0, list.isLittle) / below;
}

/** RawImage per metre that the tags state; undefined where they do not, or only as a ratio. */
export function tagDensity(list: TagList): readonly [number, number] | undefined {
  const unit = tagNumber(list, TAG.resolutionUnit) ?? 2;
  const x = tagNumber(list, TAG.xResolution);
  const y = tagNumber(list, TAG.yResolution) ?? x;
  if (!x || !y || (unit !== 2 && unit !== 3)) return undefined;
  const metre = unit === 2 ? 0.0254 : 0.01;
  return [x / metre, y / metre];
}

/** Tags of a TIFF file that describe the picture and not how its pixels are stored: what EXIF has in other files. */
const DESCRIBING: readonly number[] = [
  0x010e, // ImageDescription
  0x010f, // Make
  0x0110, // Model
  TAG.orientation,
  TAG.xResolution,
  TAG.yResolution,
  TAG.resolutionUnit,
  0x0131, // Software
  0x0132, // DateTime
  0x013b, // Artist
  0x8298, // Copyright
  TAG.exif,
  TAG.gps,
];
const RESOLUTION: readonly number[] = [TAG.xResolution, TAG.yResolution, TAG.resolutionUnit];

/** The tags of EXIF among those of a file, or of EXIF itself. */
export function describingTags({ isLittle, tags }: TagList): TagList {
  return { isLittle, tags: tags.filter(({ id }) => DESCRIBING.includes(id)) };
}

/** EXIF of a TIFF file's tags; undefined where they say nothing but orientation and resolution. */
export function exifOfTags(list: TagList): Uint8Array | undefined {
  const described = describingTags(list);
  const says = described.tags.some(({ id }) => id !== TAG.orientation && !RESOLUTION.includes(id));
  if (!says || bytesOf(described.tags) > MAX_EXIF_BYTES) return undefined;
  return Buffer.concat([tiffHeader(list.isLittle), writeTags(described, 8, list.isLittle)]);
}

function bytesOf(tags: readonly Tag[]): number {
  return tags.reduce(
    (sum, tag) => sum + (tag.children ? bytesOf(tag.children) : tag.value.length),
    0,
  );
}

/** The eight bytes in front of tags that follow at once. */
export function tiffHeader(isLittle: boolean): Buffer {
  return Buffer.from(isLittle ? "II*\0\x08\0\0\0" : "MM\0*\0\0\0\x08", "latin1");
}

/**
 * EXIF of a picture that has been turned upright and enlarged: orientation 1, the new size, no thumbnail, which shows the
 * picture as it lay. In place, so that what nobody understands (maker notes) stays where it points.
 */
export function uprightExif(exif: Uint8Array, width: number, height: number): Uint8Array {
  const copy = Buffer.from(exif);
  const list = readTags(copy);
  if (list === null) return copy;
  const view = viewOf(copy);
  const { isLittle } = list;
  const first = view.getUint32(4, isLittle);
  if (first + 2 > copy.length) return copy;
  setNumber(view, first, TAG.orientation, 1, isLittle);
  const next = first + 2 + 12 * view.getUint16(first, isLittle);
  if (next + 4 <= copy.length) view.setUint32(next, 0, isLittle);
  const exifAt = entryOf(view, first, TAG.exif, isLittle);
  if (exifAt !== undefined) {
    const below = view.getUint32(exifAt + 8, isLittle);
    setNumber(view, below, TAG.pixelWidth, width, isLittle);
    setNumber(view, below, TAG.pixelHeight, height, isLittle);
  }
  return copy;
}

function entryOf(view: DataView, at: number, id: number, isLittle: boolean): number | undefined {
  if (at + 2 > view.byteLength) return undefined;
  const count = view.getUint16(at, isLittle);
  for (let i = 0; i < count; i++) {
    const entry = at + 2 + 12 * i;
    if (entry + 12 > view.byteLength) return undefined;
    if (view.getUint16(entry, isLittle) === id) return entry;
  }
  return undefined;
}

function setNumber(view: DataView, at: number, id: number, value: number, isLittle: boolean): void {
  const entry = entryOf(view, at, id, isLittle);
  if (entry === undefined || view.getUint32(entry + 4, isLittle) !== 1) return;
  const type = view.getUint16(entry + 2, isLittle);
  if (type === TYPE.short && value <= 0xffff) view.setUint16(entry + 8, value, isLittle);
  else if (type === TYPE.long || type === TYPE.short) {
    view.setUint16(entry + 2, TYPE.long, isLittle);
    view.setUint32(entry + 8, value, isLittle);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
