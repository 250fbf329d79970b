/** docs/guide.md's table of the kinds that are read, a cell at a time. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { plain } from "../support/image-files.ts";
import { numbers, profile, withChunks } from "../support/pictures.ts";
import { runOn, seeingEngine } from "../support/run-upscale.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

/** Files by kind, each with what the last four columns are about. */
interface Kind {
  readonly plain: () => Promise<Buffer>;
  /** The deepest that the kind has and sharp writes. */
  readonly deep?: () => Promise<Buffer>;
  readonly frames?: () => Promise<Buffer>;
  readonly converted: readonly (readonly [name: string, file: () => Promise<Buffer>])[];
}

const film = (): sharp.Sharp =>
  sharp(Buffer.concat([10, 120, 240].map((value) => Buffer.alloc(4 * 4 * 3, value))), {
    raw: { width: 4, height: 12, channels: 3, pageHeight: 4 },
  });
const deepImage = (): sharp.Sharp => plain(4, 4).toColourspace("rgb16");
const uncompressed = { compression: "none" } as const;

/** A grey image that carries a grey profile, by a splice of the kind's own. */
async function greyWithProfile(format: "png" | "jpeg" | "tiff"): Promise<Buffer> {
  const grey = plain(4, 4).toColourspace("b-w");
  if (format !== "png") {
    // libvips writes the profile that it reads.
    return sharp(await greyWithProfile("png"))
      .keepIccProfile()
      .toColourspace("b-w")
      .toFormat(format, format === "tiff" ? uncompressed : {})
      .toBuffer();
  }
  const chunk = Buffer.concat([Buffer.from("p\0\0", "latin1"), deflateSync(profile("GRAY", 1.8))]);
  return withChunks(await grey.png().toBuffer(), [["iCCP", chunk]]);
}

const KINDS: Readonly<Record<string, Kind>> = {
  PNG: {
    plain: () => plain(4, 4).png().toBuffer(),
    deep: () => deepImage().png().toBuffer(),
    frames: async () =>
      withChunks(await plain(4, 4).png().toBuffer(), [
        ["acTL", numbers(3, 0)],
        ["fcTL", Buffer.alloc(26)],
      ]),
    converted: [
      [
        "gamma and primaries without a profile",
        async () => withChunks(await plain(4, 4).png().toBuffer(), [["gAMA", numbers(100_000)]]),
      ],
      ["a grey profile", () => greyWithProfile("png")],
    ],
  },
  JPEG: {
    plain: () => plain(4, 4).jpeg().toBuffer(),
    converted: [
      ["CMYK", () => plain(4, 4).toColourspace("cmyk").jpeg().toBuffer()],
      ["a grey profile", () => greyWithProfile("jpeg")],
    ],
  },
  WebP: {
    plain: () => plain(4, 4).webp({ lossless: true }).toBuffer(),
    frames: () => film().webp().toBuffer(),
    converted: [],
  },
  AVIF: { plain: () => plain(4, 4).avif().toBuffer(), converted: [] },
  GIF: {
    plain: () => plain(4, 4).gif().toBuffer(),
    frames: () => film().gif().toBuffer(),
    converted: [],
  },
  TIFF: {
    plain: () => plain(4, 4).tiff(uncompressed).toBuffer(),
    deep: () => deepImage().tiff(uncompressed).toBuffer(),
    frames: () => film().tiff(uncompressed).toBuffer(),
    converted: [
      ["CMYK", () => plain(4, 4).toColourspace("cmyk").tiff(uncompressed).toBuffer()],
      ["Lab", () => plain(4, 4).toColourspace("lab").tiff(uncompressed).toBuffer()],
      ["a grey profile", () => greyWithProfile("tiff")],
    ],
  },
  BMP: { plain: async () => bmp(), converted: [] },
};

/** Two red pixels. */
function bmp(): Buffer {
  const bytes = Buffer.alloc(54 + 8);
  bytes.write("BM", "latin1");
  bytes.writeUInt32LE(54, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(2, 18);
  bytes.writeInt32LE(1, 22);
  bytes.writeUInt16LE(24, 28);
  bytes.set([0, 0, 255, 0, 0, 255], 54);
  return bytes;
}

const NAMES: Readonly<Record<string, string>> = {
  png: "PNG",
  jpeg: "JPEG",
  webp: "WebP",
  gif: "GIF",
  tiff: "TIFF",
};

/** Runs the command on a file without an extension, so that only its bytes say what it is. */
async function upscale(bytes: Buffer): Promise<{
  readonly result: string;
  readonly bits: number;
  readonly told: string;
  readonly pages: number;
  readonly isLossless: boolean;
}> {
  await writeFile(folder.file("picture"), bytes);
  const { engine, seen } = seeingEngine();
  const options = { model: folder.path, force: true };
  const { exitCode, told } = await runOn([folder.file("picture")], options, engine);
  expect(exitCode).toBe(0);
  const names = (await readdir(folder.path)).filter((name) => name.startsWith("picture-x4"));
  const written = await readFile(folder.file(names.at(-1) as string));
  const { format, pages = 1, compression } = await sharp(written).metadata();
  return {
    result: format === "heif" && compression === "av1" ? "AVIF" : (NAMES[format] ?? format),
    bits: seen[0]?.data instanceof Uint16Array ? 16 : 8,
    told: told.join("\n"),
    pages,
    isLossless: written.includes("VP8L"),
  };
}

async function framesCell({ frames }: Kind, isAvif: boolean): Promise<string> {
  if (isAvif) return "the first, told"; // sharp writes no sequence to read
  if (frames === undefined) return "one";
  const { pages, told } = await upscale(await frames());
  if (pages === 3) return "all";
  const what = /only the first (\w+) of the/.exec(told)?.[1];
  expect(told).toMatch(/2 more \w+s are left out/);
  if (what === "page") return "the first page, told";
  return `the first of an animated one, told`;
}

async function rowOf(name: string, kind: Kind): Promise<readonly string[]> {
  const { result, isLossless } = await upscale(await kind.plain());
  const bits = [8];
  if (kind.deep) bits.push((await upscale(await kind.deep())).bits);
  const frames = await framesCell(kind, name === "AVIF");
  for (const [what, file] of kind.converted) {
    expect((await upscale(await file())).told, what).toMatch(
      / (was|were|without a profile was) converted to sRGB/,
    );
  }
  const converted = kind.converted.map(([what]) => what).join(", ");
  return [
    name,
    isLossless ? `${result}, lossless if it is` : result,
    bits.join(", "),
    frames,
    converted === "" ? "nothing" : converted,
  ];
}

describe("docs/guide.md: kinds that are read", () => {
  it.each(Object.keys(KINDS))("%s", async (name) => {
    const guide = await readFile(new URL("../../../docs/guide.md", import.meta.url), "utf8");
    const lines = guide.split("\n");
    const at = lines.indexOf("| read | result | bits | frames | converted to sRGB, told |");
    const end = lines.indexOf("", at);
    const rows = lines.slice(at + 2, end).map((line) => line.slice(2, -2).split(" | "));
    expect(rows.map(([first]) => first)).toEqual(Object.keys(KINDS));
    expect(rows.find(([first]) => first === name)).toEqual(await rowOf(name, KINDS[name] as Kind));
  });
});
