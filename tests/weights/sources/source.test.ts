import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fileSource, folderFiles } from "../../../src/weights/sources/node-source.ts";
import { allocateBytes, blobSource, bytesSource } from "../../../src/weights/sources/source.ts";
import type { ByteSource } from "../../../src/weights/sources/source.ts";
import { failureOf, utf8 } from "../samples.ts";

const content = utf8("0123456789");
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weights-"));
  await mkdir(join(folder, "unet"));
  await writeFile(join(folder, "unet/digits.bin"), content);
});
afterAll(() => rm(folder, { recursive: true }));

const kinds: readonly [string, () => ByteSource | Promise<ByteSource>][] = [
  ["bytesSource", () => bytesSource("digits.bin", content)],
  ["blobSource", () => blobSource("digits.bin", new Blob([content]))],
  ["fileSource", () => fileSource(join(folder, "unet/digits.bin"))],
];

describe.each(kinds)("%s", (_, open) => {
  test("reads exactly what is asked for, also at the same time", async () => {
    const source = await open();
    expect(source.byteLength).toBe(10);
    expect(source.name).toMatch(/digits\.bin$/);
    const parts = await Promise.all([source.read(3, 4), source.read(0, 10), source.read(10, 0)]);
    expect(parts.map((part) => new TextDecoder().decode(part))).toEqual(["3456", "0123456789", ""]);
    await source.close();
  });

  test.each([
    [0, 11],
    [10, 1],
    [11, 0],
    [-1, 2],
    [0, -1],
    [0.5, 1],
    [0, 1.5],
    [NaN, 1],
    [0, Infinity],
    [2 ** 53, 2 ** 53],
  ])("refuses bytes %d + %d", async (offset, length) => {
    const source = await open();
    expect(await failureOf(() => source.read(offset, length))).toMatch(
      /^weights: read must lie inside the file, got bytes .* of 10 \(".*digits\.bin"\)$/,
    );
    await source.close();
  });

  test("cannot be read once closed; closing again does nothing", async () => {
    const source = await open();
    await source.close();
    await source.close();
    expect(await failureOf(() => source.read(0, 1))).toMatch(/file is closed \(".*digits\.bin"\)/);
  });

  test("an aborted signal stops it with its reason", async () => {
    const source = await open();
    const reason = new Error("stop");
    await expect(source.read(0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
    await source.close();
  });
});

describe("bytesSource", () => {
  test("gives views, also of a part of a buffer", async () => {
    const source = bytesSource("x", content.subarray(2, 6));
    const part = await source.read(1, 2);
    expect(part.buffer).toBe(content.buffer);
    expect([...part]).toEqual([0x33, 0x34]);
  });
});

describe("blobSource", () => {
  test("says when the file has changed on disk", async () => {
    const blob = new Blob([content]);
    const broken = {
      size: 10,
      slice: () => ({
        arrayBuffer: () => Promise.reject(new DOMException("x", "NotReadableError")),
      }),
    } as unknown as Blob;
    const short = { size: 10, slice: () => blob.slice(0, 1) } as unknown as Blob;
    expect(await failureOf(() => blobSource("b", broken).read(0, 4))).toMatch(
      /cannot be read, got NotReadableError: x \("b"\)\. If it was changed or moved, choose it again/,
    );
    expect(await failureOf(() => blobSource("b", short).read(2, 4))).toMatch(
      /read gave 1 of 4 bytes at 2 \("b"\)/,
    );
  });
});

describe("fileSource", () => {
  test("says when the file is absent or a folder", async () => {
    expect(await failureOf(() => fileSource(join(folder, "none")))).toMatch(
      /file must exist \(".*no/,
    );
    expect(await failureOf(() => fileSource(folder))).toMatch(/file must exist/);
  });

  test("says when the file was cut while open", async () => {
    const path = join(folder, "cut.bin");
    await writeFile(path, content);
    const source = await fileSource(path);
    await truncate(path, 4);
    expect(await failureOf(() => source.read(2, 6))).toMatch(
      /read gave 2 of 6 bytes at 2 .*was cut/,
    );
    await source.close();
  });

  test("passes other failures of the system on", async () => {
    expect(await failureOf(() => fileSource("a\0b"))).toMatch(/cannot be opened, got .*null bytes/);
  });
});

describe("folderFiles", () => {
  test("opens below its folder only", async () => {
    const files = folderFiles(join(folder, "unet"));
    const source = await files.open("digits.bin");
    expect(await source?.read(9, 1)).toEqual(Uint8Array.of(0x39));
    await source?.close();
    expect(await files.open("none.bin")).toBeNull();
    expect(await files.open("digits.bin/x")).toBeNull();
    expect(await folderFiles(folder).open("unet")).toBeNull();
    expect(await failureOf(() => files.open("../unet/digits.bin"))).toMatch(/must be relative/);
    expect(await failureOf(() => files.open("/etc/hostname"))).toMatch(/must be relative/);
  });
});

test("allocateBytes says what is too large", async () => {
  expect(await failureOf(() => allocateBytes(2 ** 50, "x"))).toMatch(
    /no memory for 1125899906842624 bytes at once \("x"\)\. Read it in ranges/,
  );
});
