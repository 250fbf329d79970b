/**
 * BMP files, which libvips does not read. Bitmaps of 1, 4, 8, 16, 24 and 32 bits, bottom-up or top-down, with a palette,
 * bit masks or run lengths. Packages for it were tried: bmp-ts cuts 4-bit pictures of odd width off after a row and
 * misplaces run lengths, fast-bmp knows neither palettes nor top-down.
 */
import type { RawImage } from "../../src/rcod/settings/options.ts";

/** What a file's header says; offsets are in the file. */
export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly isTopDown: boolean;
  readonly bits: number;
  readonly compression: "none" | "rle8" | "rle4" | "masks";
  readonly pixelsAt: number;
  /** Red, green, blue, alpha; of 16 and 32 bits. */
  readonly masks: readonly [number, number, number, number];
  readonly palette: Uint8Array;
  /** RawImage per metre. */
  readonly density?: readonly [number, number];
}

const FILE_HEADER = 14;
const CORE_HEADER = 12; // of OS/2, with 16-bit sizes and palettes of three bytes
const INFO_HEADER = 40;

const COMPRESSIONS: Readonly<Record<number, BmpHeader["compression"]>> = {
  0: "none",
  1: "rle8",
  2: "rle4",
  3: "masks",
  6: "masks",
};

const DEFAULT_MASKS: Readonly<Record<number, BmpHeader["masks"]>> = {
  16: [0x7c00, 0x03e0, 0x001f, 0],
  32: [0xff0000, 0xff00, 0xff, 0],
};

/** Reads a header. Throws an error with a reason where it cannot be. */
export function readBmpHeader(bytes: Uint8Array): BmpHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < FILE_HEADER + CORE_HEADER) throw new Error("the header is cut off");
  const headerBytes = file.readUInt32LE(FILE_HEADER);
  const isCore = headerBytes === CORE_HEADER;
  if (!isCore && headerBytes < INFO_HEADER) throw new Error(`header of ${headerBytes} bytes`);
  if (file.length < FILE_HEADER + headerBytes) throw new Error("the header is cut off");
  const width = isCore ? file.readUInt16LE(18) : file.readInt32LE(18);
  const height = isCore ? file.readUInt16LE(20) : file.readInt32LE(22);
  const bits = file.readUInt16LE(isCore ? 24 : 28);
  const code = isCore ? 0 : file.readUInt32LE(30);
  const compression = COMPRESSIONS[code];
  if (compression === undefined) throw new Error(`compression ${code} is not known`);
  const isKnown =
    compression === "rle8"
      ? bits === 8
      : compression === "rle4"
        ? bits === 4
        : compression === "masks"
          ? bits === 16 || bits === 32
          : [1, 4, 8, 16, 24, 32].includes(bits);
  if (!isKnown) throw new Error(`${bits} bits a pixel with compression ${code}`);
  if (width < 1 || height === 0) throw new Error(`${width} × ${height} pixels`);
  const hasMasks = compression === "masks";
  const masks = hasMasks ? readMasks(file, headerBytes, code) : DEFAULT_MASKS[bits];
  const used = isCore ? 0 : file.readUInt32LE(46);
  const colours = bits > 8 ? 0 : Math.min(used || 1 << bits, 1 << bits);
  const behindMasks = hasMasks && headerBytes === INFO_HEADER ? (code === 6 ? 16 : 12) : 0;
  const density = isCore ? [0, 0] : [file.readInt32LE(38), file.readInt32LE(42)];
  return {
    width,
    height: Math.abs(height),
    isTopDown: height < 0,
    bits,
    compression,
    pixelsAt: file.readUInt32LE(10),
    masks: masks ?? [0, 0, 0, 0],
    palette: readPalette(file, FILE_HEADER + headerBytes + behindMasks, colours, isCore ? 3 : 4),
    ...(density.every((value) => value > 0) && { density: density as [number, number] }),
  };
}

/** Masks stand behind the 40 bytes of the oldest header, or at the same place within younger ones. */
function readMasks(file: Buffer, headerBytes: number, code: number): BmpHeader["masks"] {
  const at = FILE_HEADER + INFO_HEADER;
  const hasAlpha = headerBytes >= 56 || code === 6;
  if (at + (hasAlpha ? 16 : 12) > file.length) throw new Error("the masks are cut off");
  const mask = (i: number) => file.readUInt32LE(at + 4 * i);
  return [mask(0), mask(1), mask(2), hasAlpha ? mask(3) : 0];
}

function readPalette(file: Buffer, at: number, colours: number, step: number): Uint8Array {
  if (at + colours * step > file.length) throw new Error("the palette is cut off");
  const palette = new Uint8Array(3 * 256); // colours that are missing are black
  for (let i = 0; i < colours; i++) {
    for (let c = 0; c < 3; c++) palette[3 * i + c] = file[at + step * i + 2 - c] as number;
  }
  return palette;
}

/** The pixels behind a header. Throws an error with a reason where the file ends before them. */
export function decodeBmp(bytes: Uint8Array, header: BmpHeader): RawImage {
  if (header.compression === "rle8" || header.compression === "rle4") {
    return fromPalette(header, runLengths(bytes, header));
  }
  const { width, height, bits, pixelsAt } = header;
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (pixelsAt + rowBytes * height > bytes.length) {
    throw new Error(`${pixelsAt + rowBytes * height} bytes are needed, ${bytes.length} are there`);
  }
  const rows = Array.from({ length: height }, (_, y) => {
    const at = pixelsAt + rowBytes * (header.isTopDown ? y : height - 1 - y);
    return bytes.subarray(at, at + rowBytes);
  });
  if (bits <= 8) {
    const indices = new Uint8Array(width * height);
    for (const [y, row] of rows.entries()) {
      for (let x = 0; x < width; x++) {
        const shift = 8 - bits - ((x * bits) & 7);
        indices[y * width + x] = ((row[(x * bits) >> 3] as number) >> shift) & ((1 << bits) - 1);
      }
    }
    return fromPalette(header, indices);
  }
  return bits === 24 ? fromBytes(header, rows) : fromMasks(header, rows);
}

function fromPalette({ width, height, palette }: BmpHeader, indices: Uint8Array): RawImage {
  const data = new Uint8Array(width * height * 3);
  for (const [i, index] of indices.entries()) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = palette[3 * index + c] as number;
  }
  return { width, height, channels: 3, data };
}

function fromBytes({ width, height }: BmpHeader, rows: readonly Uint8Array[]): RawImage {
  const data = new Uint8Array(width * height * 3);
  for (const [y, row] of rows.entries()) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[3 * (y * width + x) + c] = row[3 * x + 2 - c] as number;
    }
  }
  return { width, height, channels: 3, data };
}

function fromMasks(header: BmpHeader, rows: readonly Uint8Array[]): RawImage {
  const { width, height, bits, masks } = header;
  const channels = masks[3] === 0 ? 3 : 4;
  const data = new Uint8Array(width * height * channels);
  const shifts = masks.map((mask) => (mask === 0 ? 0 : 31 - Math.clz32(mask & -mask)));
  const most = masks.map((mask, c) => mask >>> (shifts[c] as number));
  for (const [y, row] of rows.entries()) {
    const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
    for (let x = 0; x < width; x++) {
      const value = bits === 16 ? view.getUint16(2 * x, true) : view.getUint32(4 * x, true);
      for (let c = 0; c < channels; c++) {
        const part = (value & (masks[c] as number)) >>> (shifts[c] as number);
        const full = most[c] as number;
        data[channels * (y * width + x) + c] = full === 0 ? 0 : Math.round((part * 255) / full);
      }
    }
  }
  const image: RawImage = { width, height, channels, data };
  // Programs that know no alpha leave zeros in its place.
  return channels === 4 && isInvisible(data) ? opaque(image) : image;
}

function isInvisible(rgba: Uint8Array): boolean {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 0) return false;
  return true;
}

function opaque({ width, height, data }: RawImage): RawImage {
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) rgb.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, channels: 3, data: rgb };
}

/** Palette indices of runs: (count, value), or 0 and an escape: end of row, end, jump, or that many values as they are. */
function runLengths(bytes: Uint8Array, header: BmpHeader): Uint8Array {
  const { width, height, bits, isTopDown } = header;
  const indices = new Uint8Array(width * height);
  let at = header.pixelsAt;
  let x = 0;
  let y = 0;
  const next = (): number => {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("the pixels are cut off");
    return byte;
  };
  const put = (value: number) => {
    if (x < width && y < height) indices[(isTopDown ? y : height - 1 - y) * width + x] = value;
    x++;
  };
  const half = (value: number, i: number) =>
    bits === 8 ? value : i % 2 === 0 ? value >> 4 : value & 15;
  while (y < height) {
    const count = next();
    const value = next();
    if (count > 0) for (let i = 0; i < count; i++) put(half(value, i));
    else if (value === 0) {
      x = 0;
      y++;
    } else if (value === 1) break;
    else if (value === 2) {
      x += next();
      y += next();
    } else {
      const from = at;
      let pair = 0;
      for (let i = 0; i < value; i++) {
        if (bits === 8 || i % 2 === 0) pair = next();
        put(half(pair, i));
      }
      if ((at - from) % 2 === 1) at++; // to an even number of bytes
    }
  }
  return indices;
}
