/** Models in the browser's storage: what is fetched, what is not, and what happens when something is wrong. */
import { createHash } from "node:crypto";
import type { Page } from "puppeteer-core";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Checksums } from "../../cli/convert/checksums.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { MANIFEST } from "../../src/weights/sources/listing.ts";
import { PIECE_BYTES } from "../../src/weights/sources/manifest.ts";
import type { ReadOptions, ReadReport } from "./page/main.ts";
import { builtPage, useBrowser } from "./support.ts";

const browser = await useBrowser();

/** Two pieces and a bit; no two alike. */
function contentOf(seed: number): Uint8Array {
  const words = new Uint32Array((2 * PIECE_BYTES + 4096) / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b9);
  return new Uint8Array(words.buffer);
}
const content = contentOf(1);
const replaced = contentOf(2);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A folder as `rcod convert` writes it. */
function converted(files: Readonly<Record<string, Uint8Array>>): Map<string, Uint8Array> {
  const entries = Object.entries(files).map(([path, bytes]) => {
    const checksums = new Checksums();
    checksums.update(bytes);
    return { path, bytes: bytes.byteLength, ...checksums.digest() };
  });
  const manifest = JSON.stringify({ piece_bytes: PIECE_BYTES, files: entries });
  return new Map([...Object.entries(files), [MANIFEST, new TextEncoder().encode(manifest)]]);
}

describe.skipIf(browser === null)("the cache of a page", () => {
  const files = new Map<string, Uint8Array>();
  let page: Page;

  beforeAll(async () => {
    browser!.server.mount("page", await builtPage("tests/browser/page"));
    browser!.server.mount("m", memoryFiles(files));
  });
  const openPage = async (): Promise<void> => {
    ({ page } = await browser!.open("/page/"));
    browser!.server.clear();
  };
  const serve = (served: Iterable<readonly [string, Uint8Array]>): void => {
    files.clear();
    for (const [path, bytes] of served) files.set(path, bytes);
  };
  beforeEach(async () => {
    serve(converted({ "w.bin": content, "unet/config.json": new Uint8Array([0x7b, 0x7d]) }));
    await openPage();
  });
  afterEach(() => page.evaluate(() => rcod.clear()));

  const read = async (path = "w.bin", options: ReadOptions = {}): Promise<ReadReport> => {
    browser!.server.clear();
    return page.evaluate(
      (...args) => rcod.read(...args),
      `${browser!.server.address}/m`,
      path,
      options,
    );
  };
  const whole = { sha256: [sha256(content)], warnings: [], error: null };
  /** Bytes that were sent of weights, by the server's own account. */
  const sentBytes = (path = "/m/w.bin"): number =>
    browser!.server.requests
      .filter((request) => request.path === path)
      .reduce((sum, { bytes }) => sum + bytes, 0);

  it("fetches every byte once, and the second time none", async () => {
    expect(await read()).toMatchObject(whole);
    expect(sentBytes()).toBe(content.byteLength + 1); // and one to see whether there are ranges
    await openPage(); // nothing is left in memory
    expect(await read()).toMatchObject(whole);
    expect(browser!.server.requests.map(({ path }) => path)).toEqual(["/m/manifest.json"]);
  });

  it("needs no network then, not for what was not stored either but to say so", async () => {
    await read();
    browser!.server.isDown = true;
    expect(await read()).toMatchObject(whole);
    expect(await read("mem/config.json")).toMatchObject({ sha256: [], error: null }); // not listed
    expect(await read("unet/config.json")).toMatchObject({
      error: expect.stringMatching(/must be reachable/),
    });
  });

  it.each([["with checksums"], ["without"]])("goes on where it was cut: %s", async (checksums) => {
    if (checksums === "without") serve([["w.bin", content]]);
    // The second piece breaks off every time it is asked for.
    browser!.server.fault = (_path, range) =>
      range?.[0] === PIECE_BYTES ? { cutAfter: 2 ** 20 } : null;
    expect(await read()).toMatchObject({ error: expect.stringMatching(/body ended after/) });
    browser!.server.fault = null;
    await openPage();
    expect(await read()).toMatchObject(whole);
    expect(sentBytes()).toBe(content.byteLength - PIECE_BYTES + 1);
  });

  it("stops when it is aborted, and goes on another time", async () => {
    const chunked = { chunkBytes: PIECE_BYTES };
    // The second piece is asked for already, and never comes.
    browser!.server.fault = (_path, range) =>
      range?.[0] === PIECE_BYTES ? { isStuck: true } : null;
    const stopped = await read("w.bin", { ...chunked, abortedChunk: 1 });
    expect(stopped).toMatchObject({ error: "stopped", sha256: [expect.any(String)] });
    browser!.server.fault = null;
    expect(await read()).toMatchObject(whole);
    expect(sentBytes()).toBe(content.byteLength - PIECE_BYTES + 1);
  });

  it("starts over where the server has another version", async () => {
    serve([["w.bin", content]]);
    browser!.server.fault = (_path, range) => (range?.[0] === PIECE_BYTES ? { status: 503 } : null);
    expect(await read()).toMatchObject({ error: expect.stringMatching(/HTTP 503/) });
    browser!.server.fault = null;
    serve([["w.bin", replaced]]);
    expect(await read()).toMatchObject({ ...whole, sha256: [sha256(replaced)] });
    expect(sentBytes()).toBe(replaced.byteLength + 1);
    expect(await page.evaluate(() => rcod.list())).toMatchObject([{ bytes: replaced.byteLength }]);
  });

  it("fetches of a new manifest what has changed, and drops what is gone", async () => {
    const other = contentOf(3);
    serve(converted({ "w.bin": content, "other.bin": other, "gone.bin": content }));
    for (const path of ["w.bin", "other.bin", "gone.bin"]) await read(path);
    serve(converted({ "w.bin": content, "other.bin": replaced }));
    expect(await read()).toMatchObject(whole);
    expect(sentBytes()).toBe(0);
    expect(await read("other.bin")).toMatchObject({ ...whole, sha256: [sha256(replaced)] });
    expect(sentBytes("/m/other.bin")).toBe(replaced.byteLength + 1);
    expect(await read("gone.bin")).toMatchObject({ sha256: [], error: null });
    const [{ bytes } = { bytes: 0 }] = await page.evaluate(() => rcod.list());
    expect(bytes).toBe(2 * content.byteLength + files.get(MANIFEST)!.byteLength);
  });

  it("refuses what is not what the manifest says, and stores none of it", async () => {
    files.set("w.bin", replaced);
    expect(await read()).toMatchObject({
      error: expect.stringMatching(
        /^WeightsError: weights: bytes 0 to 4194303 must have the sha256 [0-9a-f]{64} of the manifest, got /,
      ),
    });
    files.set("w.bin", content.subarray(1));
    expect(await read()).toMatchObject({
      error: expect.stringMatching(/of 8392704 bytes, got 8392703 bytes/),
    });
    files.delete("w.bin");
    expect(await read()).toMatchObject({ error: expect.stringMatching(/got HTTP 404/) });
    files.set("w.bin", content);
    expect(await read()).toMatchObject(whole);
  });

  /** Overwrites the stored pieces of that length, at one byte or by cutting them. */
  const damage = (length: number, how: "flip" | "cut"): Promise<number> =>
    page.evaluate(
      async (size, kind) => {
        let count = 0;
        const visit = async (directory: FileSystemDirectoryHandle): Promise<void> => {
          for await (const handle of directory.values()) {
            if (handle.kind === "directory") await visit(handle);
            else if ((await handle.getFile()).size === size + 32) {
              const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
              bytes[1000]! ^= 1;
              const writable = await handle.createWritable();
              await writable.write(kind === "cut" ? bytes.subarray(0, 999) : bytes);
              await writable.close();
              count++;
            }
          }
        };
        await visit(await navigator.storage.getDirectory());
        return count;
      },
      length,
      how,
    );

  it.each([["flip"], ["cut"]] as const)(
    "fetches a damaged piece again, only it: %s",
    async (how) => {
      await read();
      expect(await damage(4096, how)).toBe(1); // the last one
      expect(await read()).toMatchObject(whole);
      expect(sentBytes()).toBe(4096 + 1);
      await read();
      expect(sentBytes()).toBe(0);
    },
  );

  const runsWithout = async (reason: RegExp): Promise<void> => {
    const warnings = [expect.stringMatching(reason)];
    expect(await read()).toMatchObject({ ...whole, warnings });
    expect(await read()).toMatchObject({ ...whole, warnings });
    expect(sentBytes()).toBeGreaterThanOrEqual(content.byteLength);
  };

  it("asks for room first, and runs from the network where there is none", async () => {
    const session = await page.createCDPSession();
    const origin = browser!.server.address;
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 8e6 });
    await runsWithout(/is not stored: it needs 839\d{4} bytes, the browser has room for 79\d{5}$/);
    const [stored] = await page.evaluate(() => rcod.list());
    expect(stored?.bytes).toBe(files.get(MANIFEST)?.byteLength);
    // A browser that promises more than it keeps.
    await page.evaluate(() => {
      navigator.storage.estimate = async () => ({ quota: 1e9, usage: 0 });
    });
    expect(await read()).toMatchObject({
      ...whole,
      warnings: [expect.stringMatching(/QuotaExceededError/)],
    });
    await session.send("Storage.overrideQuotaForOrigin", { origin });
    expect(await read()).toMatchObject(whole);
  });

  it("runs from the network where there is no storage", async () => {
    await page.evaluate(() => {
      navigator.storage.getDirectory = async () => {
        throw new DOMException("no", "SecurityError");
      };
    });
    await runsWithout(/refuses it, as in private windows \(SecurityError: no\)/);
    expect(await page.evaluate(() => rcod.list())).toEqual([]);
    await page.evaluate(() => Object.defineProperty(navigator, "storage", { value: undefined }));
    await runsWithout(/it needs https or localhost/);
  });

  it("stores nothing of a server that tells no version", async () => {
    serve([["w.bin", content]]);
    browser!.server.fault = () => ({ anonymous: true });
    await runsWithout(/tells no version of .*w\.bin \(ETag or Last-Modified\)/);
  });

  it("stores files of a server without ranges too", async () => {
    browser!.server.fault = () => ({ ignoreRange: true });
    expect(await read()).toMatchObject(whole);
    await read();
    expect(sentBytes()).toBe(0);
  });

  it("stores plain folders by ETag, with what they lack, and single files", async () => {
    serve([["w.bin", content]]);
    for (const options of [{}, { isSingle: true }]) {
      expect(await read("w.bin", options)).toMatchObject(whole);
      expect(await read("w.bin", options)).toMatchObject(whole);
      expect(sentBytes()).toBe(1); // the question whether it is still the same
      expect(await read("none.bin")).toMatchObject({ sha256: [], error: null });
      browser!.server.isDown = true;
      expect(await read("w.bin", options)).toMatchObject(whole);
      expect(await read("none.bin")).toMatchObject({ sha256: [], error: null });
      browser!.server.isDown = false;
    }
  });

  it("knows single files by their query, or by the key that is given", async () => {
    serve([["w.bin", content]]);
    const single = { isSingle: true };
    expect(await read("w.bin?f=a", single)).toMatchObject(whole);
    serve([["w.bin", replaced]]);
    expect(await read("w.bin?f=b", single)).toMatchObject({ sha256: [sha256(replaced)] });
    browser!.server.isDown = true;
    expect(await read("w.bin?f=a", single)).toMatchObject(whole);
    expect(await read("w.bin?f=b", single)).toMatchObject({ sha256: [sha256(replaced)] });
    browser!.server.isDown = false;
    await page.evaluate(() => rcod.clear());
    const cacheKey = `${browser!.server.address}/m/w.bin`;
    await read("w.bin?signature=1", { ...single, cacheKey });
    expect(await read("w.bin?signature=2", { ...single, cacheKey })).toMatchObject({ error: null });
    expect(sentBytes()).toBe(1);
    expect(await page.evaluate(() => rcod.list())).toMatchObject([{ url: cacheKey }]);
    await page.evaluate((key) => rcod.clear(key), cacheKey);
    expect(await page.evaluate(() => rcod.list())).toEqual([]);
  });

  it("takes what a server refuses for absent, but not a single file or one that is stored", async () => {
    serve([["w.bin", content]]);
    browser!.server.fault = (path) => (path === "/m/w.bin" ? null : { status: 403 });
    expect(await read()).toMatchObject(whole);
    expect(await read("none.bin")).toMatchObject({ sha256: [], error: null });
    expect(await read("none.bin", { isSingle: true })).toMatchObject({
      error: expect.stringMatching(/got HTTP 403 Forbidden .* Access is denied/),
    });
    browser!.server.fault = () => ({ status: 403 });
    expect(await read()).toMatchObject(whole);
    expect(sentBytes()).toBe(0);
  });

  it("lets two tabs load at once: both right, every byte fetched once", async () => {
    const first = page;
    await openPage();
    const at = `${browser!.server.address}/m`;
    const both = await Promise.all(
      [first, page].map((tab) => tab.evaluate((url) => rcod.read(url, "w.bin"), at)),
    );
    for (const report of both) expect(report).toMatchObject(whole);
    expect(sentBytes()).toBeLessThanOrEqual(content.byteLength + 2);
  });

  it("is listed and cleared, by the folder or at all, while it loads too", async () => {
    const { address } = browser!.server;
    await read();
    await page.evaluate((url) => rcod.read(url, "w.bin", { isSingle: true }), `${address}/m`);
    const bytes = content.byteLength + files.get(MANIFEST)!.byteLength;
    const list = () => page.evaluate(() => rcod.list());
    const single = { url: `${address}/m/w.bin`, bytes: content.byteLength };
    expect(await list()).toEqual(expect.arrayContaining([{ url: `${address}/m`, bytes }, single]));
    await page.evaluate(() => rcod.clear("/m/")); // the same folder, relative
    expect(await list()).toEqual([single]);
    const chunkBytes = 2 ** 20;
    const chunkHashes = Array.from({ length: Math.ceil(content.byteLength / chunkBytes) }, (_, i) =>
      sha256(content.subarray(i * chunkBytes, (i + 1) * chunkBytes)),
    );
    const loading = read("w.bin", { chunkBytes });
    await page.evaluate(() => rcod.clear());
    expect(await loading).toMatchObject({ sha256: chunkHashes, error: null });
  });

  it("holds pieces, not files, in memory", async () => {
    const size = 100e6;
    const zeros = new Uint8Array(2 ** 20);
    browser!.server.mount("big", {
      name: "big",
      async open(path) {
        if (path !== "w.bin") return null;
        return {
          name: path,
          byteLength: size,
          read: async (_offset, length) => zeros.subarray(0, length),
          close: async () => {},
        };
      },
    });
    const url = `${browser!.server.address}/big`;
    const options = { chunkBytes: 8 * 2 ** 20 };
    const report = await page.evaluate((...args) => rcod.read(...args), url, "w.bin", options);
    expect(report).toMatchObject({ error: null, warnings: [] });
    // 64 MB are held, of pieces and of what is made of them; the file would be more by itself.
    expect(report.heapBytes).toBeLessThan(85e6);
  });
});
