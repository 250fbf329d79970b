/**
 * The bookkeeping of a worker: claims, heartbeats, what becomes of a job, and when to stop. It knows the queue only by
 * its contract and the pictures only as jobs; inference blocks another thread.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../cli/errors.ts";
import type { Claim, JobQueue } from "../contract.ts";
import { ClaimLostError, RefusedError, StorageError, WrongWorkerError } from "../errors.ts";
import { InferenceError } from "../inference/inference.ts";
import type { JobResult } from "../job.ts";

/** How a worker works. */
export interface WorkOptions {
  /** Jobs at once. */
  readonly concurrency: number;
  /** Ends the worker after so long without a job; undefined for never. */
  readonly idleExitMs?: number;
  /** How long jobs may go on after `stop`, before they are given back. */
  readonly graceMs: number;
  /** No new jobs from now on. */
  readonly stop: AbortSignal;
  /** Jobs are given back from now on. */
  readonly stopNow?: AbortSignal;
  /** Hears of jobs. */
  readonly events: WorkEvents;
}

/** What a worker tells. */
export interface WorkEvents {
  /** A job has its result. */
  done(claim: Claim, result: JobResult): void;
  /** An attempt failed. */
  failed(claim: Claim, message: string, outcome: "retried" | "failed"): void;
  /** What an operator should know. */
  note(message: string): void;
}

/** What a worker has done. */
export interface WorkTally {
  /** Jobs that have their result. */
  readonly done: number;
  /** Jobs that were given up. */
  readonly failed: number;
  /** Jobs that others may take. */
  readonly givenBack: number;
}

/** Waits between jobs, or tries, while something beyond them fails: it doubles from the first to the last. */
const BACKOFF_MS = { first: 1000, last: 60_000 } as const;

/** Does a job. Calls `onBegun` when the GPU works on it: the next one may be read meanwhile. */
export type DoJob = (data: unknown, signal: AbortSignal, onBegun: () => void) => Promise<JobResult>;

/**
 * Works until there is a reason to stop. Throws what concerns all jobs, such as a model that does not load, with its jobs
 * given back.
 */
export async function workOn(
  queue: JobQueue,
  doJob: DoJob,
  options: WorkOptions,
): Promise<WorkTally> {
  return new WorkLoop(queue, doJob, options).run();
}

class WorkLoop {
  readonly #queue: JobQueue;
  readonly #doJob: DoJob;
  readonly #options: WorkOptions;
  /** No new claims. */
  readonly #stop = new AbortController();
  /** Claims are given back. */
  readonly #stopNow = new AbortController();
  #tally = { done: 0, failed: 0, givenBack: 0 };
  #busy = 0;
  #idleSince = performance.now();
  #troubles = 0;
  #fatal: unknown;

  constructor(queue: JobQueue, doJob: DoJob, options: WorkOptions) {
    this.#queue = queue;
    this.#doJob = doJob;
    this.#options = options;
  }

  async run(): Promise<WorkTally> {
    const { concurrency, graceMs, stop, stopNow } = this.#options;
    let grace: NodeJS.Timeout | undefined;
    const onStop = (): void => {
      this.#stop.abort();
      grace ??= setTimeout(() => this.#stopNow.abort(), graceMs);
    };
    const onStopNow = (): void => {
      onStop();
      this.#stopNow.abort();
    };
    stop.addEventListener("abort", onStop);
    stopNow?.addEventListener("abort", onStopNow);
    if (stop.aborted) onStop();
    try {
      await Promise.all(Array.from({ length: concurrency }, () => this.#slot()));
    } finally {
      clearTimeout(grace);
      stop.removeEventListener("abort", onStop);
      stopNow?.removeEventListener("abort", onStopNow);
    }
    if (this.#fatal !== undefined) throw this.#fatal;
    return this.#tally;
  }

  async #slot(): Promise<void> {
    /** Ends of the two jobs before: a result is written and a picture computed while the next one is read. */
    let endings: readonly [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
    while (!this.#stop.signal.aborted) {
      let claim: Claim | null;
      try {
        claim = await this.#queue.claim(this.#stop.signal);
      } catch (error) {
        this.#options.events.note(`the queue cannot be asked: ${describeError(error).message}`);
        await this.#wait();
        continue;
      }
      if (claim === null) {
        await this.#checkIdle();
        continue;
      }
      const [first, second] = endings;
      await new Promise<void>((mayClaim) => {
        const onBegun = (): void => void first.then(mayClaim);
        endings = [second, this.#work(claim, onBegun).finally(onBegun)];
      });
    }
    await Promise.all(endings);
  }

  async #checkIdle(): Promise<void> {
    const { idleExitMs } = this.#options;
    if (idleExitMs === undefined || this.#busy > 0) return;
    if (performance.now() - this.#idleSince < idleExitMs) return;
    if (await this.#queue.isIdle().catch(() => false)) this.#stop.abort();
  }

  async #work(claim: Claim, onBegun: () => void): Promise<void> {
    this.#busy++;
    const lost = new AbortController();
    /** A picture that only was read when the worker was told to stop. */
    const unneeded = new AbortController();
    const onStop = (): void => unneeded.abort();
    this.#stop.signal.addEventListener("abort", onStop);
    if (this.#stop.signal.aborted) onStop();
    const begin = (): void => {
      this.#stop.signal.removeEventListener("abort", onStop);
      onBegun();
    };
    const beat = setInterval(() => {
      claim.heartbeat().then(
        (isOurs) => isOurs || lost.abort(),
        () => {}, // whether the claim is lost is known once the queue answers again
      );
    }, claim.heartbeatMs);
    try {
      const signal = AbortSignal.any([lost.signal, unneeded.signal, this.#stopNow.signal]);
      const result = await this.#doJob(claim.data, signal, begin);
      await claim.complete(result);
      this.#troubles = 0;
      this.#tally.done++;
      this.#options.events.done(claim, result);
    } catch (error) {
      await this.#leave(claim, error, lost.signal, unneeded.signal).catch((trouble: unknown) => {
        // The lock runs out, and another worker takes the job.
        this.#options.events.note(`job ${claim.id}: ${describeError(trouble).message}`);
      });
    } finally {
      clearInterval(beat);
      this.#stop.signal.removeEventListener("abort", onStop);
      this.#busy--;
      this.#idleSince = performance.now();
    }
  }

  async #leave(
    claim: Claim,
    error: unknown,
    lost: AbortSignal,
    unneeded: AbortSignal,
  ): Promise<void> {
    const { events } = this.#options;
    if (lost.aborted || error instanceof ClaimLostError) {
      events.note(`job ${claim.id} is another worker's now: this one was not heard of in time`);
      return;
    }
    const isFatal =
      error instanceof WrongWorkerError ||
      (error instanceof InferenceError && error.why === "model");
    if (isFatal || unneeded.aborted || this.#stopNow.signal.aborted) {
      if (isFatal) {
        this.#fatal = error;
        this.#stop.abort();
      }
      await claim.release();
      this.#tally.givenBack++;
      return;
    }
    const isRefused =
      error instanceof RefusedError || (error instanceof InferenceError && error.why === "refused");
    const { message } = describeError(error);
    const outcome = await claim.fail(new Error(message), !isRefused);
    if (outcome === "failed") this.#tally.failed++;
    events.failed(claim, message, outcome);
    if (error instanceof StorageError) await this.#wait();
  }

  /** What fails for one job at once would fail for the next as well. */
  async #wait(): Promise<void> {
    const ms = Math.min(BACKOFF_MS.last, BACKOFF_MS.first * 2 ** this.#troubles++);
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}
