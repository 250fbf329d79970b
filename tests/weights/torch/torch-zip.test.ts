import { describe, expect, test } from "vitest";
import { bytesSource } from "../../../src/weights/sources/source.ts";
import { readZipDirectory, zipDataOffset } from "../../../src/weights/torch/torch-zip.ts";
import { failureOf, utf8 } from "../samples.ts";
import type { ZipOptions } from "./torch-samples.ts";
import { zipOf } from "./torch-samples.ts";

const ENTRIES: readonly (readonly [string, Uint8Array])[] = [
  ["top/data.pkl", utf8("pickle")],
  ["top/data/0", utf8("0123456789")],
  ["top/.data/serialization_id", utf8("")],
];

/** The text of every entry. */
async function textsOf(file: Uint8Array): Promise<Record<string, string>> {
  const source = bytesSource("x.zip", file);
  const texts: Record<string, string> = {};
  for (const [name, entry] of await readZipDirectory(source)) {
    const at = await zipDataOffset(source, entry);
    texts[name] = new TextDecoder().decode(await source.read(at, entry.byteLength));
  }
  return texts;
}

const TEXTS = { "data.pkl": "pickle", "data/0": "0123456789", ".data/serialization_id": "" };

describe("archives", () => {
  test.each<[string, ZipOptions]>([
    ["plain", {}],
    ["with zip64 sizes and end records", { zip64: true }],
    ["with a comment", { comment: "made by hand" }],
    ["with the longest comment", { comment: "x".repeat(65535), zip64: true }],
  ])("%s", async (_name, options) => {
    expect(await textsOf(zipOf(ENTRIES, options))).toEqual(TEXTS);
  });

  test("with zip64 end records beside complete classic ones", async () => {
    const file = zipOf(ENTRIES, { zip64: true });
    const plain = zipOf(ENTRIES);
    const view = new DataView(file.buffer, file.byteLength - 22);
    const end64 = new DataView(file.buffer, file.byteLength - 98);
    view.setUint16(10, new DataView(plain.buffer, plain.byteLength - 22).getUint16(10, true), true);
    view.setUint32(12, Number(end64.getBigUint64(40, true)), true);
    view.setUint32(16, Number(end64.getBigUint64(48, true)), true);
    expect(await textsOf(file)).toEqual(TEXTS);
    view.setUint32(12, 1, true);
    expect(await failureOf(() => textsOf(file))).toMatch(/two end records must agree/);
  });

  test("of any top folder, also in other letters", async () => {
    const name = "模型 1";
    const entries = ENTRIES.map(([path, data]) => [path.replace("top", name), data] as const);
    expect(await textsOf(zipOf(entries))).toEqual(TEXTS);
  });
});

/** Finds a record by its signature; the last one of that kind unless `first`. */
function record(file: Uint8Array<ArrayBuffer>, signature: number, first = false): DataView {
  const view = new DataView(file.buffer);
  const found: number[] = [];
  for (let at = 0; at + 4 <= file.byteLength; at++) {
    if (view.getUint32(at, true) === signature) found.push(at);
  }
  return new DataView(file.buffer, (first ? found[0] : found.at(-1)) ?? expect.fail("no record"));
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;

describe("refused archives", () => {
  const defects: readonly [
    string,
    (file: Uint8Array<ArrayBuffer>) => unknown,
    RegExp,
    ZipOptions?,
  ][] = [
    ["no end record", (f) => record(f, END).setUint32(0, 0), /no end record.*truncated/],
    ["a comment that is cut", (f) => record(f, END).setUint16(20, 5, true), /no end record/],
    ["a wrong count", (f) => record(f, END).setUint16(10, 2, true), /have 2 entries, got 3/],
    ["no entries", (f) => record(f, END).setUint16(10, 0, true), /for 0 entries/],
    ["too many entries", (f) => record(f, END).setUint16(10, 60000, true), /for 60000 entries/],
    ["a directory elsewhere", (f) => record(f, END).setUint32(16, 3, true), /must end at byte/],
    ["a longer directory", (f) => record(f, END).setUint32(12, 9999, true), /must end at byte/],
    ["no directory entry", (f) => record(f, CENTRAL).setUint8(0, 0), /broken at entry 2/],
    ["a long name", (f) => record(f, CENTRAL).setUint16(28, 999, true), /broken at entry 2/],
    ["a long extra field", (f) => record(f, CENTRAL).setUint16(30, 999, true), /broken at entry 2/],
    ["a name that is no text", (f) => record(f, CENTRAL).setUint8(46, 0xff), /must be UTF-8/],
    ["an encrypted entry", (f) => record(f, CENTRAL).setUint16(8, 1, true), /got encryption/],
    [
      "a deflated entry",
      (f) => record(f, CENTRAL).setUint16(10, 8, true),
      /got compression method 8/,
    ],
    ["two sizes", (f) => record(f, CENTRAL).setUint32(20, 3, true), /one size, got 0 and 3/],
    [
      "an entry that reaches into the next",
      (f) => {
        const entry = record(f, CENTRAL, true);
        entry.setUint32(20, 100, true);
        entry.setUint32(24, 100, true);
      },
      /"top\/data.pkl" of 100 bytes at 0 must end before byte \d+/,
    ],
    [
      "two entries in one place",
      (f) => record(f, CENTRAL).setUint32(42, 0, true),
      /of \d+ bytes at 0 must end before byte 0/,
    ],
    ["an entry behind the end", (f) => record(f, CENTRAL).setUint32(42, 9e8, true), /end before/],
    [
      "no local header",
      (f) => record(f, LOCAL, true).setUint8(3, 0),
      /byte 0 must begin the local/,
    ],
    ["another local name", (f) => record(f, LOCAL, true).setUint8(30, 65), /the local header/],
    ["another name length", (f) => record(f, LOCAL, true).setUint16(26, 9, true), /local header/],
    ["local deflation", (f) => record(f, LOCAL, true).setUint16(8, 8, true), /got compression/],
    [
      "a local extra field that pushes the data into the next entry",
      (f) => record(f, LOCAL, true).setUint16(28, 90, true),
      /data must end before byte \d+, got bytes \d+ \+ 6 \(entry "top\/data.pkl"/,
    ],
    [
      "no zip64 sizes",
      (f) => record(f, CENTRAL).setUint32(24, 0xffffffff, true),
      /zip64 sizes are missing/,
    ],
    [
      "too few zip64 sizes",
      (f) => new DataView(f.buffer, record(f, CENTRAL).byteOffset + 46 + 26).setUint16(2, 16, true),
      /zip64 sizes are missing/,
      { zip64: true },
    ],
    [
      "a size beyond every file",
      (f) => {
        const at = record(f, CENTRAL).byteOffset + 46 + 26 + 4;
        for (const field of [0, 8]) new DataView(f.buffer, at).setBigUint64(field, 2n ** 63n, true);
      },
      /of Infinity bytes/,
      { zip64: true },
    ],
    ["no zip64 end", (f) => record(f, END64).setUint8(0, 0), /must agree/, { zip64: true }],
    [
      "a locator of something else",
      (f) => record(f, LOCATOR64).setUint8(8, 1),
      /must agree/,
      { zip64: true },
    ],
    ["a prefix", (f) => record(f, END64).setUint8(48, 1), /must end at/, { zip64: true }],
  ];
  test.each(defects)("%s", async (_name, damage, message, options = {}) => {
    const file = zipOf(ENTRIES, options);
    damage(file);
    expect(await failureOf(() => textsOf(file))).toMatch(message);
    expect(await failureOf(() => textsOf(file))).toContain('"x.zip"');
  });

  test.each([
    "../evil",
    "top/../evil",
    "/top/evil",
    "top//evil",
    "top/",
    "top\\evil",
    "C:evil",
    "top/a\0b",
    "",
  ])("the name %j", async (name) => {
    const file = zipOf([...ENTRIES, [name, utf8("x")]]);
    expect(await failureOf(() => textsOf(file))).toMatch(/names in an archive must be relative/);
  });

  test("two top folders, or an entry in none", async () => {
    for (const name of ["topper/x", "other/x", "x"]) {
      const file = zipOf([...ENTRIES, [name, utf8("x")]]);
      expect(await failureOf(() => textsOf(file))).toMatch(/lie in one folder, got ".*x" beside/);
    }
  });

  test("a name twice", async () => {
    const file = zipOf([...ENTRIES, ["top/data/0", utf8("x")]]);
    expect(await failureOf(() => textsOf(file))).toMatch(/entry "top\/data\/0" is twice/);
  });

  test("every cut", async () => {
    const file = zipOf(ENTRIES, { zip64: true });
    for (let length = 0; length < file.byteLength; length++) {
      expect(await failureOf(() => textsOf(file.slice(0, length)))).toMatch(/no end record/);
    }
  });
});

test("the local header must not give another size than the directory", async () => {
  const withLocalSize = (size: number): Uint8Array => {
    const file = zipOf(ENTRIES);
    new DataView(file.buffer).setUint32(18, size, true);
    new DataView(file.buffer).setUint32(22, size, true);
    return file;
  };
  for (const size of [0, 6, 0xffffffff]) expect(await textsOf(withLocalSize(size))).toEqual(TEXTS);
  expect(await failureOf(() => textsOf(withLocalSize(7)))).toMatch(
    /local header must give the directory's 6 bytes, got 7 \(entry "top\/data.pkl"/,
  );
});
