/** A short leak loop in Chromium; `npm run bench:leaks` is the long one. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveRepository } from "../../bench/chromium.ts";
import type { LeakReport } from "../../bench/leaks.ts";
import { isClean, leakLoop } from "../../bench/leaks.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import type { TestBrowser } from "../browser/support.ts";
import { useBrowser } from "../browser/support.ts";
import { minimalFiles } from "../rcod/support.ts";

const browser = (await useBrowser()) as TestBrowser;

describe.skipIf(browser === null)("in a page", () => {
  let repository: Awaited<ReturnType<typeof serveRepository>>;
  beforeAll(async () => {
    repository = await serveRepository();
  });
  afterAll(() => repository.close());

  it("images and models leave nothing behind", async () => {
    const files = await minimalFiles({ midAttention: false, vaeWidths: [8] });
    browser.server.mount("model", memoryFiles(files));
    const page = await browser.browser.newPage();
    await page.goto(`${repository.address}bench/leaks/index.html`);
    const counts = { upscales: 10, cycles: 3, side: 8 };
    const report = await leakLoop(page, `${browser.server.address}/model`, counts);
    await page.close();
    expect(report.warm.gpuBytes).toBeGreaterThan(100_000);
    expect(isClean(report), JSON.stringify(report, null, 2)).toBe(true);
  }, 300_000);
});

it("tells a leak", () => {
  const left = { images: 0, results: 0, models: 0, heapBytes: 5e6 };
  const clean: LeakReport = {
    warm: { ...left, gpuBytes: 1000, images: 1 },
    afterUpscales: { ...left, gpuBytes: 1000, images: 1 },
    disposed: { ...left, gpuBytes: 0 },
    afterCycles: { ...left, gpuBytes: 0 },
  };
  expect(isClean(clean)).toBe(true);
  const leaks: readonly Partial<LeakReport>[] = [
    { afterUpscales: { ...clean.afterUpscales, gpuBytes: 1016 } },
    { afterUpscales: { ...clean.afterUpscales, results: 1 } },
    { afterUpscales: { ...clean.afterUpscales, heapBytes: 8e6 } },
    { disposed: { ...clean.disposed, gpuBytes: 16 } },
    { afterCycles: { ...clean.afterCycles, models: 1 } },
  ];
  for (const leak of leaks) expect(isClean({ ...clean, ...leak })).toBe(false);
});
