/** No task of a page's main thread may take long by the processor's time: the page would not answer meanwhile. */
import type { Browser } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Recording } from "./main-thread.ts";
import { MOST_MS, longTasks, recordTasks } from "./main-thread.ts";
import type { ProcessorPace } from "./processor-pace.ts";
import { watchProcessor } from "./processor-pace.ts";

/** Twice what a page may take: tests run on machines with other work. On a quiet one, RCOD_LONG_TASK_MS=50 asks for all of it. */
const LIMIT_MS = Number(process.env["RCOD_LONG_TASK_MS"] ?? 2 * MOST_MS);

/**
 * Has the file fail where a page of the browser had a long task. To be called below what closes the browser: vitest ends last things
 * first.
 */
export function expectNoLongTasks(browser: Browser | null): void {
  if (browser === null) return;
  const ends: { readonly test: string; readonly ts: number }[] = [];
  let recording: Recording;
  let pace: ProcessorPace;
  beforeAll(async () => {
    pace = watchProcessor();
    recording = await recordTasks(browser);
  });
  afterEach(({ task }) => {
    ends.push({ test: task.name, ts: Number(process.hrtime.bigint() / 1000n) });
  });
  afterAll(async () => {
    const events = await recording.stop();
    pace.stop();
    const found = longTasks(events, pace.slownessAt, LIMIT_MS).map(({ ts, text }) => {
      const test = ends.find((end) => ts < end.ts)?.test ?? "after all tests";
      return `${text} (${test})`;
    });
    expect(found, `tasks of more than ${LIMIT_MS} ms on the main thread`).toEqual([]);
  });
}
