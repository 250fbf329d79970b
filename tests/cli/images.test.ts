import { readFile, readdir, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import {
  MAX_INPUT_PIXELS,
  checkOutputSize,
  hasTransparency,
  inspectImage,
  readImage,
  writeImage,
} from "../../cli/images.ts";
import { COLOUR, noise, plain, save, saveCutOff } from "./support/image-files.ts";
import { useFolder } from "./support/terminal.ts";

const folder = useFolder();
const rgb = [COLOUR.r, COLOUR.g, COLOUR.b];
const grey = [128, 128, 128]; // what the colour's luminance becomes
const half = 127;

interface Kind {
  readonly name: string;
  readonly file: string;
  readonly image: () => sharp.Sharp;
  readonly pixel: readonly number[];
  /** Of a channel; JPEG and colour profiles round. */
  readonly tolerance: number;
}

const KINDS: readonly Kind[] = [
  { name: "RGB PNG", file: "a.png", image: () => plain(5, 3), pixel: rgb, tolerance: 0 },
  {
    name: "RGBA PNG",
    file: "a.png",
    image: () => plain(5, 3, 0.5),
    pixel: [...rgb, half],
    tolerance: 0,
  },
  {
    name: "grey PNG",
    file: "a.png",
    image: () => plain(5, 3).toColourspace("b-w"),
    pixel: grey,
    tolerance: 0,
  },
  {
    name: "grey PNG with alpha",
    file: "a.png",
    image: () => plain(5, 3, 0.5).toColourspace("b-w"),
    pixel: [...grey, half],
    tolerance: 0,
  },
  {
    name: "16-bit grey PNG",
    file: "a.png",
    image: () => plain(5, 3).toColourspace("grey16"),
    pixel: grey,
    tolerance: 1,
  },
  {
    name: "16-bit PNG",
    file: "a.png",
    image: () => plain(5, 3).toColourspace("rgb16"),
    pixel: rgb,
    tolerance: 0,
  },
  {
    name: "16-bit PNG with alpha",
    file: "a.png",
    image: () => plain(5, 3, 0.5).toColourspace("rgb16"),
    pixel: [...rgb, half],
    tolerance: 0,
  },
  {
    name: "palette PNG",
    file: "a.png",
    image: () => plain(5, 3).png({ palette: true }),
    pixel: rgb,
    tolerance: 0,
  },
  { name: "JPEG", file: "a.jpg", image: () => plain(5, 3), pixel: rgb, tolerance: 2 },
  {
    name: "grey JPEG",
    file: "a.jpg",
    image: () => plain(5, 3).toColourspace("b-w"),
    pixel: grey,
    tolerance: 2,
  },
  {
    name: "CMYK JPEG",
    file: "a.jpg",
    image: () => plain(5, 3).toColourspace("cmyk"),
    pixel: rgb,
    tolerance: 20,
  },
  {
    name: "Display P3 JPEG",
    file: "a.jpg",
    image: () => plain(5, 3).withIccProfile("p3"),
    pixel: rgb,
    tolerance: 4,
  },
  {
    name: "WebP with alpha",
    file: "a.webp",
    image: () => plain(5, 3, 0.5),
    pixel: [...rgb, half],
    tolerance: 0,
  },
  { name: "one pixel", file: "a.png", image: () => plain(1, 1), pixel: rgb, tolerance: 0 },
];

describe("readImage", () => {
  it.each(KINDS)("$name", async ({ file, image, pixel, tolerance }) => {
    const path = folder.file(file);
    await save(path, image());
    const { width, height, channels, data } = await readImage(path);
    expect(channels).toBe(pixel.length);
    expect(data).toHaveLength(width * height * channels);
    expect([5, 1]).toContain(width);
    for (let i = 0; i < data.length; i++) {
      const error = Math.abs((data[i] as number) - (pixel[i % channels] as number));
      expect(error, `value ${i}`).toBeLessThanOrEqual(tolerance);
    }
  });

  it("applies the EXIF orientation", async () => {
    // Left pixel red, right pixel blue; orientation 6 shows it turned clockwise: red on top.
    const raw = Uint8Array.from([255, 0, 0, 0, 0, 255]);
    const file = folder.file("turned.png");
    await save(
      file,
      sharp(raw, { raw: { width: 2, height: 1, channels: 3 } }).withMetadata({ orientation: 6 }),
    );
    expect(await inspectImage(file)).toEqual({ width: 1, height: 2, format: "png" });
    const { width, height, data } = await readImage(file);
    expect([width, height, ...data]).toEqual([1, 2, ...raw]);
  });

  const broken: readonly [string, (path: string) => Promise<void>, RegExp][] = [
    ["an empty file", (path) => writeFile(path, ""), /^the file is empty$/],
    [
      "text",
      (path) => writeFile(path, "hello, this is no image"),
      /^not an image \(PNG, JPEG and WebP/,
    ],
    ["a missing file", async () => {}, /^no such file or folder$/],
    [
      "a GIF",
      async (path) => writeFile(path, await plain(4, 4).gif().toBuffer()),
      /^gif images are not supported/,
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
      /^100000 × 100000 is 10000\.0 megapixels, more than the 16\.8/,
    ],
  ];
  it.each(broken)("refuses %s", async (_name, write, message) => {
    const path = folder.file("a.png");
    await write(path);
    const error = await readImage(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain("\n");
  });

  it.each(["a.jpg", "a.webp"])("refuses a cut-off %s", async (name) => {
    const path = folder.file(name);
    await saveCutOff(path, noise(128, 128), 0.6);
    await expect(readImage(path)).rejects.toThrow(/damaged or cut off/);
  });

  it("takes a 20 000 pixels wide strip, and refuses a larger image in one sentence", async () => {
    const strip = folder.file("strip.png");
    await save(strip, plain(20_000, 8));
    expect(await inspectImage(strip)).toMatchObject({ width: 20_000, height: 8 });
    expect((await readImage(strip)).data).toHaveLength(20_000 * 8 * 3);
    const large = folder.file("large.png");
    await save(large, plain(20_000, 1000));
    await expect(readImage(large)).rejects.toThrow(
      "20000 × 1000 is 20.0 megapixels, more than the 16.8 (4096 × 4096) that can be upscaled",
    );
    expect(20_000 * 1000).toBeGreaterThan(MAX_INPUT_PIXELS);
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

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

describe("checkOutputSize", () => {
  it("knows where formats end", () => {
    const header = { width: 20_000, height: 8, format: "png" } as const;
    expect(() => checkOutputSize(header, "a.png")).not.toThrow();
    expect(() => checkOutputSize(header, "a.jpg")).toThrow(
      "the result is 80000 × 32 pixels, JPEG files end at 65500. Write a PNG: -o NAME.png",
    );
    expect(() => checkOutputSize({ ...header, width: 4095 }, "a.webp")).not.toThrow();
    expect(() => checkOutputSize({ ...header, width: 4096 }, "a.webp")).toThrow(
      /WebP files end at 16383/,
    );
  });
});

describe("writeImage", () => {
  const opaque = {
    width: 2,
    height: 1,
    channels: 3,
    data: Uint8Array.from([255, 0, 0, 0, 0, 255]),
  } as const;
  const seeThrough = {
    width: 2,
    height: 1,
    channels: 4,
    data: Uint8Array.from([255, 0, 0, 255, 0, 0, 255, 0]),
  } as const;

  it.each(["png", "jpg", "jpeg", "webp", "PNG"])("writes .%s in that format", async (extension) => {
    const path = folder.file(`new/folder/a.${extension}`);
    await writeImage(path, opaque);
    const { format, width, height } = await sharp(await readFile(path)).metadata();
    expect([format, width, height]).toEqual([
      extension.toLowerCase().replace(/^jpg$/, "jpeg"),
      2,
      1,
    ]);
    expect(await readdir(folder.file("new/folder"))).toHaveLength(1);
  });

  it("keeps a PNG's pixels and alpha bit for bit", async () => {
    const path = folder.file("a.png");
    await writeImage(path, seeThrough);
    expect([...(await readImage(path)).data]).toEqual([...seeThrough.data]);
  });

  it("puts transparent parts of a JPEG on white", async () => {
    const path = folder.file("a.jpg");
    const data = new Uint8Array(8 * 8 * 4); // all transparent
    await writeImage(path, { width: 8, height: 8, channels: 4, data });
    expect([...(await readImage(path)).data].every((value) => value === 255)).toBe(true);
  });

  it("leaves nothing when aborted, and the old file as it was", async () => {
    const path = folder.file("a.png");
    await writeFile(path, "old");
    await expect(writeImage(path, opaque, AbortSignal.abort(new Error("stop")))).rejects.toThrow(
      "stop",
    );
    expect(await readdir(folder.path)).toEqual(["a.png"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  it("says why a file cannot be written", async () => {
    await writeFile(folder.file("file"), "x");
    await expect(writeImage(folder.file("file/a.png"), opaque)).rejects.toThrow(
      /^cannot write .*file\/a\.png \(\d+ B\): a part of its path is a file, not a folder$/,
    );
  });
});

it("tells whether anything is transparent", () => {
  const image = (alpha: number) =>
    ({ width: 1, height: 1, channels: 4, data: Uint8Array.from([1, 2, 3, alpha]) }) as const;
  expect([image(255), image(254)].map(hasTransparency)).toEqual([false, true]);
  expect(
    hasTransparency({ width: 1, height: 1, channels: 3, data: Uint8Array.from([0, 0, 0]) }),
  ).toBe(false);
});
