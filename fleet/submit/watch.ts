/** Follows submitted jobs to their end, with a bar on a terminal and lines in a log. */
import { setTimeout as sleep } from "node:timers/promises";
import { formatMs } from "../../cli/format.ts";
import type { Terminal } from "../../cli/terminal.ts";
import type { JobStore } from "../queue/job-store.ts";

/** Between two looks. */
const LOOK_MS = 1000;
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
      const states = await store.states(pending);
      failed += states.filter((state) => state === "failed").length;
      // A job that is gone was taken back, or is done for so long that it was forgotten.
      pending = pending.filter((_, i) => states[i] === "waiting");
      display?.update(ids.length - pending.length, failed);
      if (pending.length === 0) return { done: ids.length - failed, failed };
      await sleep(LOOK_MS, undefined, { signal });
    }
  } finally {
    display?.stop();
  }
}

interface CountDisplay {
  update(ended: number, failed: number): void;
  stop(): void;
}

async function countDisplay(terminal: Terminal, total: number): Promise<CountDisplay> {
  const startedAt = performance.now();
  const already: { count?: number } = {};
  const text = (ended: number, failed: number): string => {
    already.count ??= ended;
    const now = ended - already.count;
    const elapsedMs = performance.now() - startedAt;
    const left = now === 0 ? "" : `, ${formatMs((elapsedMs * (total - ended)) / now)} left`;
    return `${ended} of ${total}${failed > 0 ? `, ${failed} failed` : ""}${left}`;
  };
  if (!terminal.progressStream.isTTY) {
    let toldAt = -Infinity;
    return {
      update(ended, failed) {
        if (performance.now() - toldAt < LINE_MS && ended < total) return;
        toldAt = performance.now();
        terminal.note(text(ended, failed));
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
    update: (ended, failed) => bar.update(ended, { text: text(ended, failed) }),
    stop: () => bar.stop(),
  };
}
