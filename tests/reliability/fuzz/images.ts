/**
 * Image files that were made to hurt, through the reader of the command line. A mutation knows the format: lengths,
 * sizes, offsets and flags are hit far more often than pixels, checksums are made right again where readers look at them.
 */
import sharp from "sharp";
import { CliError } from "../../../cli/errors.ts";
import { decodeImage } from "../../../cli/image/decode.ts";
import { checkHeld, inspectImage } from "../../../cli/image/header.ts";
import { crc32 } from "../../reference/crc32.ts";
import { uniformSource } from "../../support/random.ts";

type Random = () => number;

/** A kind of file that is tried. */
export interface ImageTarget {
  readonly name: string;
  /** Good files. */
  readonly seeds: readonly Buffer[];
  readonly mutate: (seed: Buffer, random: Random) => Buffer;
  /** Reads a file. Throws what no reader may throw; a typed error is an answer. */
  readonly read: (bytes: Buffer) => Promise<ImageAnswer>;
}

/** What became of a file: its picture, or why there is none. */
export interface ImageAnswer {
  /** Bytes of the frames that the header declares, as they are decoded; 0 where it is refused. */
  readonly declaredBytes: number;
  readonly error?: string;
}

/** A number in a file that says where, how large or what. */
interface Field {
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly isLittle: boolean;
}

/** A run of bytes that is one thing: a chunk, a segment, a box. */
interface Block {
  readonly from: number;
  readonly to: number;
}

interface Layout {
  readonly fields: readonly Field[];
  readonly blocks: readonly Block[];
}

interface Format {
  readonly seeds: () => Promise<readonly Buffer[]>;
  readonly layout: (file: Buffer) => Layout;
  /** Makes checksums right again. */
  readonly repair?: (file: Buffer) => void;
  /** Blocks that may be put between others. */
  readonly hostile?: () => readonly Buffer[];
}

const be = (at: number, size: Field["size"]): Field => ({ at, size, isLittle: false });
const le = (at: number, size: Field["size"]): Field => ({ at, size, isLittle: true });

async function read(bytes: Buffer): Promise<ImageAnswer> {
  let declaredBytes = 0;
  try {
    const header = await inspectImage(bytes);
    checkHeld(header);
    const { width, height, frames, depth } = header;
    declaredBytes = width * height * frames * 4 * (depth / 8);
    const profile = bytes.length % 2 === 0 ? "srgb" : "keep";
    const decoded = await decodeImage(bytes, header, { profile, frames: "all" });
    for (const frame of decoded.frames) {
      const { length } = frame.data;
      if (length !== frame.width * frame.height * frame.channels) {
        throw new Error(
          `${length} values for ${frame.width} × ${frame.height} × ${frame.channels}`,
        );
      }
    }
    return { declaredBytes };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { declaredBytes, error: error.message };
  }
}

const INTERESTING = [
  0, 1, 2, 3, 4, 6, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257,
  1000, 4095, 4096, 4097, 16_383, 16_384, 32_767, 32_768, 65_535, 65_536, 0x7f_ff_ff, 0xff_ff_ff,
  0x7f_ff_ff_ff, 0x80_00_00_00, 0xff_ff_ff_fe, 0xff_ff_ff_ff,
];

function pick<T>(items: readonly T[], random: Random): T {
  return items[Math.floor(random() * items.length)] as T;
}

function setField(file: Buffer, { at, size, isLittle }: Field, random: Random): void {
  if (at < 0 || at + size > file.length) return;
  const old = isLittle ? file.readUIntLE(at, size) : file.readUIntBE(at, size);
  const value = pick(
    [
      () => pick(INTERESTING, random),
      () => pick(INTERESTING, random),
      () => old + Math.floor(random() * 9) - 4,
      () => old * 2,
      () => old ^ (1 << Math.floor(random() * 8 * size)),
      () => Math.floor(random() * file.length), // an offset or a length that is within the file
      () => file.length - at,
    ],
    random,
  )();
  const most = 2 ** (8 * size);
  const wrapped = ((Math.trunc(value) % most) + most) % most;
  if (isLittle) file.writeUIntLE(wrapped, at, size);
  else file.writeUIntBE(wrapped, at, size);
}

/** One to four changes of a file. */
function mutateWith(format: Format, others: readonly Buffer[]) {
  return (seed: Buffer, random: Random): Buffer => {
    let file: Buffer = Buffer.from(seed);
    const changes = 1 + Math.floor(random() * random() * 5);
    for (let i = 0; i < changes; i++) file = change(file, format, others, random);
    if (random() < 0.9) format.repair?.(file);
    return file;
  };
}

function change(file: Buffer, format: Format, others: readonly Buffer[], random: Random): Buffer {
  const { fields, blocks } = format.layout(file);
  const what = random();
  if (what < 0.5 && fields.length > 0) {
    const changed = Buffer.from(file);
    setField(changed, pick(fields, random), random);
    return changed;
  }
  const block = blocks.length > 0 ? pick(blocks, random) : { from: 0, to: file.length };
  const bytes = file.subarray(block.from, block.to);
  const place = blocks.length > 0 ? pick(blocks, random).from : Math.floor(random() * file.length);
  const insert = (added: Buffer) =>
    Buffer.concat([file.subarray(0, place), added, file.subarray(place)]);
  if (what < 0.56) return insert(bytes); // twice, or out of order
  if (what < 0.62) return Buffer.concat([file.subarray(0, block.from), file.subarray(block.to)]);
  if (what < 0.7) {
    const hostile = format.hostile?.() ?? [];
    return hostile.length > 0 ? insert(pick(hostile, random)) : insert(Buffer.alloc(16, 0xff));
  }
  if (what < 0.78) return Buffer.from(file.subarray(0, Math.floor(random() * file.length)));
  if (what < 0.82 && others.length > 0) {
    const other = pick(others, random); // the beginning of one file and the end of another
    const at = Math.floor(random() * Math.min(file.length, other.length));
    return Buffer.concat([file.subarray(0, at), other.subarray(at)]);
  }
  const changed = Buffer.from(file);
  for (let i = 0; i < 1 + random() * 8; i++) {
    changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256);
  }
  return changed;
}

// PNG

function pngLayout(file: Buffer): Layout {
  const fields: Field[] = [];
  const blocks: Block[] = [];
  for (let at = 8; at + 12 <= file.length;) {
    const size = file.readUInt32BE(at);
    const to = Math.min(file.length, at + 12 + size);
    const type = file.toString("latin1", at + 4, at + 8);
    fields.push(be(at, 4), be(at + 4, 4));
    if (type === "IHDR") {
      for (const offset of [8, 12]) fields.push(be(at + offset, 4), be(at + offset, 4));
      for (const offset of [16, 17, 18, 19, 20]) fields.push(be(at + offset, 1));
    } else if (type === "eXIf") fields.push(...tiffFields(file, at + 8));
    else if (type === "acTL" || type === "fcTL" || type === "cHRM" || type === "gAMA") {
      for (let i = at + 8; i + 4 <= to - 4; i += 4) fields.push(be(i, 4));
    } else if (type !== "IDAT")
      for (let i = at + 8; i < Math.min(to, at + 40); i++) fields.push(be(i, 1));
    blocks.push({ from: at, to });
    at = to;
  }
  return { fields, blocks };
}

function repairPng(file: Buffer): void {
  for (let at = 8; at + 12 <= file.length;) {
    const size = file.readUInt32BE(at);
    if (at + 12 + size > file.length) return;
    file.writeUInt32BE(crc32(file.subarray(at + 4, at + 8 + size)), at + 8 + size);
    at += 12 + size;
  }
}

function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, "latin1");
  data.copy(chunk, 8);
  return chunk;
}

/** 256 MiB of zeros as deflate has them, in 255 KiB. */
let bomb: Buffer | undefined;

async function makeBomb(): Promise<void> {
  const { deflateSync } = await import("node:zlib");
  bomb ??= deflateSync(Buffer.alloc(1 << 28), { level: 9 });
}

const hostilePng = (): readonly Buffer[] => [
  pngChunk("iCCP", Buffer.concat([Buffer.from("a\0\0", "latin1"), bomb ?? Buffer.alloc(0)])),
  pngChunk("zTXt", Buffer.concat([Buffer.from("a\0\0", "latin1"), bomb ?? Buffer.alloc(0)])),
  pngChunk(
    "iTXt",
    Buffer.concat([Buffer.from("a\0\x01\0\0\0", "latin1"), bomb ?? Buffer.alloc(0)]),
  ),
  pngChunk("tEXt", Buffer.alloc(200, 0x41)),
  pngChunk("acTL", Buffer.from("ffffffffffffffff", "hex")),
  pngChunk("fcTL", Buffer.alloc(26, 0xff)),
  pngChunk("PLTE", Buffer.alloc(769)),
  pngChunk("tRNS", Buffer.alloc(300)),
  pngChunk("eXIf", exifLoop()),
  pngChunk("IEND", Buffer.alloc(0)),
  pngChunk("cICP", Buffer.from([255, 255, 255, 255])),
];

// TIFF, and EXIF, which is one

/** Bytes of the numbers of a list of tags, that of the next list included. */
function tiffFields(file: Buffer, base = 0): readonly Field[] {
  if (base + 8 > file.length) return [];
  const isLittle = file[base] === 0x49;
  const field = isLittle ? le : be;
  const u16 = (at: number) => (isLittle ? file.readUInt16LE(at) : file.readUInt16BE(at));
  const u32 = (at: number) => (isLittle ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const fields: Field[] = [field(base + 2, 2), field(base + 4, 4)];
  let at = base + u32(base + 4);
  for (let lists = 0; lists < 8 && at + 2 <= file.length; lists++) {
    const count = Math.min(u16(at), 64);
    fields.push(field(at, 2));
    for (let i = 0; i < count && at + 2 + 12 * (i + 1) <= file.length; i++) {
      const entry = at + 2 + 12 * i;
      fields.push(field(entry, 2), field(entry + 2, 2), field(entry + 4, 4));
      fields.push(field(entry + 8, 4), field(entry + 8, 2));
    }
    const next = at + 2 + 12 * count;
    if (next + 4 > file.length) break;
    fields.push(field(next, 4));
    if (u32(next) === 0) break;
    at = base + u32(next);
  }
  return fields;
}

/** EXIF whose lists of tags point at themselves. */
function exifLoop(): Buffer {
  const bytes = Buffer.alloc(8 + 2 + 12 * 3 + 4);
  bytes.write("II*\0\x08\0\0\0", "latin1");
  bytes.writeUInt16LE(3, 8);
  for (const [i, id] of [0x8769, 0x8825, 0x0112].entries()) {
    bytes.writeUInt16LE(id, 10 + 12 * i);
    bytes.writeUInt16LE(id === 0x0112 ? 3 : 4, 12 + 12 * i);
    bytes.writeUInt32LE(1, 14 + 12 * i);
    bytes.writeUInt32LE(8, 18 + 12 * i);
  }
  bytes.writeUInt32LE(8, 46);
  return bytes;
}

const tiffLayout = (file: Buffer): Layout => ({ fields: tiffFields(file), blocks: [] });

// JPEG

function jpegLayout(file: Buffer): Layout {
  const fields: Field[] = [];
  const blocks: Block[] = [];
  for (let at = 2; at + 4 <= file.length && file[at] === 0xff;) {
    const marker = file[at + 1] as number;
    const to = Math.min(file.length, at + 2 + file.readUInt16BE(at + 2));
    fields.push(be(at + 1, 1), be(at + 2, 2));
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8;
    if (isFrame) {
      for (const offset of [5, 5, 7, 7]) fields.push(be(at + offset, 2));
      for (let i = at + 4; i < to; i++) fields.push(be(i, 1));
    } else if (file.toString("latin1", at + 4, at + 8) === "Exif")
      fields.push(...tiffFields(file, at + 10));
    else for (let i = at + 4; i < Math.min(to, at + 40); i++) fields.push(be(i, 1));
    blocks.push({ from: at, to });
    if (marker === 0xda || to <= at + 2) break;
    at = to;
  }
  return { fields, blocks };
}

function jpegSegment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}

const hostileJpeg = (): readonly Buffer[] => [
  jpegSegment(0xe1, Buffer.concat([Buffer.from("Exif\0\0", "latin1"), exifLoop()])),
  jpegSegment(0xe2, Buffer.from("ICC_PROFILE\0\x01\xff", "latin1")),
  jpegSegment(
    0xe2,
    Buffer.concat([Buffer.from("ICC_PROFILE\0\x02\x02", "latin1"), Buffer.alloc(500, 0xff)]),
  ),
  jpegSegment(0xed, Buffer.from("Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff", "latin1")),
  jpegSegment(0xdd, Buffer.from([0, 1])),
  jpegSegment(0xc4, Buffer.alloc(60, 0x11)),
  Buffer.from([0xff, 0xff, 0xff, 0xd8, 0xff, 0xd9]),
];

// WebP

function webpLayout(file: Buffer): Layout {
  const fields: Field[] = [le(4, 4)];
  const blocks: Block[] = [];
  for (let at = 12; at + 8 <= file.length;) {
    const size = file.readUInt32LE(at + 4);
    const to = Math.min(file.length, at + 8 + size + (size % 2));
    const type = file.toString("latin1", at, at + 4);
    fields.push(be(at, 4), le(at + 4, 4));
    if (type === "EXIF") fields.push(...tiffFields(file, at + 8));
    else for (let i = at + 8; i < Math.min(to, at + 40); i++) fields.push(le(i, 1));
    if (type === "VP8 " || type === "VP8L" || type === "VP8X" || type === "ANMF") {
      for (const offset of [9, 11, 12, 14, 15]) fields.push(le(at + offset, 2));
    }
    blocks.push({ from: at, to });
    at = to;
  }
  return { fields, blocks };
}

const hostileWebp = (): readonly Buffer[] => [
  Buffer.from("ANIM\x06\0\0\0\xff\xff\xff\xff\xff\xff", "latin1"),
  Buffer.from("VP8X\x0a\0\0\0\xff\0\0\0\xff\xff\xff\xff\xff\xff", "latin1"),
  Buffer.from("ICCP\xff\xff\xff\x7f", "latin1"),
  Buffer.concat([Buffer.from("EXIF\x32\0\0\0", "latin1"), exifLoop()]),
];

// GIF

function gifLayout(file: Buffer): Layout {
  const fields: Field[] = [le(6, 2), le(8, 2), le(10, 1), le(11, 1)];
  const blocks: Block[] = [];
  let at = 13 + ((file[10] ?? 0) & 0x80 ? 3 * 2 ** (((file[10] ?? 0) & 7) + 1) : 0);
  while (at < file.length) {
    const from = at;
    const kind = file[at];
    if (kind === 0x2c) {
      for (const offset of [1, 3, 5, 7]) fields.push(le(at + offset, 2));
      fields.push(le(at + 9, 1), le(at + 10, 1));
      const flags = file[at + 9] ?? 0;
      at += 11 + (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
    } else if (kind === 0x21) {
      fields.push(le(at + 1, 1), le(at + 3, 1), le(at + 4, 2));
      at += 2;
    } else break;
    while (at < file.length && file[at] !== 0) {
      fields.push(le(at, 1));
      at += 1 + (file[at] as number);
    }
    at++;
    blocks.push({ from, to: Math.min(at, file.length) });
  }
  return { fields, blocks };
}

const hostileGif = (): readonly Buffer[] => [
  Buffer.from("\x21\xff\x0bNETSCAPE2.0\x03\x01\xff\xff\0", "latin1"),
  Buffer.from("\x21\xf9\x04\xff\xff\xff\xff\0", "latin1"),
  Buffer.from("\x2c\xff\xff\xff\xff\xff\xff\xff\xff\x87", "latin1"),
];

// BMP

const bmpLayout = (): Layout => ({
  fields: [
    ...[10, 14, 18, 18, 22, 22, 30, 34, 46, 50, 54, 58, 62, 66].map((at) => le(at, 4)),
    ...[18, 20, 26, 28].map((at) => le(at, 2)),
  ],
  blocks: [],
});

/** A bitmap of this many bits; with `code` 1 or 2 a run of one colour for each row, with 3 masks. */
function bmp(bits: number, code = 0): Buffer {
  const [width, height] = [13, -9];
  const palette = bits <= 8 ? 4 << bits : code === 3 ? 12 : 0;
  const row = Math.ceil((width * bits) / 32) * 4;
  const file = Buffer.alloc(54 + palette + row * 9);
  const random = uniformSource(bits);
  for (let i = 54; i < file.length; i++) file[i] = Math.floor(random() * 256);
  file.write("BM");
  file.writeUInt32LE(54 + palette, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(width, 18);
  file.writeInt32LE(height, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(bits, 28);
  file.writeUInt32LE(code, 30);
  if (code !== 1 && code !== 2) return file;
  file.writeInt32LE(-height, 22); // run lengths go upwards
  const runs = Array.from({ length: -height }, (_, y) => [width, y, 0, 0]).flat();
  return Buffer.concat([file.subarray(0, 54 + palette), Buffer.from([...runs, 0, 1])]);
}

// AVIF

/** Boxes that hold boxes, with the bytes in front of them. */
const CONTAINERS: Readonly<Record<string, number>> = {
  meta: 12,
  iprp: 8,
  ipco: 8,
  iinf: 14,
  moov: 8,
  trak: 8,
};

function avifLayout(file: Buffer): Layout {
  const fields: Field[] = [];
  const blocks: Block[] = [];
  const walk = (from: number, end: number): void => {
    for (let at = from; at + 8 <= end;) {
      const size = file.readUInt32BE(at);
      const to = size >= 8 && at + size <= end ? at + size : end;
      const type = file.toString("latin1", at + 4, at + 8);
      fields.push(be(at, 4), be(at + 4, 4));
      blocks.push({ from: at, to });
      const inner = CONTAINERS[type];
      if (inner !== undefined) walk(at + inner, to);
      else if (type !== "mdat") {
        for (let i = at + 8; i < Math.min(to, at + 72); i++) fields.push(be(i, 1));
        for (let i = at + 8; i + 4 <= Math.min(to, at + 72); i += 4) fields.push(be(i, 4));
      } else for (let i = at + 8; i < Math.min(to, at + 24); i++) fields.push(be(i, 1));
      at = to;
    }
  };
  walk(0, file.length);
  return { fields, blocks };
}

// Seeds

/** A picture with smooth areas and edges. */
function picture(width: number, height: number, channels: 3 | 4 = 3) {
  const random = uniformSource(width * 31 + height);
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) =>
    i % 7 === 0 ? 255 * random() : 128 + 60 * Math.sin(i / 19),
  );
  return sharp(data, { raw: { width, height, channels } });
}

const rich = (image: ReturnType<typeof picture>, orientation = 6) =>
  image
    .withIccProfile("p3")
    .withExif({ IFD0: { Make: "Maker", Artist: "A" }, IFD3: { GPSLatitudeRef: "N" } })
    .withMetadata({ orientation, density: 300 })
    .withXmp("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>");

/** Frames of 20 × 14, each of its own colour. */
const frames = (count: number) => {
  const raw = Buffer.concat(
    Array.from({ length: count }, (_, i) => Buffer.alloc(20 * 14 * 4, 60 * i + 50)),
  );
  return sharp(raw, { raw: { width: 20, height: 14 * count, channels: 4, pageHeight: 14 } });
};

const FORMATS: Readonly<Record<string, Format>> = {
  png: {
    layout: pngLayout,
    repair: repairPng,
    hostile: hostilePng,
    async seeds() {
      await makeBomb();
      const animated = await picture(9, 9, 4).png().toBuffer();
      const spoken = Buffer.concat([
        animated.subarray(0, 33),
        pngChunk("acTL", Buffer.from("0000000200000000", "hex")),
        pngChunk("gAMA", Buffer.from("0000b18f", "hex")),
        pngChunk("cHRM", Buffer.alloc(32, 0x10)),
        animated.subarray(33),
      ]);
      const others = await Promise.all([
        rich(picture(40, 27, 4))
          .png()
          .toBuffer(),
        picture(33, 8).toColourspace("rgb16").png().toBuffer(),
        picture(33, 8).toColourspace("grey16").png().toBuffer(),
        picture(40, 30).png({ palette: true, colours: 16 }).toBuffer(),
        picture(21, 17).greyscale().png({ progressive: true }).toBuffer(),
      ]);
      return [spoken, ...others];
    },
  },
  jpeg: {
    layout: jpegLayout,
    hostile: hostileJpeg,
    seeds: () =>
      Promise.all([
        rich(picture(40, 27)).jpeg().toBuffer(),
        picture(50, 37).jpeg({ progressive: true }).toBuffer(),
        picture(16, 16).jpeg({ chromaSubsampling: "4:4:4", quality: 100 }).toBuffer(),
        picture(31, 9).greyscale().jpeg().toBuffer(),
        picture(24, 24).pipelineColourspace("cmyk").toColourspace("cmyk").jpeg().toBuffer(),
      ]),
  },
  webp: {
    layout: webpLayout,
    hostile: hostileWebp,
    seeds: () =>
      Promise.all([
        rich(picture(40, 27)).webp().toBuffer(),
        picture(40, 27, 4).webp().toBuffer(),
        picture(40, 27, 4).webp({ lossless: true }).toBuffer(),
        frames(4).webp().toBuffer(),
        frames(3).webp({ lossless: true }).toBuffer(),
      ]),
  },
  tiff: {
    layout: tiffLayout,
    seeds: () =>
      Promise.all([
        rich(picture(40, 27)).tiff({ compression: "none" }).toBuffer(),
        picture(40, 27, 4).tiff({ compression: "deflate", predictor: "horizontal" }).toBuffer(),
        picture(40, 27).tiff({ compression: "lzw", bigtiff: true }).toBuffer(),
        picture(40, 27).tiff({ compression: "jpeg" }).toBuffer(),
        picture(50, 50)
          .tiff({ compression: "none", tile: true, tileWidth: 16, tileHeight: 16 })
          .toBuffer(),
        picture(33, 40)
          .toColourspace("rgb16")
          .tiff({ compression: "lzw", predictor: "horizontal" })
          .toBuffer(),
        picture(33, 40)
          .greyscale()
          .threshold()
          .tiff({ bitdepth: 1, compression: "none" })
          .toBuffer(),
        picture(64, 64).tiff({ pyramid: true, compression: "packbits" }).toBuffer(),
      ]),
  },
  gif: {
    layout: gifLayout,
    hostile: hostileGif,
    seeds: () =>
      Promise.all([
        picture(40, 27).gif().toBuffer(),
        picture(40, 27, 4).gif({ progressive: true }).toBuffer(),
        frames(4)
          .gif({ delay: [20, 30, 40, 50], loop: 2 })
          .toBuffer(),
      ]),
  },
  bmp: {
    layout: bmpLayout,
    seeds: async () => [
      bmp(1),
      bmp(4),
      bmp(8),
      bmp(16),
      bmp(24),
      bmp(32),
      bmp(8, 1),
      bmp(4, 2),
      bmp(16, 3),
      bmp(32, 3),
    ],
  },
  avif: {
    layout: avifLayout,
    seeds: () =>
      Promise.all([
        rich(picture(40, 27)).avif({ effort: 0 }).toBuffer(),
        picture(40, 27, 4).avif({ effort: 0 }).toBuffer(),
        picture(64, 48).avif({ lossless: true, effort: 0 }).toBuffer(),
      ]),
  },
};

/** The formats that are tried. */
export const IMAGE_FORMATS: readonly string[] = Object.keys(FORMATS);

/** A target for each format that is read. */
export async function imageTargets(): Promise<readonly ImageTarget[]> {
  const all = await Promise.all(
    Object.entries(FORMATS).map(
      async ([name, format]) => [name, format, await format.seeds()] as const,
    ),
  );
  return all.map(([name, format, seeds]) => ({
    name,
    seeds,
    mutate: mutateWith(format, seeds),
    read,
  }));
}
