/** Files that were made to hurt: whatever their bytes say, an error is one about the file, and nothing hangs. */
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { CliError } from "../../../cli/errors.ts";
import type { ImageFormat } from "../../../cli/image/formats.ts";
import { FORMAT_NAMES } from "../../../cli/image/formats.ts";
import { jpegSegments } from "../../../cli/image/jpeg-segments.ts";
import type { Metadata } from "../../../cli/image/metadata.ts";
import { readTags, uprightExif } from "../../../cli/image/tiff-tags.ts";
import { uniformSource } from "../../support/random.ts";
import { noise } from "../support/image-files.ts";
import { decode, encode, profile } from "../support/pictures.ts";

const ROUNDS = 60;
const files = new Map<ImageFormat, Buffer>();
let exif: Buffer;

beforeAll(async () => {
  const jpeg = await noise(8, 8)
    .withExif({ IFD0: { Make: "Maker" }, IFD2: { LensModel: "Lens" } })
    .jpeg()
    .toBuffer();
  exif = ((await sharp(jpeg).metadata()).exif as Buffer).subarray(6);
  const { frames } = await decode(jpeg);
  const metadata: Metadata = {
    exif,
    icc: profile("RGB "),
    xmp: Buffer.from("<x/>"),
    iptc: Buffer.from([0x1c, 2, 116, 0, 1, 65]),
    density: [11_811, 11_811],
    pngText: [{ type: "tEXt", data: Buffer.from("a\0b") }],
  };
  for (const format of FORMAT_NAMES) {
    const { bytes } = await encode({ frames, metadata, isLossless: false, notes: [] }, { format });
    files.set(format, bytes);
  }
});

/** What a file is allowed to do: decode, or be told. */
async function survive(bytes: Buffer): Promise<void> {
  try {
    const picture = await decode(bytes);
    await encode(picture, { format: "tiff" });
  } catch (error) {
    expect(error).toBeInstanceOf(CliError);
  }
}

describe.each(FORMAT_NAMES)("a %s", (format) => {
  it("with bytes that are wrong", { timeout: 60_000 }, async () => {
    const good = files.get(format) as Buffer;
    const random = uniformSource(7);
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = Buffer.from(good);
      for (let i = 0; i < 3; i++) {
        bytes[Math.floor(random() * bytes.length)] = [0, 255, 127, 1][
          Math.floor(random() * 4)
        ] as number;
      }
      await survive(bytes);
    }
  });

  it("that ends anywhere", { timeout: 60_000 }, async () => {
    const good = files.get(format) as Buffer;
    for (let part = 0; part < ROUNDS; part++) {
      await survive(good.subarray(0, Math.floor((good.length * part) / ROUNDS)));
    }
  });
});

describe("tags", () => {
  it("of EXIF with any byte wrong, and of any length", () => {
    for (let at = 0; at < exif.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const bytes = Buffer.from(exif);
        bytes[at] = value;
        expect(uprightExif(bytes, 8, 8)).toHaveLength(bytes.length);
        readTags(bytes);
      }
      uprightExif(exif.subarray(0, at), 8, 8);
      readTags(exif.subarray(0, at));
    }
  });

  it("that point at themselves end", () => {
    const bytes = Buffer.alloc(8 + 2 + 12 + 4);
    bytes.write("II*\0\x08\0\0\0", "latin1");
    bytes.writeUInt16LE(1, 8);
    bytes.writeUInt16LE(0x8769, 10); // a list below …
    bytes.writeUInt16LE(4, 12);
    bytes.writeUInt32LE(1, 14);
    bytes.writeUInt32LE(8, 18); // … which is this one
    expect(readTags(bytes)?.tags).toEqual([]);
  });

  it("of which each points at all others end soon", () => {
    const bytes = Buffer.alloc(8 + 2 + 12 * 4000 + 4);
    bytes.write("II*\0\x08\0\0\0", "latin1");
    bytes.writeUInt16LE(4000, 8);
    for (let i = 0; i < 4000; i++) {
      const id = [0x8769, 0x8825, 0xa005][i % 3] as number;
      bytes.writeUInt16LE(id, 10 + 12 * i);
      bytes.writeUInt16LE(4, 12 + 12 * i);
      bytes.writeUInt32LE(1, 14 + 12 * i);
      bytes.writeUInt32LE(8, 18 + 12 * i);
    }
    expect(readTags(bytes)?.tags).toEqual([]);
  });

  it("of a JPEG whose segments say nothing of their length end", () => {
    expect(jpegSegments(Buffer.from("ffd8ffe00000ffe00000ffff", "hex")).length).toBeLessThan(4);
  });
});
