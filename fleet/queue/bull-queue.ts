/** BullMQ as a `JobQueue`: jobs are fetched by hand, so that the work loop has locks, aborts and endings in its own hands. */
import { randomBytes } from "node:crypto";
import type { Job, Worker } from "bullmq";
import type { Redis } from "ioredis";
import type { Claim, JobQueue } from "../contract.ts";
import { ClaimLostError } from "../errors.ts";
import type { JobResult } from "../job.ts";
import { loadBullmq } from "../packages.ts";
import { freeClaimsOfDead, tokenStart } from "./dead-claims.ts";

/** How jobs are claimed. */
export interface BullQueueOptions {
  readonly name: string;
  /** Of this worker, as `rcod fleet status` shows it. */
  readonly worker: string;
  /** A worker that was not heard of for so long has lost its job. */
  readonly lockMs: number;
  /** A claim waits no longer than this for a job before it answers that there is none. */
  readonly waitMs?: number;
  readonly onNote: (message: string) => void;
}

/** How long claims wait: no longer than a connection is sure to be kept, and long enough not to keep Redis busy. */
const WAIT_MS = { least: 100, most: 5000 } as const;
/** Looks for jobs whose worker is gone. */
const MOST_CHECK_MS = 5000;
/** Workers that a job may outlive; it is to blame where it takes down more. */
const MOST_STALLED = 4;
/** Minutes of counts a minute that are kept, for Prometheus: two weeks. */
const METRICS_MINUTES = 14 * 24 * 60;

/** Takes jobs of a queue. `redis` stays the caller's. */
export async function openBullQueue(redis: Redis, options: BullQueueOptions): Promise<JobQueue> {
  const { name, worker: workerName, lockMs, waitMs = WAIT_MS.most, onNote } = options;
  const { Worker: BullWorker } = await loadBullmq();
  const checkMs = Math.max(500, Math.min(MOST_CHECK_MS, lockMs / 4));
  const worker: Worker = new BullWorker(name, null, {
    connection: redis,
    name: workerName,
    autorun: false,
    lockDuration: lockMs,
    stalledInterval: checkMs,
    maxStalledCount: MOST_STALLED,
    drainDelay: Math.min(WAIT_MS.most, Math.max(WAIT_MS.least, waitMs)) / 1000,
    metrics: { maxDataPoints: METRICS_MINUTES },
  });
  let told = "";
  worker.on("error", ({ message }) => {
    // The same at every try to connect.
    if (message !== told) onNote(`queue: ${message}`);
    told = message;
  });
  worker.on("ready", () => (told = ""));
  await worker.waitUntilReady();
  await worker.startStalledCheckTimer();
  const free = (): void => void freeClaimsOfDead(redis, worker).catch(() => undefined);
  free();
  const timer = setInterval(free, checkMs);
  return new BullQueue(redis, worker, lockMs, () => clearInterval(timer));
}

class BullQueue implements JobQueue {
  readonly #redis: Redis;
  readonly #worker: Worker;
  readonly #lockMs: number;
  readonly #end: () => void;
  /** One fetch at a time: a second would not wait for jobs but ask for them without a pause. */
  #fetching: Promise<unknown> = Promise.resolve();

  constructor(redis: Redis, worker: Worker, lockMs: number, end: () => void) {
    this.#redis = redis;
    this.#worker = worker;
    this.#lockMs = lockMs;
    this.#end = end;
  }

  async claim(signal: AbortSignal): Promise<Claim | null> {
    const turn = this.#fetching.then(() => this.#fetch(signal));
    this.#fetching = turn.catch(() => undefined);
    let stop = (): void => {};
    const stopped = new Promise<null>((resolve) => {
      stop = () => resolve(null);
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop, { once: true });
    });
    return Promise.race([turn, stopped]).finally(() => signal.removeEventListener("abort", stop));
  }

  async isIdle(): Promise<boolean> {
    const { wait, delayed, meta } = this.#worker.keys;
    // A pause may last: what waits meanwhile is no reason to stay.
    if ((await this.#redis.hexists(String(meta), "paused")) === 1) return true;
    const waiting = await this.#redis.llen(String(wait));
    return waiting + (await this.#redis.zcard(String(delayed))) === 0;
  }

  async close(): Promise<void> {
    this.#end();
    // Also where Redis does not answer.
    await this.#worker.close(true);
  }

  async #fetch(signal: AbortSignal): Promise<Claim | null> {
    if (signal.aborted) return null;
    const token = `${tokenStart()}:${randomBytes(6).toString("hex")}`;
    const job = (await this.#worker.getNextJob(token, { block: true })) as Job | undefined;
    if (job === undefined) return null;
    const claim = new BullClaim(job, token, this.#lockMs);
    if (!signal.aborted) return claim;
    // Nobody waits for it any more.
    await claim.release();
    return null;
  }
}

class BullClaim implements Claim {
  readonly id: string;
  readonly data: unknown;
  readonly attempt: number;
  readonly heartbeatMs: number;
  readonly #job: Job;
  readonly #token: string;
  readonly #lockMs: number;

  constructor(job: Job, token: string, lockMs: number) {
    this.#job = job;
    this.#token = token;
    this.#lockMs = lockMs;
    this.id = job.id ?? "";
    this.data = job.data;
    this.attempt = job.attemptsMade + 1;
    this.heartbeatMs = lockMs / 4;
  }

  async heartbeat(): Promise<boolean> {
    return (await this.#job.extendLock(this.#token, this.#lockMs)) === 1;
  }

  async complete(result: JobResult): Promise<void> {
    await this.#moved(() => this.#job.moveToCompleted(result, this.#token, false));
  }

  async fail(error: Error, canRetry: boolean): Promise<"retried" | "failed"> {
    const { UnrecoverableError } = await loadBullmq();
    const told = canRetry ? error : new UnrecoverableError(error.message);
    // The place in the code is of no use to who reads it in the queue.
    told.stack = told.message;
    await this.#moved(() => this.#job.moveToFailed(told, this.#token, false));
    return this.#job.finishedOn === undefined ? "retried" : "failed";
  }

  async release(): Promise<void> {
    await this.#moved(() => this.#job.moveToWait(this.#token));
  }

  async #moved(move: () => Promise<unknown>): Promise<void> {
    try {
      await move();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (/missing (?:lock|key)|lock mismatch|not in the active state/i.test(message)) {
        throw new ClaimLostError(message);
      }
      throw error;
    }
  }
}
