/** Files that are read in bands against the same files decoded at once. */
import type { Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { openLargeImage } from "../../../cli/image/band-reader.ts";
import { inspectImage } from "../../../cli/image/header.ts";
import type { ProfileMode } from "../../../cli/image/profile.ts";
import { samplesIn } from "../../../src/rcod/images/raw-image.ts";
import { noise } from "../support/image-files.ts";
import { decode, numbers, withChunks } from "../support/pictures.ts";

const [WIDTH, HEIGHT] = [61, 97];
/** Some rows of the files here. */
const BAND_BYTES = 61 * 3 * 20;

/** In the order in which regions read: rows of rectangles that overlap, one step back, all at once. */
const PARTS = [
  [0, 0, 1, 1],
  [0, 0, 40, 30],
  [20, 0, 30, 30],
  [0, 22, 40, 31],
  [5, 60, 30, 37],
  [0, 20, 40, 20],
  [0, 0, 61, 61],
] as const;

async function large(bytes: Buffer, mode: ProfileMode = "keep") {
  return openLargeImage(bytes, await inspectImage(bytes), mode, BAND_BYTES);
}

const deep = (image: Sharp): Sharp => image.toColourspace("rgb16");

const FILES: readonly (readonly [string, () => Promise<Buffer>])[] = [
  ["a JPEG", () => noise(WIDTH, HEIGHT).jpeg().toBuffer()],
  ["a progressive JPEG", () => noise(WIDTH, HEIGHT).jpeg({ progressive: true }).toBuffer()],
  ["a JPEG in CMYK", () => noise(WIDTH, HEIGHT).toColourspace("cmyk").jpeg().toBuffer()],
  ["a grey JPEG", () => noise(WIDTH, HEIGHT).toColourspace("b-w").jpeg().toBuffer()],
  ["a PNG", () => noise(WIDTH, HEIGHT).png().toBuffer()],
  ["a PNG with alpha", () => noise(WIDTH, HEIGHT).ensureAlpha(0.4).png().toBuffer()],
  ["an interlaced PNG", () => noise(WIDTH, HEIGHT).png({ progressive: true }).toBuffer()],
  ["a PNG of 16 bits", () => deep(noise(WIDTH, HEIGHT)).png().toBuffer()],
  ["a PNG of 256 colours", () => noise(WIDTH, HEIGHT).png({ palette: true }).toBuffer()],
  [
    "a PNG with another gamma",
    async () =>
      withChunks(await noise(WIDTH, HEIGHT).png().toBuffer(), [["gAMA", numbers(100_000)]]),
  ],
  [
    "a grey PNG with alpha",
    () => noise(WIDTH, HEIGHT).toColourspace("b-w").ensureAlpha(0.4).png().toBuffer(),
  ],
  ["a TIFF", () => noise(WIDTH, HEIGHT).tiff({ compression: "lzw" }).toBuffer()],
  [
    "a TIFF in tiles",
    () => noise(WIDTH, HEIGHT).tiff({ tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
  ],
  ["a TIFF of 16 bits", () => deep(noise(WIDTH, HEIGHT)).tiff().toBuffer()],
  ["a JPEG in Display P3", () => noise(WIDTH, HEIGHT).withIccProfile("p3").jpeg().toBuffer()],
];

describe("reading in bands", () => {
  it.each(
    FILES.flatMap(([name, make]) => [[name, "keep", make] as const, [name, "srgb", make] as const]),
  )("gives the pixels of %s, --profile %s", async (_name, mode, make) => {
    const bytes = await make();
    const { reader, metadata, notes } = await large(bytes, mode);
    const whole = await decode(bytes, { profile: mode });
    const [frame] = whole.frames;
    expect({ metadata, notes }).toEqual({ metadata: whole.metadata, notes: whole.notes });
    expect(reader).toMatchObject({ width: WIDTH, height: HEIGHT, channels: frame.channels });
    for (const [x, y, width, height] of PARTS) {
      const part = { x, y, width, height };
      const image = await reader.read(part);
      expect(image).toEqual({
        width,
        height,
        channels: frame.channels,
        data: samplesIn(frame, part),
      });
    }
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("turns orientation %i upright", async (orientation) => {
    const bytes = await noise(WIDTH, HEIGHT).withMetadata({ orientation }).jpeg().toBuffer();
    const { reader } = await large(bytes);
    const [frame] = (await decode(bytes)).frames;
    expect([reader.width, reader.height]).toEqual([frame.width, frame.height]);
    for (const part of [
      { x: 0, y: 3, width: 40, height: 20 },
      { x: 10, y: 41, width: 30, height: 20 },
    ]) {
      expect((await reader.read(part)).data).toEqual(samplesIn(frame, part));
    }
  });

  it("gives pixels that nobody else uses", async () => {
    const { reader } = await large(await noise(WIDTH, HEIGHT).png().toBuffer());
    const part = { x: 3, y: 2, width: 5, height: 6 };
    const { data } = await reader.read(part);
    const before = data.slice();
    data.fill(0);
    expect((await reader.read(part)).data).toEqual(before);
  });

  it.each(["jpeg", "png", "tiff"] as const)(
    "refuses a cut-off %s before any work",
    async (kind) => {
      const bytes = await noise(WIDTH, HEIGHT)[kind]().toBuffer();
      await expect(large(bytes.subarray(0, bytes.length * 0.7))).rejects.toThrow(
        /damaged or cut off/,
      );
    },
  );
});
