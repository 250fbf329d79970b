import { describe, expect, it } from "vitest";
import { formatOfKind, formatOfPath, isImageName } from "../../../cli/image/formats.ts";
import { recognise } from "../../../cli/image/kinds.ts";
import { plain } from "../support/image-files.ts";

const of = (text: string): ReturnType<typeof recognise> => recognise(Buffer.from(text, "latin1"));
const box = (...brands: readonly string[]): string =>
  `\0\0\0${String.fromCharCode(8 + 4 * (brands.length + 1))}ftyp${brands[0]}\0\0\0\0${brands.slice(1).join("")}`;

describe("recognise", () => {
  it.each(["png", "jpeg", "webp", "gif", "tiff", "avif"] as const)("knows a %s", async (kind) => {
    expect(recognise(await plain(4, 4)[kind]().toBuffer())).toEqual({ kind });
  });

  it.each([
    ["AVIF by its second brand", box("mif1", "miaf", "avif"), "avif"],
    ["an AVIF sequence", box("avis", "msf1"), "avif"],
    ["HEIC", box("heic", "mif1"), "heic"],
    ["HEIC by its second brand", box("mif1", "heic"), "heic"],
    ["a big TIFF", "II+\0\x08\0\0\0", "tiff"],
  ] as const)("knows %s", (_name, text, kind) => {
    expect(of(text)).toEqual({ kind });
  });

  it.each([
    ["\xff\x0a", "a JPEG XL image"],
    ["\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"],
    ["\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"],
    ["8BPS\0\x01", "a Photoshop document"],
    ["\0\0\x01\0\x01\0", "an icon (ICO)"],
    ["%PDF-1.7", "a PDF document"],
    ["\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a --><svg xmlns=''>", "an SVG drawing"],
    ["  <svg>", "an SVG drawing"],
    ["II*\0\x10\0\0\0CR\x02\0", "a Canon camera raw file (CR2)"],
    [box("crx ", "isom"), "a Canon camera raw file (CR3)"],
    ["FUJIFILMCCD-RAW 0201", "a Fujifilm camera raw file (RAF)"],
    ["IIRO\x08\0\0\0", "an Olympus camera raw file (ORF)"],
    [dng(), "a camera raw file (DNG)"],
    [box("isom", "mp42"), "a video (MP4 or QuickTime)"],
    [box("qt  "), "a video (MP4 or QuickTime)"],
    ["RIFF\0\0\0\0AVI LIST", "a video (AVI)"],
    ["\x1aE\xdf\xa3", "a video (Matroska or WebM)"],
    ["PK\x03\x04", "an archive (ZIP)"],
    ["P6\n4 4\n255\n", "a PNM image"],
    ["#?RADIANCE\n", "a Radiance HDR image"],
    ["v/1\x01", "an OpenEXR image"],
    ["version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"],
    ["<!DOCTYPE html>", "a web page"],
  ])("names %j, and says what to do", (text, unread) => {
    expect(of(text)).toEqual({ unread, advice: expect.stringMatching(/^[A-Z].*[^.]$/) });
  });

  it.each([
    "",
    "hello",
    "BM",
    "BM is how this text begins, and goes on for long",
    "\0\0\0\0ftyp",
    "II*\0",
  ])("survives %j", (text) => {
    const found = of(text);
    if (found !== undefined) expect("kind" in found || "unread" in found).toBe(true);
  });
});

describe("formats", () => {
  it.each([
    ["a.png", "png"],
    ["a.JPG", "jpeg"],
    ["a.jpe", "jpeg"],
    ["a.jfif", "jpeg"],
    ["a.webp", "webp"],
    ["a.avif", "avif"],
    ["a.tif", "tiff"],
    ["a.TIFF", "tiff"],
    ["a.gif", "gif"],
    ["a.bmp", undefined],
    ["a", undefined],
  ])("%s is written as %s", (name, format) => {
    expect(formatOfPath(name)).toBe(format);
  });

  it("knows names that are only read", () => {
    expect(["a.bmp", "a.heic", "a.JFIF"].every(isImageName)).toBe(true);
    expect(["a.txt", "a", "png"].some(isImageName)).toBe(false);
    expect([formatOfKind("bmp"), formatOfKind("heic"), formatOfKind("gif")]).toEqual([
      "png",
      "png",
      "gif",
    ]);
  });
});

/** The first bytes of a DNG: a TIFF with the tag DNGVersion. */
function dng(): string {
  const bytes = Buffer.alloc(22);
  bytes.write("II*\0\x08\0\0\0", "latin1");
  bytes.writeUInt16LE(1, 8);
  bytes.writeUInt16LE(0xc612, 10);
  bytes.writeUInt16LE(1, 12);
  bytes.writeUInt32LE(4, 14);
  return bytes.toString("latin1");
}
