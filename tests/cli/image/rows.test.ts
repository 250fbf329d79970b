/** Files written in strips against the same picture written at once. */
import { open, readFile } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { RowFormat } from "../../../cli/image/encode-rows.ts";
import { encodeRows } from "../../../cli/image/encode-rows.ts";
import { encodeImage } from "../../../cli/image/encode.ts";
import { inspectImage } from "../../../cli/image/header.ts";
import type { Metadata } from "../../../cli/image/metadata.ts";
import { StripWriter } from "../../../cli/image/strip-file.ts";
import { tiffStrips } from "../../../cli/image/tiff-strips.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { plain } from "../support/image-files.ts";
import { decode, profile } from "../support/pictures.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

/** Soft waves with some noise, so that filters and predictors have something to do. */
function waves(
  width: number,
  height: number,
  channels: RawImage["channels"],
  depth: 8 | 16,
): RawImage {
  const size = width * height * channels;
  const data = depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
  let state = 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const wave = 0.5 + 0.45 * Math.sin(i / channels / 17 + (i % channels));
    const level = wave + (state / 2 ** 32 - 0.5) / 20;
    data[i] = Math.round(Math.min(1, Math.max(0, level)) * (depth === 16 ? 65_535 : 255));
  }
  return { width, height, channels, data };
}

/** The rows of a picture from `from` to `to`. */
function rowsOf({ width, channels, data, ...rest }: RawImage, from: number, to: number): RawImage {
  const part = data.subarray(from * width * channels, to * width * channels);
  return { ...rest, width, channels, height: to - from, data: part };
}

/** EXIF of a camera, lying on its side. */
async function exifOfCamera(): Promise<Buffer> {
  const tags = { IFD0: { Make: "Maker", Orientation: "6" }, IFD2: { LensModel: "Lens" } };
  const jpeg = await plain(4, 4).withExif(tags).jpeg().toBuffer();
  const { exif } = await sharp(jpeg).metadata();
  if (exif === undefined) throw new Error("sharp wrote no EXIF");
  return exif.subarray(6);
}

/** Writes a picture in pieces of some rows. */
async function written(
  image: RawImage,
  format: RowFormat,
  metadata: Metadata = {},
  piece = 37,
): Promise<{ readonly bytes: Buffer; readonly notes: readonly string[] }> {
  const path = folder.file(`rows.${format}`);
  const file = await open(path, "w");
  try {
    const depth = image.data.BYTES_PER_ELEMENT === 2 ? 16 : 8;
    const encoder = encodeRows(file, { ...image, depth }, metadata, { format });
    for (let y = 0; y < image.height; y += piece) {
      await encoder.write(rowsOf(image, y, Math.min(image.height, y + piece)));
    }
    const notes = await encoder.end();
    return { bytes: await readFile(path), notes };
  } finally {
    await file.close();
  }
}

describe.each(["png", "tiff"] as const)("a %s in strips", (format) => {
  it.each([
    [1, 1, 1, 8],
    [1, 700, 3, 8],
    [701, 1, 4, 8],
    [333, 257, 1, 8],
    [333, 257, 2, 8],
    [1999, 1001, 3, 8],
    [1000, 601, 4, 8],
    [333, 257, 1, 16],
    [333, 257, 2, 16],
    [1001, 401, 3, 16],
    [501, 301, 4, 16],
  ] as const)(
    "of %i × %i, %i channels of %i bits has their values",
    async (width, height, channels, depth) => {
      const image = waves(width, height, channels, depth);
      const { bytes } = await written(image, format);
      const { frames } = await decode(bytes);
      expect(frames[0]).toMatchObject({ width, height, channels });
      expect(Buffer.compare(bytesOf(frames[0]), bytesOf(image))).toBe(0);
    },
  );

  it("is read whole where a file that is cut off is refused", async () => {
    const { bytes } = await written(waves(300, 900, 3, 8), format);
    const whole = sharp(bytes, { failOn: "warning" });
    await expect(whole.raw().toBuffer()).resolves.toHaveLength(300 * 900 * 3);
  });
});

describe("a JPEG in strips", () => {
  it.each([
    [1, 1, 3],
    [9, 200, 1],
    [1003, 517, 3],
    [640, 130, 2],
    [640, 261, 4],
    [65_500, 70, 1],
  ] as const)(
    "of %i × %i, %i channels is the one that is written at once",
    async (width, height, channels) => {
      const image = waves(width, height, channels, 8);
      const { bytes, notes } = await written(image, "jpeg");
      const atOnce = await encodeImage([image], {}, { format: "jpeg", lossless: false });
      expect(notes).toEqual(atOnce.notes);
      const pixels = async (file: Buffer) => sharp(file, { failOn: "warning" }).raw().toBuffer();
      expect(Buffer.compare(await pixels(bytes), await pixels(atOnce.bytes))).toBe(0);
    },
  );
});

describe.each(["png", "jpeg", "tiff"] as const)("what a %s in strips says", (format) => {
  it("is what one says that is written at once", async () => {
    const metadata: Metadata = {
      icc: profile("RGB "),
      exif: await exifOfCamera(),
      xmp: Buffer.from("<x:xmpmeta tiff:Orientation='6'/>"),
      iptc: Buffer.from("\x1c\x02\x78\0\x02ab", "latin1"),
      density: [11_811, 11_811],
      pngText: [{ type: "tEXt", data: Buffer.from("Title\0boats") }],
      comments: [Buffer.from("a comment")],
    };
    const image = waves(100, 300, 3, 8);
    const { bytes, notes } = await written(image, format, metadata);
    const atOnce = await encodeImage([image], metadata, { format, lossless: false });
    expect(notes).toEqual(atOnce.notes);
    const ofStrips = (await decode(bytes)).metadata;
    expect(Object.keys(ofStrips).length).toBeGreaterThan(4);
    expect(ofStrips).toEqual((await decode(atOnce.bytes)).metadata);
  });
});

describe("a BigTIFF in strips", () => {
  it("has the values, profile and EXIF", async () => {
    const image = waves(640, 1201, 4, 8);
    const shape = { ...image, depth: 8 } as const;
    const metadata = { icc: profile("RGB "), exif: await exifOfCamera() };
    const file = await open(folder.file("big.tif"), "w");
    const writer = new StripWriter(file, tiffStrips(shape, metadata, true), shape);
    await writer.write(image);
    await writer.end();
    await file.close();
    const bytes = await readFile(folder.file("big.tif"));
    expect(bytes.readUInt16LE(2)).toBe(43);
    const { decoder } = await inspectImage(bytes);
    expect(decoder?.icc).toEqual(metadata.icc);
    const { frames } = await decode(bytes);
    expect(Buffer.compare(bytesOf(frames[0]), bytesOf(image))).toBe(0);
  });

  it("is what four gigabytes become", () => {
    const { place } = tiffStrips({ width: 40_000, height: 40_000, channels: 3, depth: 8 }, {});
    expect(place(Buffer.from("strip"), 0)[0]).toEqual(Buffer.from("II+\0\x08\0\0\0", "latin1"));
  });
});

describe("rows that do not fit", () => {
  it("are refused", async () => {
    const image = waves(8, 8, 3, 8);
    const file = await open(folder.file("a.png"), "w");
    const encoder = encodeRows(file, { ...image, depth: 8 }, {}, { format: "png" });
    await encoder.write(rowsOf(image, 0, 7));
    await expect(encoder.end()).rejects.toThrow("7 of 8 rows");
    await expect(encoder.write(image)).rejects.toThrow("more rows");
    await file.close();
  });
});

const bytesOf = ({ data }: RawImage): Buffer =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength);
