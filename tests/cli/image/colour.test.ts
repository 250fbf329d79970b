import { readFile } from "node:fs/promises";
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { CliError } from "../../../cli/errors.ts";
import { avifCodes } from "../../../cli/image/profile.ts";
import { plain } from "../support/image-files.ts";
import { decode, encode, largestError, numbers, profile, withChunks } from "../support/pictures.ts";

/** sRGB's value for light, as its standard writes it. */
const stored = (light: number): number =>
  light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;

const SWATCHES = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [235, 20, 10],
  [100, 150, 50],
  [10, 12, 9],
  [200, 190, 180],
  [255, 255, 255],
  [0, 0, 0],
].flat();

const swatches = (): sharp.Sharp =>
  sharp(Uint8Array.from(SWATCHES), { raw: { width: 9, height: 1, channels: 3 } });

/** Of Display P3, in PNG's hundred-thousandths: white, red, green, blue. */
const P3 = numbers(31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6000);
const SRGB = numbers(31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6000);

/** The swatches' numbers as Display P3, and that profile. */
async function taggedP3(bits: 8 | 16): Promise<{ readonly file: Buffer; readonly icc: Buffer }> {
  const { icc } = await sharp(await plain(1, 1).withIccProfile("p3").png().toBuffer()).metadata();
  if (icc === undefined) throw new Error("sharp wrote no profile");
  const values = Uint16Array.from(SWATCHES, (value) => value * 257);
  const deep = sharp(values, { raw: { width: 9, height: 1, channels: 3 } }).toColourspace("rgb16");
  const png = await (bits === 16 ? deep : swatches()).png().toBuffer();
  return { file: withChunks(png, [["iCCP", iccChunk(icc)]]), icc };
}

describe("RGB with a profile", () => {
  it.each([8, 16] as const)("keeps its numbers and its profile, %i bits", async (bits) => {
    const { file, icc } = await taggedP3(bits);
    const picture = await decode(file);
    const scale = bits === 16 ? 257 : 1;
    expect([...picture.frames[0].data]).toEqual(SWATCHES.map((value) => value * scale));
    expect(picture.metadata.icc).toEqual(icc);
    expect(picture.notes).toEqual([]);
    for (const format of ["png", "jpeg", "webp", "avif", "tiff"] as const) {
      const { bytes } = await encode(picture, { format, lossless: true });
      expect((await sharp(bytes).metadata()).icc, format).toEqual(icc);
    }
  });

  it.each([8, 16] as const)("becomes sRGB when asked, %i bits", async (bits) => {
    const { file } = await taggedP3(8);
    const expected = await sharp(file).raw().toBuffer(); // sharp converts 8 bits by itself
    const { frames, metadata } = await decode((await taggedP3(bits)).file, { profile: "srgb" });
    expect(metadata.icc).toBeUndefined();
    const scale = bits === 16 ? 257 : 1;
    const values = Array.from(frames[0].data, (value) => value / scale);
    expect(frames[0].data instanceof Uint16Array).toBe(bits === 16);
    expect(largestError(values, expected)).toBeLessThan(bits === 16 ? 1.5 : 1); // lcms' 8-bit tables
    expect(expected[9]).toBe(255); // P3's second red lies outside of sRGB
  });

  it("is left out where it does not fit its pixels", async () => {
    const grey = await plain(2, 2).toColourspace("b-w").png().toBuffer();
    const { metadata, notes } = await decode(
      withChunks(grey, [["iCCP", iccChunk(profile("CMYK"))]]),
    );
    expect([metadata.icc, notes]).toEqual([
      undefined,
      ["its profile does not fit its pixels and was left out"],
    ]);
  });
});

describe("CMYK", () => {
  it("without a profile is what browsers show: black ink is black, no ink is white", async () => {
    const inks = [
      [0, 0, 0, 255, 0, 0, 0],
      [0, 0, 0, 0, 255, 255, 255],
      [255, 0, 0, 0, 0, 255, 255],
      [0, 255, 0, 0, 255, 0, 255],
      [0, 0, 255, 0, 255, 255, 0],
      [0, 128, 255, 64, 191, 95, 0],
    ];
    for (const [c = 0, m = 0, y = 0, k = 0, ...expected] of inks) {
      const file = await cmykTiff([c, m, y, k]);
      const { frames, notes } = await decode(file);
      expect(frames[0].channels).toBe(3);
      expect(largestError(frames[0].data.slice(0, 3), expected)).toBeLessThanOrEqual(1);
      expect(notes).toEqual(["CMYK without a profile was converted to sRGB"]);
    }
  });

  it("in a JPEG of Adobe's, whose inks are stored the other way round", async () => {
    const black = await readFile(new URL("../../fixtures/pictures/cmyk-k100.jpg", import.meta.url));
    const { frames, notes } = await decode(black);
    expect(frames[0].channels).toBe(3);
    expect([...frames[0].data].every((value) => value === 0)).toBe(true);
    expect(notes).toEqual(["CMYK without a profile was converted to sRGB"]);
  });

  it("with a profile is converted by it", async () => {
    const jpeg = await plain(8, 8).withIccProfile("cmyk").jpeg({ quality: 100 }).toBuffer();
    expect((await sharp(jpeg).metadata()).space).toBe("cmyk");
    const { frames, metadata, notes } = await decode(jpeg);
    // Inks and back: what sharp's profile of a press loses.
    expect(largestError(frames[0].data.slice(0, 3), [200, 100, 50])).toBeLessThan(20);
    expect([metadata.icc, notes]).toEqual([
      undefined,
      ["CMYK was converted to sRGB by its profile"],
    ]);
  });
});

describe("a grey profile", () => {
  const ramp = Uint8Array.from({ length: 256 }, (_, i) => i);

  it.each([1, 1.8, 2.2])("of gamma %f becomes sRGB's", async (gamma) => {
    const png = await sharp(ramp, { raw: { width: 256, height: 1, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    const file = withChunks(png, [["iCCP", iccChunk(profile("GRAY", gamma))]]);
    const { frames, metadata, notes } = await decode(file);
    const exact = Math.round(gamma * 256) / 256; // as the profile stores it
    const expected = Array.from(ramp, (value) => Math.round(255 * stored((value / 255) ** exact)));
    expect([frames[0].channels, metadata.icc]).toEqual([1, undefined]);
    expect(largestError(frames[0].data, expected)).toBe(0);
    expect(notes).toEqual(["its grey profile was converted to sRGB's"]);
  });

  it("keeps 16 bits and alpha", async () => {
    const values = Uint16Array.from([0, 0, 1000, 65_535, 32_768, 40_000, 65_535, 65_535]);
    const png = await sharp(values, { raw: { width: 4, height: 1, channels: 2 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    const file = withChunks(png, [["iCCP", iccChunk(profile("GRAY", 1))]]);
    const [frame] = (await decode(file)).frames;
    const light = (value: number) => Math.round(65_535 * stored(value / 65_535));
    expect([...frame.data]).toEqual([
      0,
      0,
      light(1000),
      65_535,
      light(32_768),
      40_000,
      65_535,
      65_535,
    ]);
  });
});

describe("a PNG's gamma and primaries", () => {
  const png = () => swatches().png().toBuffer();

  it.each([
    ["no statement", []],
    [
      "sRGB's own gamma",
      [
        ["gAMA", numbers(45_455)],
        ["cHRM", SRGB],
      ],
    ],
    [
      "sRGB before gamma",
      [
        ["sRGB", Buffer.from([0])],
        ["gAMA", numbers(100_000)],
      ],
    ],
    ["primaries without gamma", [["cHRM", P3]]],
    ["a gamma of nothing", [["gAMA", numbers(0)]]],
  ] as const)("changes nothing for %s", async (_name, chunks) => {
    const { frames, notes } = await decode(withChunks(await png(), chunks));
    expect([...frames[0].data]).toEqual(SWATCHES);
    expect(notes).toEqual([]);
  });

  it.each([1, 0.55])("converts gamma %f", async (gamma) => {
    const file = withChunks(await png(), [["gAMA", numbers(Math.round(gamma * 100_000))]]);
    const { frames, notes } = await decode(file);
    const expected = SWATCHES.map((v) => Math.round(255 * stored((v / 255) ** (1 / gamma))));
    expect(largestError(frames[0].data, expected)).toBe(0);
    expect(notes).toEqual(["its gamma was converted to sRGB's"]);
  });

  it("converts primaries as a profile of the same does", async () => {
    const file = withChunks(await png(), [
      ["gAMA", numbers(45_455)],
      ["cHRM", P3],
    ]);
    const { frames, notes } = await decode(file);
    const expected = await sharp((await taggedP3(8)).file)
      .raw()
      .toBuffer();
    expect(largestError(frames[0].data, expected)).toBeLessThanOrEqual(2); // of lcms' tables
    expect(notes).toEqual(["its gamma and primaries were converted to sRGB's"]);
  });

  it.each([
    [
      "that are no triangle",
      numbers(31_270, 32_900, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000),
    ],
    ["of zeros", Buffer.alloc(32)],
    ["that are cut off", Buffer.alloc(7)],
  ])("leaves out primaries %s", async (_name, chunk) => {
    const file = withChunks(await png(), [
      ["gAMA", numbers(45_455)],
      ["cHRM", chunk],
    ]);
    expect([...(await decode(file)).frames[0].data]).toEqual(SWATCHES);
  });

  it("counts only where it is whole", async () => {
    // What decoders think of such a chunk is theirs; here it must be no error of ours.
    const file = withChunks(await png(), [["gAMA", Buffer.from([1])]]);
    const found = await decode(file).catch((error: unknown) => error);
    if (found instanceof Error) expect(found).toBeInstanceOf(CliError);
  });
});

describe("a coded colour space", () => {
  const png = (...codes: readonly number[]) =>
    swatches()
      .png()
      .toBuffer()
      .then((file) => withChunks(file, [["cICP", Buffer.from([...codes, 0, 1])]]));

  it("that is sRGB changes nothing", async () => {
    const { frames, metadata, notes } = await decode(await png(1, 13));
    expect([[...frames[0].data], metadata.icc, notes]).toEqual([SWATCHES, undefined, []]);
  });

  it("that is Display P3 becomes its profile, or sRGB when asked", async () => {
    const { icc, file: tagged } = await taggedP3(8);
    const kept = await decode(await png(12, 13));
    expect([[...kept.frames[0].data], kept.metadata.icc, kept.notes]).toEqual([SWATCHES, icc, []]);
    const converted = await decode(await png(12, 13), { profile: "srgb" });
    const expected = await sharp(tagged).raw().toBuffer();
    expect(largestError(converted.frames[0].data, expected)).toBeLessThanOrEqual(2); // lcms' tables
    expect(converted.notes).toEqual(["Display P3 was converted to sRGB"]);
  });

  it("of another kind is told", async () => {
    expect((await decode(await png(9, 16))).notes).toEqual([
      "its colour space (code 9/16) is taken as sRGB",
    ]);
  });

  it("is read from AVIF's property", () => {
    const box = Buffer.from("\0\0\0\x13colrnclx\0\x0c\0\x0d\0\x06\x80", "latin1");
    expect(avifCodes(Buffer.concat([Buffer.alloc(200), box]))).toEqual([12, 13]);
    expect(avifCodes(Buffer.alloc(200))).toBeUndefined();
    expect(avifCodes(box.subarray(0, 14))).toBeUndefined();
  });
});

function iccChunk(icc: Buffer): Buffer {
  return Buffer.concat([Buffer.from("p\0\0", "latin1"), deflateSync(icc)]);
}

/** One pixel of four inks. */
async function cmykTiff(inks: readonly number[]): Promise<Buffer> {
  const data = Buffer.from([...inks, ...inks, ...inks, ...inks]);
  const tiff = await sharp(data, { raw: { width: 2, height: 2, channels: 4 } })
    .tiff({ compression: "none" })
    .toBuffer();
  return asCmyk(tiff);
}

const PHOTOMETRIC = 262;
const EXTRA_SAMPLES = 338;
const INK_SET = 332; // smaller, yet decoders take tags in any order

/** The same samples said to be inks: photometric interpretation 5, no alpha. */
function asCmyk(tiff: Buffer): Buffer {
  const bytes = Buffer.from(tiff);
  const at = bytes.readUInt32LE(4);
  for (let i = 0; i < bytes.readUInt16LE(at); i++) {
    const entry = at + 2 + 12 * i;
    const id = bytes.readUInt16LE(entry);
    if (id === PHOTOMETRIC) bytes.writeUInt16LE(5, entry + 8);
    if (id !== EXTRA_SAMPLES) continue;
    bytes.writeUInt16LE(INK_SET, entry);
    bytes.writeUInt16LE(1, entry + 8); // CMYK
  }
  return bytes;
}
