/**
 * Upscales a part of the bundled photo again and again, each time with another setting, and shows what is left in the heaps of page and
 * worker and on the device. From a checkout:
 *
 *     npm run build:demo && node bench/run.mjs ../demo/memory-over-runs
 *
 * The tests run a short form.
 */
import type { CDPSession, Page } from "puppeteer-core";
import { openCut } from "../tests/demo/support.ts";
import { visitBuiltPage } from "./built-page.ts";

const RUNS = 30;
/** Until the device holds as many results as it may, and everything has been compiled. */
const WARM_RUNS = 5;

/** The machine may have other work. */
const PATIENCE = { timeout: 0, polling: 100 };
/**
 * What a result may leave behind for good: its description and its place in the strip. Pixels are none of it: those of the cut are
 * 147 kB.
 */
const MAX_HEAP_BYTES_A_RUN = 60_000;

/** Bytes, after garbage collection. */
export interface MemorySample {
  readonly pageHeap: number;
  readonly workerHeap: number;
  /** The engine's buffers on the device. */
  readonly engine: number;
  /** Textures of the picture and of its results. */
  readonly pictures: number;
}

export async function main(): Promise<number> {
  let faults: readonly string[] = [];
  const code = await visitBuiltPage(async (browser, address) => {
    const page = await browser.newPage();
    await page.goto(`${address}?debug&canvas=2d`);
    await page.waitForFunction(() => rcodDemo?.store.get().device, PATIENCE);
    await openCut(page);
    const samples = await memoryOverRuns(page, RUNS, (sample, i) =>
      process.stdout.write(`run ${i}: ${JSON.stringify(sample)}\n`),
    );
    faults = growth(samples, WARM_RUNS);
  });
  for (const fault of faults) process.stdout.write(`${fault}\n`);
  return code || (faults.length > 0 ? 1 : 0);
}

/** Runs of the open picture, each with another realism; a sample after each. */
export async function memoryOverRuns(
  page: Page,
  runs: number,
  onSample: (sample: MemorySample, run: number) => void = () => undefined,
): Promise<readonly MemorySample[]> {
  const samples: MemorySample[] = [];
  for (let run = 1; run <= runs; run++) {
    const last = await page.evaluate(
      (realism) => {
        rcodDemo?.change({ realism });
        void rcodDemo?.upscale();
        return rcodDemo?.store.get().results.at(-1)?.id ?? 0;
      },
      run / (runs + 1),
    );
    await page.waitForFunction(
      (before) => {
        const { activity, problem, pictures = [] } = rcodDemo?.store.get() ?? {};
        if (problem) throw new Error(problem.detail);
        const result = pictures.flatMap((picture) => picture.results).at(-1);
        return !activity && (result?.info.id ?? 0) > before && result?.isKept !== null;
      },
      PATIENCE,
      last,
    );
    const sample = await sampleMemory(page);
    samples.push(sample);
    onSample(sample, run);
  }
  return samples;
}

async function sampleMemory(page: Page): Promise<MemorySample> {
  const [worker] = page.workers();
  if (!worker) throw new Error("the page has no worker");
  const session = await page.createCDPSession();
  try {
    const device = await page.evaluate(() => rcodDemo?.call("deviceMemory", null));
    if (!device) throw new Error("open the page with ?debug");
    const { engine, pictures } = device;
    const [pageHeap, workerHeap] = [await heapBytes(session), await heapBytes(worker.client)];
    return { pageHeap, workerHeap, engine, pictures };
  } finally {
    await session.detach();
  }
}

/** With the pixels that arrays hold outside of the heap proper. */
async function heapBytes(session: CDPSession): Promise<number> {
  // Twice: finalisers of the first pass release more.
  for (let i = 0; i < 2; i++) await session.send("HeapProfiler.collectGarbage");
  const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
  return usedSize + backingStorageSize;
}

/** What has grown since the first `warm` runs, in words; nothing where all is flat. */
export function growth(samples: readonly MemorySample[], warm: number): readonly string[] {
  const [first, last] = [samples[warm - 1], samples.at(-1)];
  if (!first || !last) throw new Error(`more than ${warm} samples are needed`);
  const runs = samples.length - warm;
  const heaps = (["pageHeap", "workerHeap"] as const).filter(
    (name) => last[name] - first[name] > MAX_HEAP_BYTES_A_RUN * runs,
  );
  const device = (["engine", "pictures"] as const).filter((name) => last[name] > first[name]);
  return [...heaps, ...device].map(
    (name) => `${name} has grown in ${runs} runs from ${first[name]} to ${last[name]} bytes`,
  );
}
