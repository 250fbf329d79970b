/**
 * Looks for leaks in a browser: many images on one model, then many models, and what is left on the device, in the
 * heap and among the objects afterwards. `npm run bench:leaks`; the tests run a short loop.
 */
import { parseArgs } from "node:util";
import type { Page } from "puppeteer-core";
import { findChromium, withPage } from "./chromium.ts";
import type { LeakPage, PageState } from "./leaks/page.ts";

declare const leakPage: LeakPage; // in the page

export interface LeakCounts {
  readonly upscales: number;
  /** Models that are loaded, used once and disposed. */
  readonly cycles: number;
  /** Side of the images in pixels. */
  readonly side: number;
}

/** What is there after garbage collection. */
export interface LeakSample extends PageState {
  readonly heapBytes: number;
}

/** Samples in the order of the loop. */
export interface LeakReport {
  /** After the first images: everything is compiled and allocated. */
  readonly warm: LeakSample;
  readonly afterUpscales: LeakSample;
  readonly disposed: LeakSample;
  readonly afterCycles: LeakSample;
}

/** Runs the loop in a page that shows `bench/leaks/index.html`. */
export async function leakLoop(
  page: Page,
  model: string,
  { upscales, cycles, side }: LeakCounts,
): Promise<LeakReport> {
  await page.waitForFunction(() => "leakPage" in globalThis, { timeout: 60_000 });
  await page.evaluate(async (url) => leakPage.load(url), model);
  const enlarge = (count: number): Promise<void> =>
    page.evaluate(async (n, pixels) => leakPage.upscale(n, pixels), count, side);
  await enlarge(2);
  const warm = await sample(page);
  await enlarge(upscales);
  const afterUpscales = await sample(page);
  await page.evaluate(() => leakPage.dispose());
  const disposed = await sample(page);
  for (let i = 0; i < cycles; i++) {
    await page.evaluate(async (url) => leakPage.load(url), model);
    await enlarge(1);
    await page.evaluate(() => leakPage.dispose());
  }
  return { warm, afterUpscales, disposed, afterCycles: await sample(page) };
}

async function sample(page: Page): Promise<LeakSample> {
  const session = await page.createCDPSession();
  // Twice: finalisers of the first pass release more.
  for (let i = 0; i < 2; i++) await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return { ...(await page.evaluate(() => leakPage.state())), heapBytes: usedSize };
}

export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      upscales: { type: "string", default: "200" },
      cycles: { type: "string", default: "20" },
      side: { type: "string", default: "16" },
    },
  });
  const choice = await findChromium();
  if (choice === null) throw new Error("leaks: no browser. Set RCOD_CHROMIUM to a Chrome's path");
  return withPage(choice, async (page, address) => {
    await page.goto(`${address}bench/leaks/index.html`);
    const counts = {
      upscales: Number(values.upscales),
      cycles: Number(values.cycles),
      side: Number(values.side),
    };
    const report = await leakLoop(page, `${address}models/rcod-tiny`, counts);
    process.stdout.write(`${JSON.stringify({ counts, ...report }, null, 2)}\n`);
    return isClean(report) ? 0 : 1;
  });
}

/** Heap that may come and go without being a leak: caches of the engine that runs the page. */
const HEAP_NOISE = 2 * 2 ** 20;

/** Whether nothing grew: the device's bytes exactly, objects exactly, the heap but for noise. */
export function isClean({ warm, afterUpscales, disposed, afterCycles }: LeakReport): boolean {
  return (
    afterUpscales.gpuBytes === warm.gpuBytes &&
    disposed.gpuBytes === 0 &&
    afterCycles.gpuBytes === 0 &&
    // The model keeps its last image, for another realism.
    afterUpscales.images <= 1 &&
    afterUpscales.results === 0 &&
    [disposed, afterCycles].every((s) => s.images + s.results + s.models === 0) &&
    afterUpscales.heapBytes - warm.heapBytes < HEAP_NOISE &&
    afterCycles.heapBytes - disposed.heapBytes < HEAP_NOISE
  );
}
