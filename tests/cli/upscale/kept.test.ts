/** docs/guide.md's table of what a result keeps, a cell at a time: each word is what files show that were written. */
import { readFile, writeFile } from "node:fs/promises";
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { ImageFormat } from "../../../cli/image/formats.ts";
import { FORMATS, FORMAT_NAMES } from "../../../cli/image/formats.ts";
import type { UpscaleCliOptions } from "../../../cli/upscale/command.ts";
import { noise, plain } from "../support/image-files.ts";
import { largestError, numbers, withChunks } from "../support/pictures.ts";
import { runOn } from "../support/run-upscale.ts";
import { useFolder } from "../support/terminal.ts";
import { readTiffTags } from "../support/tiff-tags.ts";

const folder = useFolder();

const XMP = `<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" rdf:about="Kept words"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`;
/** IPTC's record 2:116, a copyright notice. */
const IPTC = Buffer.concat([Buffer.from([0x1c, 2, 116, 0, 9]), Buffer.from("Somebody!")]);

/** A PNG with all that one can say, and what of it is hard to make otherwise. */
let png: Buffer;
let profile: Buffer;

beforeAll(async () => {
  const raw = await noise(6, 4).raw().toBuffer();
  const image = sharp(raw, { raw: { width: 6, height: 4, channels: 3 } });
  const jpeg = await image
    .clone()
    .withExif({ IFD0: { Make: "Maker", Copyright: "Somebody" }, IFD2: { LensModel: "Lens" } })
    .withMetadata({ orientation: 6, density: 300 })
    .jpeg()
    .toBuffer();
  const { exif } = await sharp(jpeg).metadata();
  const { icc } = await sharp(await plain(1, 1).withIccProfile("p3").png().toBuffer()).metadata();
  if (exif === undefined || icc === undefined) throw new Error("sharp wrote no metadata");
  profile = icc;
  png = withChunks(await image.png().toBuffer(), [
    ["iCCP", Buffer.concat([Buffer.from("p\0\0", "latin1"), deflateSync(icc)])],
    ["pHYs", Buffer.concat([numbers(11_811, 11_811), Buffer.from([1])])],
    ["eXIf", exif.subarray(6)],
    [
      "iTXt",
      Buffer.concat([Buffer.from("XML:com.adobe.xmp\0\0\0\0\0", "latin1"), Buffer.from(XMP)]),
    ],
    ["tEXt", Buffer.from("Title\0hello", "latin1")],
    ["zTXt", Buffer.concat([Buffer.from("Author\0\0", "latin1"), deflateSync(Buffer.from("me"))])],
  ]);
});

/** Segment APP13 behind the beginning of a JPEG. */
function withIptc(jpeg: Buffer): Buffer {
  const head = Buffer.from("Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0", "latin1");
  head.writeUInt32BE(IPTC.length, head.length - 4);
  const block = Buffer.concat([head, IPTC]);
  const marker = Buffer.from([0xff, 0xed, 0, 0]);
  marker.writeUInt16BE(block.length + 2, 2);
  return Buffer.concat([jpeg.subarray(0, 2), marker, block, jpeg.subarray(2)]);
}

interface Written {
  readonly bytes: Buffer;
  readonly told: string;
}

/** The result of an input in a format, by the command. */
async function write(
  input: Buffer,
  format: ImageFormat,
  options: Partial<UpscaleCliOptions> = {},
): Promise<Written> {
  const [from, to] = [folder.file("in"), folder.file("out")];
  await writeFile(from, input);
  const { exitCode, told } = await runOn([from], {
    model: folder.path,
    out: to,
    format,
    force: true,
    ...options,
  });
  expect(exitCode).toBe(0);
  return { bytes: await readFile(to), told: told.join("\n") };
}

const isTold = ({ told }: Written, words: RegExp): string => (words.test(told) ? ", told" : "");

/** What a row's words mean, as the files show it. */
const ROWS: Readonly<Record<string, (format: ImageFormat) => Promise<string>>> = {
  pixels: async (format) => {
    const photo = await noise(24, 24).blur(1).png().toBuffer();
    const { bytes, told } = await write(photo, format);
    const [a, b] = await Promise.all([
      sharp(photo).raw().toBuffer(),
      sharp(bytes).raw().toBuffer(),
    ]);
    const small = await sharp(b, {
      raw: { width: 96, height: 96, channels: b.length === 96 * 96 * 4 ? 4 : 3 },
    })
      .removeAlpha()
      .resize(24, 24, { kernel: "nearest" })
      .raw()
      .toBuffer();
    const error = largestError(a, small);
    if (error === 0) return "exact";
    if (/256 colours/.test(told)) return "256 colours, told";
    const { chromaSubsampling } = await sharp(bytes).metadata();
    const quality = format === "avif" ? 90 : 95;
    const chroma =
      format === "webp" ? "4:2:0" : format === "avif" ? avifChroma(bytes) : chromaSubsampling;
    const asked = await write(photo, format, { quality });
    return asked.bytes.equals(bytes) ? `quality ${quality}, ${chroma}` : "another quality";
  },
  "with `--lossless`": async (format) => {
    const photo = await noise(24, 24).png().toBuffer();
    const result = await write(photo, format, { lossless: true }).catch((error: Error) => error);
    if (result instanceof Error)
      return /always loses something/.test(result.message) ? "refused" : "?";
    const out = await sharp(result.bytes).removeAlpha().raw().toBuffer();
    const expected = await sharp(photo).resize(96, 96, { kernel: "nearest" }).raw().toBuffer();
    return largestError(out, expected) === 0 ? "exact" : "lossy";
  },
  "16 bits": async (format) => {
    const deep = await sharp(
      Uint16Array.from({ length: 48 }, (_, i) => 1000 + i * 7),
      {
        raw: { width: 4, height: 4, channels: 3 },
      },
    )
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    const written = await write(deep, format);
    const { depth } = await sharp(written.bytes).metadata();
    return depth === "ushort"
      ? "kept"
      : `8 bits${isTold(written, /is written with 8 bits a channel, not 16/)}`;
  },
  "one channel": async (format) => {
    const grey = await noise(8, 8).toColourspace("b-w").png().toBuffer();
    const { bytes } = await write(grey, format);
    if ((await sharp(bytes).metadata()).channels === 1) return "kept";
    const data = await sharp(bytes).removeAlpha().raw().toBuffer();
    const isNeutral = data.every((value, i) => value === data[i - (i % 3)]);
    return isNeutral ? "neutral RGB" : "coloured";
  },
  transparency: async (format) => {
    const written = await write(await plain(8, 8, 0.5).png().toBuffer(), format);
    const { data, info } = await sharp(written.bytes).raw().toBuffer({ resolveWithObject: true });
    if (info.channels === 3) {
      expect(largestError(data.subarray(0, 3), [228, 178, 153])).toBeLessThan(4); // half of white
      return `on white${isTold(written, /has no transparency; transparent parts become white/)}`;
    }
    const alpha = data[3] as number;
    if (Math.abs(alpha - 127) < 3) return "kept";
    expect([0, 255]).toContain(alpha);
    return `on or off${isTold(written, /no half transparency/)}`;
  },
  "RGB profile": async (format) => {
    const written = await write(png, format);
    const { icc } = await sharp(written.bytes).metadata();
    if (icc?.equals(profile)) return "kept";
    return `to sRGB${isTold(written, /its colours were converted to sRGB by its profile/)}`;
  },
  EXIF: async (format) => {
    const written = await write(png, format);
    const exif = await exifOf(written.bytes, format);
    if (exif === undefined) return `lost${isTold(written, /EXIF.* cannot be kept in/)}`;
    expect([exif.get("0x010f"), exif.get("0x8298")]).toEqual(["Maker", "Somebody"]);
    expect(exif.get("0x0112"), "orientation").toBe("1");
    expect(exif.get("0xa434"), "in a list below").toBe("Lens");
    return "kept";
  },
  XMP: async (format) => {
    const written = await write(png, format);
    const { xmp } = await sharp(written.bytes).metadata();
    if (xmp === undefined) return `lost${isTold(written, /XMP.* cannot be kept in/)}`;
    expect(xmp.toString("utf8")).toBe(XMP.replace('Orientation="6"', 'Orientation="1"'));
    return "kept";
  },
  IPTC: async (format) => {
    const written = await write(withIptc(await plain(4, 4).jpeg().toBuffer()), format);
    const { iptc } = await sharp(written.bytes).metadata();
    const isThere = written.bytes.includes(IPTC);
    if (!isThere) return `lost${isTold(written, /IPTC.* cannot be kept in/)}`;
    expect(iptc?.includes(IPTC), "libvips finds it").toBe(true);
    return "kept";
  },
  resolution: async (format) => {
    const input = withChunks(await plain(4, 4).png().toBuffer(), [
      ["pHYs", Buffer.concat([numbers(11_811, 11_811), Buffer.from([1])])],
    ]);
    const written = await write(input, format);
    const { density } = await sharp(written.bytes).metadata();
    if (density === 300 && format !== "webp") return "kept";
    const exif = await exifOf(written.bytes, format);
    if (exif?.get("0x011a") === "300") return "in EXIF";
    return `lost${isTold(written, /resolution.* cannot be kept in/)}`;
  },
  "PNG text": async (format) => {
    const written = await write(png, format);
    const { comments } = await sharp(written.bytes).metadata();
    if (comments?.length !== 2) return `lost${isTold(written, /PNG text.* cannot be kept in/)}`;
    expect(comments).toEqual([
      { keyword: "Title", text: "hello" },
      { keyword: "Author", text: "me" },
    ]);
    return "kept";
  },
  "JPEG comment": async (format) => {
    const jpeg = await plain(4, 4).jpeg().toBuffer();
    const comment = Buffer.from("\xff\xfe\0\x0dsome words", "latin1");
    comment.writeUInt16BE(comment.length - 2, 2);
    const input = Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)]);
    const written = await write(input, format);
    if (!written.bytes.includes("some words"))
      return `lost${isTold(written, /comments cannot be kept in/)}`;
    expect(written.bytes.includes(comment)).toBe(true);
    return "kept";
  },
  frames: async (format) => {
    const raw = Buffer.concat([30, 120, 220].map((value) => Buffer.alloc(8 * 8 * 3, value)));
    const film = await sharp(raw, { raw: { width: 8, height: 24, channels: 3, pageHeight: 8 } })
      .webp({ loop: 2, delay: [40, 60, 80], lossless: true })
      .toBuffer();
    const written = await write(film, format);
    const { pages = 1, delay, loop } = await sharp(written.bytes).metadata();
    if (pages === 1) return `the first${isTold(written, /2 more frames are left out/)}`;
    expect([pages, delay, loop]).toEqual([3, [40, 60, 80], 2]);
    return "all";
  },
};

/** AV1's configuration says whether chroma is halved. */
function avifChroma(bytes: Buffer): string {
  const at = bytes.indexOf("av1C", 0, "latin1");
  return (((bytes[at + 6] as number) >> 2) & 3) === 0 ? "4:4:4" : "4:2:0";
}

/** EXIF as text by tag: of a TIFF its own tags, of others what libvips finds. */
async function exifOf(
  bytes: Buffer,
  format: ImageFormat,
): Promise<ReadonlyMap<string, string> | undefined> {
  if (format === "tiff") {
    const tags = readTiffTags(bytes);
    return tags.has("0x010f") ? tags : undefined;
  }
  const { exif } = await sharp(bytes).metadata();
  return exif && readTiffTags(exif.toString("latin1", 0, 4) === "Exif" ? exif.subarray(6) : exif);
}

/** The table's words, by row and format. */
async function guideTable(): Promise<ReadonlyMap<string, readonly string[]>> {
  const guide = await readFile(new URL("../../../docs/guide.md", import.meta.url), "utf8");
  const names = FORMAT_NAMES.map((format) => FORMATS[format].name).join(" | ");
  const lines = guide.split("\n");
  const at = lines.indexOf(`| written as | ${names} |`);
  const end = lines.indexOf("", at);
  return new Map(
    lines.slice(at + 2, end).map((line) => {
      const [row = "", ...cells] = line.slice(2, -2).split(" | ");
      return [row, cells] as const;
    }),
  );
}

describe("docs/guide.md: what a result keeps", () => {
  it("has the rows that are tested", async () => {
    expect([...(await guideTable()).keys()]).toEqual(Object.keys(ROWS));
  });

  it.each(Object.keys(ROWS))("%s", async (row) => {
    const shown: string[] = [];
    for (const format of FORMAT_NAMES) shown.push((await ROWS[row]?.(format)) ?? "");
    expect((await guideTable()).get(row)).toEqual(shown);
  });
});

describe("--strip", () => {
  it.each(FORMAT_NAMES.filter((format) => FORMATS[format].hasProfile))(
    "drops all but the profile of a %s",
    async (format) => {
      const { bytes, told } = await write(png, format, { strip: true });
      const { icc, exif, xmp, iptc, comments, orientation } = await sharp(bytes).metadata();
      expect(icc?.equals(profile)).toBe(true);
      expect([exif, xmp, iptc, comments]).toEqual([undefined, undefined, undefined, undefined]);
      expect(orientation ?? 1).toBe(1);
      expect(told).toBe("");
      expect(bytes.includes("Maker")).toBe(false);
    },
  );
});

describe("a result of the input's own format", () => {
  it.each(["png", "jpeg", "webp", "avif", "tiff"] as const)("keeps all of a %s", async (format) => {
    const first = await write(png, format); // a file with all that the format holds
    const second = await write(first.bytes, format);
    const [a, b] = await Promise.all([
      sharp(first.bytes).metadata(),
      sharp(second.bytes).metadata(),
    ]);
    expect([b.icc, b.xmp, b.iptc, b.density, b.comments]).toEqual([
      a.icc,
      a.xmp,
      a.iptc,
      a.density,
      a.comments,
    ]);
    const [before, after] = [await exifOf(first.bytes, format), await exifOf(second.bytes, format)];
    for (const tag of ["0x010f", "0x0112", "0x8298", "0xa434"]) {
      expect(after?.get(tag), tag).toBe(before?.get(tag));
    }
    expect(second.told).toBe("");
  });

  it("tells that a resolution is lost that EXIF beside it does not state", async () => {
    const jpeg = await plain(4, 4)
      .withExif({ IFD0: { Make: "Maker" } })
      .jpeg()
      .toBuffer();
    const exif = Buffer.from((await sharp(jpeg).metadata()).exif?.subarray(6) ?? []);
    // libvips adds a resolution to each EXIF that it writes: here its tags become unknown ones.
    const at = exif.readUInt32LE(4);
    for (let i = 0; i < exif.readUInt16LE(at); i++) {
      const entry = at + 2 + 12 * i;
      if ([0x011a, 0x011b].includes(exif.readUInt16LE(entry)))
        exif.writeUInt16LE(0xfff0 + i, entry);
    }
    const file = withChunks(await plain(4, 4).png().toBuffer(), [
      ["pHYs", Buffer.concat([numbers(11_811, 11_811), Buffer.from([1])])],
      ["eXIf", exif],
    ]);
    expect((await write(file, "webp")).told).toMatch(/the resolution cannot be kept in WebP/);
    expect((await write(file, "tiff")).told).toBe("");
  });

  it("keeps IPTC from a TIFF to a JPEG and back", async () => {
    const tiff = await write(withIptc(await plain(4, 4).jpeg().toBuffer()), "tiff");
    const jpeg = await write(tiff.bytes, "jpeg");
    const back = await write(jpeg.bytes, "tiff");
    expect([jpeg.bytes.includes(IPTC), back.bytes.includes(IPTC)]).toEqual([true, true]);
  });

  it("lets a lossless WebP lossless, unless a quality is asked for", async () => {
    const edge = await sharp(Buffer.from("00ff00ff".repeat(48), "hex"), {
      raw: { width: 8, height: 8, channels: 3 },
    })
      .webp({ lossless: true })
      .toBuffer();
    const kind = async (options: Partial<UpscaleCliOptions>) =>
      (await write(edge, "webp", options)).bytes.includes("VP8L") ? "lossless" : "lossy";
    expect([await kind({}), await kind({ quality: 80 }), await kind({ lossless: true })]).toEqual([
      "lossless",
      "lossy",
      "lossless",
    ]);
  });
});
