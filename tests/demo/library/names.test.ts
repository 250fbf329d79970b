/** What results are called, what a drop is taken for, and what the address says. */
import { describe, expect, it } from "vitest";
import { hashWith } from "../../../demo/library/address.ts";
import {
  droppedFiles,
  looksLikePicture,
  skippedNote,
  sortFiles,
} from "../../../demo/library/intake.ts";
import { createUniqueNames, resultFileName } from "../../../demo/library/names.ts";
import { DEFAULT_SETTINGS, hasSettings } from "../../../demo/settings.ts";
import { UPSCALE } from "./support.ts";

const MASK = { width: 1, height: 1, data: new Uint8Array([255]), realism: 1 };

describe("the name of a result", () => {
  it.each([
    ["boats.png", { realism: 0.75 }, "boats-x4-realism-0.75.png"],
    ["boats.png", { realism: "auto" }, "boats-x4-auto.png"],
    ["boats.png", { realism: 0, scale: 2 }, "boats-x2-realism-0.png"],
    ["boats.png", { mask: MASK }, "boats-x4-realism-0.5-masked.png"],
    ["boats.png", { colorFix: "wavelet", seed: 7 }, "boats-x4-realism-0.5-wavelet-seed-7.png"],
    ["my.photo.2024.jpeg", {}, "my.photo.2024-x4-realism-0.5.png"],
    ["a/b\\c:d.png", {}, "a-b-c-d-x4-realism-0.5.png"],
    ["..", {}, "picture-x4-realism-0.5.png"],
    ["Pasted picture", {}, "Pasted picture-x4-realism-0.5.png"],
    ["Straße 東京.webp", {}, "Straße 東京-x4-realism-0.5.png"],
  ] as const)("%s %o", (picture, settings, name) => {
    expect(resultFileName(picture, { ...UPSCALE, ...settings }, "image/png")).toBe(name);
  });

  it("ends as the format does", () => {
    expect(resultFileName("a.png", UPSCALE, "image/jpeg")).toMatch(/\.jpg$/);
    expect(resultFileName("a.png", UPSCALE, "image/webp")).toMatch(/\.webp$/);
  });

  it("is there once, also where case does not count", () => {
    expect(["a.png", "A.png", "a.png", "a-2.png"].map(createUniqueNames())).toEqual([
      "a.png",
      "A-2.png",
      "a-3.png",
      "a-2-2.png",
    ]);
  });
});

describe("files that come", () => {
  const file = (name: string, type: string, bytes: readonly number[] = [1, 2, 3]): File =>
    new File([new Uint8Array(bytes)], name, { type });
  const PNG = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10];

  it("are pictures by their type, or without one by their bytes", async () => {
    const files = [
      file("a.png", "image/png"),
      file("b", "", PNG),
      file("c", "application/octet-stream", PNG),
      file("d.pdf", "application/pdf", PNG),
      file("e.txt", ""),
      file("f", "", []),
    ];
    const { pictures, others } = await sortFiles(files);
    expect(pictures.map(({ name }) => name)).toEqual(["a.png", "b", "c"]);
    expect(others).toEqual(["d.pdf", "e.txt", "f"]);
  });

  it("come out of folders, in order, without what systems put there", async () => {
    const fileEntry = (name: string) => ({
      name,
      isDirectory: false,
      file: (done: (found: File) => void) => done(file(name, "image/png")),
    });
    const folder = (name: string, entries: readonly unknown[]) => ({
      name,
      isDirectory: true,
      createReader: () => {
        // A reader gives a few at a time.
        const left = [...entries];
        return { readEntries: (done: (some: unknown[]) => void) => done(left.splice(0, 2)) };
      },
    });
    const entries = [
      folder("trip", [
        fileEntry("2.png"),
        fileEntry(".DS_Store"),
        folder("inner", [fileEntry("3.png")]),
        fileEntry("1.png"),
        fileEntry("Thumbs.db"),
      ]),
      fileEntry("alone.png"),
    ];
    const items = entries.map((entry) => ({
      kind: "file",
      webkitGetAsEntry: () => entry,
      getAsFile: () => file(entry.name, "image/png"),
    }));
    const text = { kind: "string", webkitGetAsEntry: () => null, getAsFile: () => null };
    const files = await droppedFiles({ items: [...items, text] } as unknown as DataTransfer);
    expect(files.map(({ name }) => name)).toEqual(["1.png", "2.png", "3.png", "alone.png"]);
  });

  it.each([
    ["JPEG", "\u00FF\u00D8\u00FF\u00E0"],
    ["WebP", "RIFF0000WEBPVP8 "],
    ["AVIF", "0000ftypavif"],
    ["HEIC", "0000ftypheic"],
    ["GIF", "GIF89a"],
  ])("begin as %s does", (_, text) => {
    expect(looksLikePicture(Uint8Array.from(text, (c) => c.charCodeAt(0)))).toBe(true);
    expect(looksLikePicture(Uint8Array.from(`x${text}`, (c) => c.charCodeAt(0)))).toBe(false);
  });

  it("are named where they are left out, in one sentence", () => {
    const pictures = [file("a.png", "image/png")];
    expect(skippedNote({ pictures, others: [] })).toBeNull();
    expect(skippedNote({ pictures, others: ["b.txt"] })).toBe(
      "b.txt is not a picture and was left out. The pictures are here.",
    );
    expect(skippedNote({ pictures: [], others: ["b", "c", "d", "e"] })).toBe(
      "b, c and 2 more are not pictures and were left out.",
    );
    expect(skippedNote({ pictures: [], others: [] })).toBe("There was no picture in it.");
  });
});

describe("the address", () => {
  it("has the settings in place of the old ones, and keeps the rest", () => {
    const settings = { ...DEFAULT_SETTINGS, realism: 0.25 };
    expect(hashWith("#tab=inside&realism=1&seed=3", settings)).toBe("#tab=inside&realism=0.25");
    expect(hashWith("", DEFAULT_SETTINGS)).toBe("");
    expect(hashWith("#realism=1", DEFAULT_SETTINGS)).toBe("");
  });

  it("says whether it has any", () => {
    expect(hasSettings("#tab=inside")).toBe(false);
    expect(hasSettings("")).toBe(false);
    expect(hasSettings("#tab=inside&realism=0.5")).toBe(true);
  });
});
