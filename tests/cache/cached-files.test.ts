/** What the cache does outside of a page; in one: tests/browser/cache.test.ts. */
import { describe, expect, it } from "vitest";
import { clearCache, cachedUrlFile, cachedUrlFiles, listCache } from "../../src/index.ts";

const content = Uint8Array.from([1, 2, 3, 4]);
const serve: typeof fetch = async (input, init) => {
  const url = input instanceof Request ? input.url : input.toString();
  if (!url.endsWith("/w.bin")) return new Response(null, { status: 404 });
  const [, first, last] =
    /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
  return new Response(content.subarray(Number(first), Number(last) + 1), {
    status: 206,
    headers: { "content-range": `bytes ${first}-${last}/4`, etag: '"1"' },
  });
};

describe("without browser storage", () => {
  it("reads from the network and says so once", async () => {
    const warnings: string[] = [];
    const options = { fetch: serve, onWarning: (text: string) => void warnings.push(text) };
    const files = cachedUrlFiles("https://host/model/", options);
    expect(files.name).toBe("https://host/model/");
    for (let i = 0; i < 2; i++) {
      const source = await files.open("w.bin");
      expect(await source?.read(1, 2)).toEqual(content.subarray(1, 3));
      await source?.close();
    }
    expect(await files.open("none.bin")).toBeNull();
    expect(warnings).toEqual([
      "cache: https://host/model is not stored: this page has no file system: it needs https or localhost",
    ]);
    const file = cachedUrlFile("https://host/model/w.bin?token=1", { fetch: serve });
    expect(file.name).toBe("https://host/model/w.bin");
  });

  it("has nothing to list or to clear", async () => {
    expect(await listCache()).toEqual([]);
    await clearCache();
  });

  it("refuses addresses and paths that could lead elsewhere", async () => {
    expect(() => cachedUrlFiles("https://host/model?x=1")).toThrow(/must have no "\?" or "#"/);
    await expect(cachedUrlFiles("https://host/m", { fetch: serve }).open("../x")).rejects.toThrow(
      /path must be relative/,
    );
  });
});
