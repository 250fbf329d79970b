/** How fast workers are, from the jobs that were done last: no worker has to report for it. */
import type { DoneJob } from "../queue/job-store.ts";

/** What one worker did in the time that is looked at. */
export interface WorkerRate {
  readonly worker: string;
  /** Undefined where the server does not tell who is connected. */
  readonly isConnected: boolean | undefined;
  readonly pictures: number;
  readonly picturesPerSecond: number;
  readonly megapixelsPerSecond: number;
}

/** Older jobs say nothing about now. */
const WINDOW_MS = 10 * 60_000;

/** Rates of workers that are connected or have done something of late, by name. */
export function workerRates(
  done: readonly DoneJob[],
  connected: readonly string[] | undefined,
  now: number,
): readonly WorkerRate[] {
  const recent = done.filter(
    ({ outcome, finishedAt }) => outcome === "written" && finishedAt > now - WINDOW_MS,
  );
  const byWorker = new Map<string, DoneJob[]>();
  for (const job of recent) byWorker.set(job.worker, [...(byWorker.get(job.worker) ?? []), job]);
  const names = new Set([...(connected ?? []), ...byWorker.keys()]);
  return [...names].toSorted().map((worker): WorkerRate => {
    const jobs = byWorker.get(worker) ?? [];
    const seconds = spanOf(jobs) / 1000;
    const pixels = jobs.reduce((sum, job) => sum + job.pixels, 0);
    return {
      worker,
      isConnected: connected?.includes(worker),
      pictures: jobs.length,
      picturesPerSecond: seconds === 0 ? 0 : jobs.length / seconds,
      megapixelsPerSecond: seconds === 0 ? 0 : pixels / 1e6 / seconds,
    };
  });
}

/** Seconds until `left` pictures are done; undefined where nobody works. */
export function secondsLeft(left: number, rates: readonly WorkerRate[]): number | undefined {
  const perSecond = rates
    .filter(({ isConnected }) => isConnected !== false)
    .reduce((sum, rate) => sum + rate.picturesPerSecond, 0);
  if (left === 0) return 0;
  return perSecond === 0 ? undefined : left / perSecond;
}

function spanOf(jobs: readonly DoneJob[]): number {
  if (jobs.length === 0) return 0;
  const start = Math.min(...jobs.map(({ startedAt }) => startedAt));
  const end = Math.max(...jobs.map(({ finishedAt }) => finishedAt));
  return Math.max(1, end - start);
}
