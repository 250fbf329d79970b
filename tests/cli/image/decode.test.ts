import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { readImage } from "../../../cli/image/decode.ts";
import { checkHeld, inspectImage } from "../../../cli/image/header.ts";
import { readImageFile } from "../../../cli/image/source.ts";
import { crc32 } from "../../reference/crc32.ts";
import { COLOUR, noise, plain, save, saveCutOff } from "../support/image-files.ts";
import { decode, numbers, withChunks } from "../support/pictures.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();
const rgb = [COLOUR.r, COLOUR.g, COLOUR.b];
const grey = [128]; // what the colour's luminance becomes
const half = 127;
const deep = (values: readonly number[]) => values.map((value) => value * 257);

interface Kind {
  readonly name: string;
  readonly image: () => sharp.Sharp;
  readonly pixel: readonly number[];
  /** Of a channel: what the encoder that made the input has lost. */
  readonly tolerance: number;
}

const KINDS: readonly Kind[] = [
  { name: "RGB PNG", image: () => plain(5, 3).png(), pixel: rgb, tolerance: 0 },
  { name: "RGBA PNG", image: () => plain(5, 3, 0.5).png(), pixel: [...rgb, half], tolerance: 0 },
  {
    name: "grey PNG",
    image: () => plain(5, 3).toColourspace("b-w").png(),
    pixel: grey,
    tolerance: 0,
  },
  {
    name: "grey PNG with alpha",
    image: () => plain(5, 3, 0.5).toColourspace("b-w").png(),
    pixel: [...grey, half],
    tolerance: 0,
  },
  {
    name: "16-bit grey PNG",
    image: () => plain(5, 3).toColourspace("grey16").png(),
    pixel: deep(grey),
    tolerance: 257, // of libvips' luminance, a level of 8 bits
  },
  {
    name: "16-bit PNG",
    image: () => plain(5, 3).toColourspace("rgb16").png(),
    pixel: deep(rgb),
    tolerance: 257, // libvips shifts
  },
  {
    name: "16-bit TIFF with alpha",
    image: () => plain(5, 3, 0.5).toColourspace("rgb16").tiff({ compression: "none" }),
    pixel: deep([...rgb, half]),
    tolerance: 257,
  },
  {
    name: "palette PNG",
    image: () => plain(5, 3).png({ palette: true }),
    pixel: rgb,
    tolerance: 0,
  },
  { name: "JPEG", image: () => plain(5, 3).jpeg({ quality: 100 }), pixel: rgb, tolerance: 2 },
  {
    name: "grey JPEG",
    image: () => plain(5, 3).toColourspace("b-w").jpeg(),
    pixel: grey,
    tolerance: 2,
  },
  {
    name: "Lab TIFF",
    image: () => plain(5, 3).toColourspace("lab").tiff({ compression: "none" }),
    pixel: rgb,
    tolerance: 3,
  },
  {
    name: "WebP with alpha",
    image: () => plain(5, 3, 0.5).webp({ lossless: true }),
    pixel: [...rgb, half],
    tolerance: 0,
  },
  { name: "AVIF", image: () => plain(5, 3).avif({ lossless: true }), pixel: rgb, tolerance: 0 },
  { name: "GIF", image: () => plain(5, 3).gif(), pixel: [...rgb, 255], tolerance: 0 },
  { name: "one pixel", image: () => plain(1, 1).png(), pixel: rgb, tolerance: 0 },
];

describe("decodeImage", () => {
  it.each(KINDS)("$name, with its channels and bits", async ({ image, pixel, tolerance }) => {
    const { frames, notes } = await decode(await image().toBuffer());
    const [{ width, height, channels, data }] = frames;
    expect([channels, frames.length]).toEqual([pixel.length, 1]);
    expect(data).toHaveLength(width * height * channels);
    expect(data instanceof Uint16Array).toBe(pixel.some((value) => value > 255));
    expect([5, 1]).toContain(width);
    for (let i = 0; i < data.length; i++) {
      const error = Math.abs((data[i] as number) - (pixel[i % channels] as number));
      expect(error, `value ${i}`).toBeLessThanOrEqual(tolerance);
    }
    expect(notes).toHaveLength(pixel === rgb && tolerance === 3 ? 1 : 0); // Lab is converted
  });

  it("keeps every one of 65536 greys of a PNG and a TIFF", async () => {
    const values = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const image = sharp(values, { raw: { width: 256, height: 256, channels: 1 } });
    for (const format of ["png", "tiff"] as const) {
      const how = format === "tiff" ? ({ compression: "lzw" } as const) : {};
      const bytes = await image.clone().toColourspace("grey16")[format](how).toBuffer();
      const [frame] = (await decode(bytes)).frames;
      expect([frame.channels, frame.data]).toEqual([1, values]);
    }
  });

  it("applies the EXIF orientation", async () => {
    // Left pixel red, right pixel blue; orientation 6 shows it turned clockwise: red on top.
    const raw = Uint8Array.from([255, 0, 0, 0, 0, 255]);
    const bytes = await sharp(raw, { raw: { width: 2, height: 1, channels: 3 } })
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    expect(await inspectImage(bytes)).toMatchObject({ width: 1, height: 2, kind: "png" });
    const [{ width, height, data }] = (await decode(bytes)).frames;
    expect([width, height, ...data]).toEqual([1, 2, ...raw]);
  });

  it.each(["gif", "webp"] as const)(
    "reads all frames of a %s, with their times",
    async (format) => {
      const colours = [
        [200, 30, 30],
        [30, 200, 30],
        [30, 30, 200],
      ] as const;
      const raw = Buffer.concat(
        colours.map((colour) => Buffer.alloc(6 * 4 * 3, Buffer.from(colour))),
      );
      const film = { raw: { width: 6, height: 12, channels: 3, pageHeight: 4 } } as const;
      const how = { loop: 3, delay: [50, 120, 200], lossless: true };
      const bytes = await sharp(raw, film).toFormat(format, how).toBuffer();
      const picture = await decode(bytes);
      expect(picture.timing).toEqual({ delaysMs: [50, 120, 200], loops: 3 });
      const seen = picture.frames.map(({ width, height, data }) => [
        width,
        height,
        ...data.slice(0, 3),
      ]);
      expect(seen).toEqual(colours.map((colour) => [6, 4, ...colour]));
      const first = await decode(bytes, { frames: "first" });
      expect([first.frames.length, first.timing]).toEqual([1, undefined]);
      expect(first.notes).toEqual([
        expect.stringMatching(
          /^only the first frame of the (GIF|WebP) is upscaled; 2 more frames are left out$/,
        ),
      ]);
    },
  );

  it("tells of frames of an animated PNG and pages of a TIFF that are left out", async () => {
    const png = await plain(4, 4).png().toBuffer();
    const shown = withChunks(png, [
      ["acTL", numbers(3, 0)],
      ["fcTL", Buffer.alloc(26)],
    ]);
    expect((await decode(shown)).notes).toEqual([
      "only the first frame of the animated PNG is upscaled; 2 more frames are left out",
    ]);
    const hidden = withChunks(png, [["acTL", numbers(1, 0)]]);
    expect((await decode(hidden)).notes).toEqual([
      "only the first frame of the animated PNG is upscaled; 1 more frame is left out",
    ]);
    const pages = await sharp(Buffer.alloc(4 * 12 * 3), {
      raw: { width: 4, height: 12, channels: 3, pageHeight: 4 },
    })
      .tiff({ compression: "none" })
      .toBuffer();
    expect((await decode(pages)).notes).toEqual([
      "only the first page of the TIFF is upscaled; 2 more pages are left out",
    ]);
  });

  it("tells a lossless WebP from a lossy one", async () => {
    const raw = { raw: { width: 4, height: 8, channels: 3, pageHeight: 4 } } as const;
    for (const lossless of [true, false]) {
      const still = await plain(4, 4, 0.5).webp({ lossless }).toBuffer();
      const moving = await sharp(Buffer.alloc(4 * 8 * 3), raw)
        .webp({ lossless })
        .toBuffer();
      expect([(await decode(still)).isLossless, (await decode(moving)).isLossless]).toEqual([
        lossless,
        lossless,
      ]);
    }
  });
});

describe("what cannot be read", () => {
  const broken: readonly [string, (path: string) => Promise<void>, RegExp][] = [
    ["an empty file", (path) => writeFile(path, ""), /^the file is empty$/],
    [
      "text",
      (path) => writeFile(path, "hello, this is no image"),
      /^not an image \(PNG, JPEG, WebP, AVIF, GIF, TIFF and BMP can be read\)$/,
    ],
    ["a missing file", async () => {}, /^no such file or folder$/],
    [
      "an SVG",
      (path) => writeFile(path, "<svg xmlns='http://www.w3.org/2000/svg'/>"),
      /^it is an SVG drawing, which is not read\. Render it to a PNG/,
    ],
    [
      "a HEIC",
      (path) => writeFile(path, "\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
      /^it is a HEIC image, and the libvips that sharp brings has no decoder/,
    ],
    [
      "a TIFF of floats",
      (path) => writeFile(path, floatTiff()),
      /samples are of type float; 8 and 16 bits/,
    ],
    [
      "a PNG cut off",
      (path) => saveCutOff(path, noise(64, 64)),
      /^the image is damaged or cut off \(/,
    ],
    [
      "a PNG cut off in its header",
      (path) => saveCutOff(path, plain(64, 64), 0.1),
      /damaged or cut off|not an image/,
    ],
    [
      "a header that lies",
      async (path) => writeFile(path, await hugeHeader()),
      /^100000 × 100000 is 10000\.0 megapixels, more than the 625\.0/,
    ],
    [
      "a BMP that ends before its pixels",
      async (path) => writeFile(path, Buffer.concat([bmpHeader(1000, 1000), Buffer.alloc(10)])),
      /^the image is damaged or cut off \(3000054 bytes are needed, 64 are there\)$/,
    ],
    [
      "a BMP that lies",
      async (path) => writeFile(path, bmpHeader(100_000, 100_000)),
      /^100000 × 100000 is 10000\.0 megapixels/,
    ],
  ];
  it.each(broken)("%s", async (_name, write, message) => {
    const path = folder.file("a.png");
    await write(path);
    const error = await readImage(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain("\n");
  });

  it.each(["a.jpg", "a.webp"])("a cut-off %s", async (name) => {
    const path = folder.file(name);
    await saveCutOff(path, noise(128, 128), 0.6);
    await expect(readImage(path)).rejects.toThrow(/damaged or cut off/);
  });

  it("a FIFO and a device, without waiting for them", async () => {
    expect(spawnSync("mkfifo", [folder.file("pipe.png")]).status).toBe(0);
    for (const path of [folder.file("pipe.png"), "/dev/zero"]) {
      await expect(readImageFile(path)).rejects.toThrow(/^it is not a regular file\. A stream/);
    }
    await expect(readImageFile(folder.path)).rejects.toThrow("it is a folder");
  });

  it("an animation of too many frames, and says how to have the first", async () => {
    const { width, frames } = { width: 1024, frames: 33 };
    const raw = { width, height: width * frames, channels: 3, pageHeight: width } as const;
    const data = Buffer.alloc(width * width * frames * 3);
    for (let i = 0; i < frames; i++) data.fill(7 * i, i * width * width * 3); // equal ones are joined
    const bytes = await sharp(data, { raw }).webp({ effort: 0 }).toBuffer();
    const header = await inspectImage(bytes);
    expect(() => checkHeld(header)).toThrow(
      /^33 frames of 1024 × 1024 are 34\.6 megapixels, .* or the first alone: -o NAME\.png$/,
    );
    const { frames: read } = await decode(bytes, { frames: "first" });
    expect([read.length, read[0].width, read[0].height]).toEqual([1, width, width]);
  });

  it("takes a 20 000 pixels wide strip, and refuses a larger image in one sentence", async () => {
    const strip = folder.file("strip.png");
    await save(strip, plain(20_000, 8));
    expect(await inspectImage(await readFile(strip))).toMatchObject({ width: 20_000, height: 8 });
    expect((await readImage(strip)).data).toHaveLength(20_000 * 8 * 3);
    const large = folder.file("large.png");
    await save(large, plain(20_000, 2000));
    await expect(readImage(large)).rejects.toThrow(
      "20000 × 2000 is 40.0 megapixels, more than the 33.6 that can be read. Crop it or scale it down first",
    );
  });
});

describe("readImage", () => {
  it.each([
    ["grey", plain(5, 3).toColourspace("b-w"), [128, 128, 128]],
    ["grey and alpha of 16 bits", plain(5, 3, 0.5).toColourspace("grey16"), [128, 128, 128, half]],
    ["16 bits", plain(5, 3).toColourspace("rgb16"), rgb],
  ])("gives 8-bit sRGB of %s", async (_name, image, pixel) => {
    await save(folder.file("a.png"), image);
    const { channels, data } = await readImage(folder.file("a.png"));
    expect(channels).toBe(pixel.length);
    for (const [i, value] of data.entries()) {
      expect(Math.abs(value - (pixel[i % channels] as number))).toBeLessThanOrEqual(1);
    }
  });
});

/** A PNG of a few bytes that claims to be 100 000 × 100 000. */
async function hugeHeader(): Promise<Buffer> {
  const bytes = await plain(4, 4).png().toBuffer();
  bytes.writeUInt32BE(100_000, 16);
  bytes.writeUInt32BE(100_000, 20);
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
  return bytes;
}

function bmpHeader(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(54);
  bytes.write("BM", "latin1");
  bytes.writeUInt32LE(54, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(height, 22);
  bytes.writeUInt16LE(24, 28);
  return bytes;
}

/** A TIFF of one pixel, a 32-bit float. */
function floatTiff(): Buffer {
  const tags = [
    [256, 1], // width
    [257, 1], // height
    [258, 32], // bits
    [259, 1], // no compression
    [262, 1], // black is zero
    [273, 8 + 2 + 9 * 12 + 4], // where the pixel is
    [277, 1], // channels
    [279, 4], // bytes
    [339, 3], // IEEE
  ] as const;
  const bytes = Buffer.alloc(8 + 2 + tags.length * 12 + 4 + 4);
  bytes.write("II*\0\x08\0\0\0", "latin1");
  bytes.writeUInt16LE(tags.length, 8);
  for (const [i, [id, value]] of tags.entries()) {
    bytes.writeUInt16LE(id, 10 + 12 * i);
    bytes.writeUInt16LE(3, 12 + 12 * i);
    bytes.writeUInt32LE(1, 14 + 12 * i);
    bytes.writeUInt16LE(value, 18 + 12 * i);
  }
  bytes.writeFloatLE(0.5, bytes.length - 4);
  return bytes;
}
