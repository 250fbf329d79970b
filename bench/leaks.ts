/**
 * Looks for leaks: many images on one model, then many models, and what is left on the device, in the heap and among the
 * objects afterwards. `npm run bench:leaks` does it in a browser, with `--node` in Node; the tests run a short loop.
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Page } from "puppeteer-core";
import { requestNodeGpu } from "../src/node/gpu.ts";
import { loadModel } from "../src/rcod/model.ts";
import { memoryFiles } from "../src/weights/index.ts";
import { folderFiles } from "../src/weights/sources/node-source.ts";
import { startFileServer } from "../tests/browser/file-server.ts";
import { minimalFiles } from "../tests/rcod/support.ts";
import { findChromium, withPage } from "./chromium.ts";
import type { LoopState, ModelLoop } from "./leaks/model-loop.ts";
import { modelLoop } from "./leaks/model-loop.ts";

declare const leakPage: ModelLoop; // in the page

export interface LeakCounts {
  readonly upscales: number;
  /** Models that are loaded, used once and disposed. */
  readonly cycles: number;
  /** Side of the images in pixels. */
  readonly side: number;
}

/** What is there after garbage collection. */
export interface LeakSample extends LoopState {
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

/** Where the loop runs. */
interface LoopPlace {
  load(url: string): Promise<void>;
  upscale(count: number, side: number): Promise<void>;
  dispose(): Promise<void>;
  /** After garbage collection. */
  sample(): Promise<LeakSample>;
}

/** Runs the loop in a page that shows `bench/leaks/index.html`. */
export async function leakLoop(page: Page, model: string, counts: LeakCounts): Promise<LeakReport> {
  await page.waitForFunction(() => "leakPage" in globalThis, { timeout: 60_000 });
  const place: LoopPlace = {
    load: (url) => page.evaluate((address) => leakPage.load(address), url),
    upscale: (count, side) =>
      page.evaluate((n, pixels) => leakPage.upscale(n, pixels), count, side),
    dispose: () => page.evaluate(() => leakPage.dispose()),
    async sample() {
      const session = await page.createCDPSession();
      // Twice: finalisers of the first pass release more.
      for (let i = 0; i < 2; i++) await session.send("HeapProfiler.collectGarbage");
      const { usedSize } = await session.send("Runtime.getHeapUsage");
      await session.detach();
      return { ...(await page.evaluate(() => leakPage.state())), heapBytes: usedSize };
    },
  };
  return runLoop(place, model, counts);
}

/** Runs the loop in this process. */
async function leakLoopInNode(model: string, counts: LeakCounts): Promise<LeakReport> {
  const gpu = await requestNodeGpu();
  const loop = modelLoop(async (path) =>
    loadModel(path === "minimal" ? memoryFiles(await minimalFiles()) : folderFiles(path), {
      gpu: gpu.device,
    }),
  );
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const report = await runLoop(
    {
      load: (path) => loop.load(path),
      upscale: (count, side) => loop.upscale(count, side),
      dispose: async () => loop.dispose(),
      async sample() {
        for (let i = 0; i < 3; i++) {
          await new Promise((resolve) => setTimeout(resolve, 20)); // finalisers run between
          collect();
        }
        return { ...loop.state(), heapBytes: process.memoryUsage().heapUsed };
      },
    },
    model,
    counts,
  );
  gpu.destroy();
  return report;
}

async function runLoop(
  place: LoopPlace,
  model: string,
  { upscales, cycles, side }: LeakCounts,
): Promise<LeakReport> {
  const cycle = async (): Promise<void> => {
    await place.load(model);
    await place.upscale(1, side);
    await place.dispose();
  };
  // Engines compile what runs often, and keep what that takes.
  for (let i = 0; i < cycles; i += 50) await cycle();
  await place.load(model);
  await place.upscale(2 + Math.floor(upscales / 100), side);
  const warm = await place.sample();
  await place.upscale(upscales, side);
  const afterUpscales = await place.sample();
  await place.dispose();
  const disposed = await place.sample();
  for (let i = 0; i < cycles; i++) await cycle();
  return { warm, afterUpscales, disposed, afterCycles: await place.sample() };
}

export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      upscales: { type: "string", default: "200" },
      cycles: { type: "string", default: "20" },
      side: { type: "string", default: "16" },
      model: { type: "string", default: "models/rcod-tiny" },
      node: { type: "boolean", default: false },
    },
  });
  const counts = {
    upscales: Number(values.upscales),
    cycles: Number(values.cycles),
    side: Number(values.side),
  };
  const show = (report: LeakReport): number => {
    process.stdout.write(`${JSON.stringify({ counts, ...report }, null, 2)}\n`);
    return isClean(report) ? 0 : 1;
  };
  if (values.node) return show(await leakLoopInNode(values.model, counts));
  const choice = await findChromium();
  if (choice === null) throw new Error("leaks: no browser. Set RCOD_CHROMIUM to a Chrome's path");
  return withPage(choice, async (page, address) => {
    await page.goto(`${address}bench/leaks/index.html`);
    if (values.model !== "minimal")
      return show(await leakLoop(page, `${address}${values.model}`, counts));
    const server = await startFileServer();
    server.mount("model", memoryFiles(await minimalFiles()));
    return show(await leakLoop(page, `${server.address}/model`, counts));
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
