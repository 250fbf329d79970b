/** Models in the browser's storage: what is fetched, what is not, and what happens when something is wrong. */
import { createHash } from "node:crypto";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { MANIFEST, PIECE_BYTES } from "../../src/cache/manifest.ts";
import { Checksums } from "../../src/cli/checksums.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import type { Page } from "puppeteer-core";
import type { ReadOptions, ReadReport } from "./page/main.ts";
import { builtPage, useBrowser } from "./support.ts";

const browser = await useBrowser();

/** Three pieces and a bit; no two alike. */
function contentOf(seed: number): Uint8Array {
  const words = new Uint32Array((3 * PIECE_BYTES + 4096) / 4);
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
  let problems: string[] = [];

  beforeAll(async () => {
    browser!.server.mount("page", await builtPage("tests/browser/page"));
    browser!.server.mount("m", memoryFiles(files));
  });
  const openPage = async (): Promise<void> => {
    ({ page, problems } = await browser!.open("/page/"));
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
  const whole = { sha256: sha256(content), warnings: [], error: null };
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
    browser!.server.isDown = true;
    expect(await read()).toMatchObject(whole);
    expect(await read("unet/config.json")).toMatchObject({
      error: expect.stringMatching(/must be reachable/),
    });
    expect(await read("mem/config.json")).toMatchObject({ sha256: null, error: null }); // not listed
  });
});
