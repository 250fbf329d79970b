/** Follows submitted jobs to their end, with a bar on a terminal and lines in a log. */
import { setTimeout as sleep } from "node:timers/promises";
import { formatMs } from "../../cli/format.ts";
import type { Terminal } from "../../cli/terminal.ts";
import type { JobStore } from "../queue/job-store.ts";

/** Between two looks, and how much longer than a look that is at least: one at a hundred thousand jobs keeps Redis busy. */
const LOOK_MS = 1000;
const REST = 4;
/** Between two lines of a log. */
const LINE_MS = 30_000;

/** How jobs ended. */
export interface Ended {
  readonly done: number;
  readonly failed: number;
}

/** Waits for all jobs, those included that were done or failed before. Rejects where the signal aborts. */
export async function watchJobs(
  store: JobStore,
  ids: readonly string[],
  { terminal, isQuiet, signal }: { terminal: Terminal; isQuiet: boolean; signal: AbortSignal },
): Promise<Ended> {
  const display = isQuiet ? undefined : await countDisplay(terminal, ids.length);
  let pending: readonly string[] = ids;
  let failed = 0;
  try {
    for (;;) {
      const lookedAt = performance.now();
      const states = await store.states(pending);
      failed += states.filter((state) => state === "failed").length;
      // A job that is gone was taken back, or is done for so long that it was forgotten.
      pending = pending.filter((_, i) => states[i] === "waiting");
      display?.update(ids.length - pending.length, failed, await store.workers());
      if (pending.length === 0) return { done: ids.length - failed, failed };
      const restMs = Math.max(LOOK_MS, REST * (performance.now() - lookedAt));
      await sleep(restMs, undefined, { signal });
    }
  } finally {
    display?.stop();
  }
}

interface CountDisplay {
  /** `workers`: names of those that are connected, where that is known. */
  update(ended: number, failed: number, workers: readonly string[] | undefined): void;
  stop(): void;
}

async function countDisplay(terminal: Terminal, total: number): Promise<CountDisplay> {
  const startedAt = performance.now();
  const already: { count?: number } = {};
  const text: (...state: Parameters<CountDisplay["update"]>) => string = (
    ended,
    failed,
    workers,
  ) => {
    already.count ??= ended;
    const now = ended - already.count;
    const elapsedMs = performance.now() - startedAt;
    const isIdle = workers?.length === 0 && ended < total;
    const time = now === 0 ? "" : `, ${formatMs((elapsedMs * (total - ended)) / now)} left`;
    const left = isIdle ? "; no worker is there: rcod fleet work" : time;
    return `${ended} of ${total}${failed > 0 ? `, ${failed} failed` : ""}${left}`;
  };
  if (!terminal.progressStream.isTTY) {
    let toldAt = -Infinity;
    return {
      update(ended, failed, workers) {
        if (performance.now() - toldAt < LINE_MS && ended < total) return;
        toldAt = performance.now();
        terminal.note(text(ended, failed, workers));
      },
      stop() {},
    };
  }
  const { default: cliProgress } = await import("cli-progress");
  const bar = new cliProgress.SingleBar({
    stream: terminal.progressStream,
    format: "{bar} {text}",
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false, // signals are ours
  });
  bar.start(total, 0, { text: "" });
  return {
    update: (ended, failed, workers) => bar.update(ended, { text: text(ended, failed, workers) }),
    stop: () => bar.stop(),
  };
}
