/** `rcod fleet status`, `failed`, `pause`, `resume` and `drain`: one look or one order, then the connection ends. */
import type { GlobalOptions } from "../../cli/command.ts";
import { EXIT } from "../../cli/errors.ts";
import { formatMs, formatTable } from "../../cli/format.ts";
import { shownText } from "../../cli/shown-text.ts";
import type { Terminal } from "../../cli/terminal.ts";
import type { JobStore } from "../queue/job-store.ts";
import type { QueueOptions } from "../queue/with-store.ts";
import { withStore } from "../queue/with-store.ts";
import { prometheusText } from "./prometheus.ts";
import { secondsLeft, workerRates } from "./rates.ts";

export interface ControlOptions extends GlobalOptions, QueueOptions {
  readonly json?: boolean;
}

export interface StatusOptions extends ControlOptions {
  readonly prometheus?: boolean;
}

export interface FailedOptions extends ControlOptions {
  readonly retry?: boolean;
  readonly limit?: number;
}

/** Jobs that rates are taken from. */
const MOST_DONE = 1000;

export async function runStatus(options: StatusOptions, terminal: Terminal): Promise<number> {
  return withStore(options, terminal, async (store) => {
    const status = await statusOf(store);
    if (options.prometheus === true) {
      terminal.out(prometheusText(await store.prometheus(), options.name, status.workers));
    } else if (options.json === true)
      terminal.out(JSON.stringify({ queue: options.name, ...status }));
    else for (const line of statusLines(options.name, status)) terminal.out(line);
    return EXIT.ok;
  });
}

async function statusOf(store: JobStore) {
  const [counts, active, done, connected] = await Promise.all([
    store.counts(),
    store.active(),
    store.done(MOST_DONE),
    store.workers(),
  ]);
  const workers = workerRates(done, connected, Date.now());
  const left = counts.waiting + counts.retrying + counts.active;
  return {
    ...counts,
    workers,
    secondsLeft: secondsLeft(left, workers) ?? null,
    activeJobs: active,
  };
}

function statusLines(
  name: string,
  status: Awaited<ReturnType<typeof statusOf>>,
): readonly string[] {
  const { waiting, retrying, active, done, failed, isPaused, workers, activeJobs } = status;
  const retries = retrying > 0 ? ` (${retrying} more after a failed try)` : "";
  const left = waiting + retrying + active;
  const time =
    left === 0
      ? "nothing left to do"
      : status.secondsLeft === null
        ? "time left unknown: no worker has done anything of late"
        : `about ${formatMs(status.secondsLeft * 1000)} left`;
  const rows = workers.map((rate) => [
    `  ${shownText(rate.worker)}`,
    rate.isConnected === false ? "gone" : "",
    `${rate.picturesPerSecond.toPrecision(3)} pictures/s`,
    `${rate.megapixelsPerSecond.toPrecision(3)} megapixels/s`,
    workingOn(activeJobs.find(({ worker }) => worker === rate.worker)),
  ]);
  return [
    `queue ${name}${isPaused ? " (paused)" : ""}: ${waiting} waiting${retries}, ${active} active, ${done} done, ${failed} failed; ${time}`,
    ...(rows.length === 0 ? ["no workers"] : formatTable(rows).split("\n")),
  ];
}

const workingOn = (job: { readonly input: string; readonly since: number } | undefined): string =>
  job === undefined ? "" : `${shownText(job.input)} for ${formatMs(Date.now() - job.since)}`;

export async function runFailed(options: FailedOptions, terminal: Terminal): Promise<number> {
  return withStore(options, terminal, async (store) => {
    if (options.retry === true) {
      const retried = await store.retryFailed();
      terminal.out(options.json === true ? JSON.stringify({ retried }) : `${retried} tried again`);
      return EXIT.ok;
    }
    const failed = await store.failed(options.limit);
    if (options.json === true) terminal.out(JSON.stringify({ failed }));
    else
      for (const { input, attempts, error } of failed) {
        const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
        terminal.out(`${shownText(input)}: ${shownText(error)} (${tries})`);
      }
    if (failed.length === 0 && options.json !== true) terminal.out("nothing failed");
    return EXIT.ok;
  });
}

export async function runPause(options: ControlOptions, terminal: Terminal): Promise<number> {
  return ordered(options, terminal, async (store) => {
    await store.pause();
    return { told: "paused: workers finish their jobs and take no more", isPaused: true };
  });
}

export async function runResume(options: ControlOptions, terminal: Terminal): Promise<number> {
  return ordered(options, terminal, async (store) => {
    await store.resume();
    return { told: "workers take jobs again", isPaused: false };
  });
}

export async function runDrain(options: ControlOptions, terminal: Terminal): Promise<number> {
  return ordered(options, terminal, async (store) => {
    const taken = await store.drain();
    return { told: `${taken} jobs taken back; those at work go on`, taken };
  });
}

async function ordered(
  options: ControlOptions,
  terminal: Terminal,
  order: (store: JobStore) => Promise<{ readonly told: string }>,
): Promise<number> {
  return withStore(options, terminal, async (store) => {
    const { told, ...facts } = await order(store);
    terminal.out(options.json === true ? JSON.stringify(facts) : told);
    return EXIT.ok;
  });
}
