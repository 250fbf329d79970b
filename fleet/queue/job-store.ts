/** The queue from outside: jobs in, counts and lists out. */
import type { Job, Queue } from "bullmq";
import type { Redis } from "ioredis";
import { CliError } from "../../cli/errors.ts";
import type { FleetJob, JobResult } from "../job.ts";
import { jobId } from "../job.ts";
import { loadBullmq } from "../packages.ts";

/** Where a job is. */
export type JobState = "none" | "waiting" | "done" | "failed";

/** Jobs by state. */
export interface JobCounts {
  readonly waiting: number;
  /** Failed once or twice and waiting for the next try. */
  readonly retrying: number;
  readonly active: number;
  readonly done: number;
  readonly failed: number;
  readonly isPaused: boolean;
}

/** A job that is being worked on. */
export interface ActiveJob {
  readonly input: string;
  readonly worker: string;
  readonly since: number;
}

/** A job that failed for good. */
export interface FailedJob {
  readonly id: string;
  readonly input: string;
  readonly attempts: number;
  readonly error: string;
}

/** A job that is done, and when. */
export interface DoneJob extends JobResult {
  readonly startedAt: number;
  readonly finishedAt: number;
}

/** Tries of a job before it is a failed one. */
export const ATTEMPTS = 3;
/** Seconds before the second try of a job, where nobody says another number; twice that before the third. */
export const RETRY_SECONDS = 2;
/** Jobs that go to Redis at once. */
const CHUNK = 500;

/** What is kept in Redis of a job that is done: long enough for any `status`, not for ever. */
const KEEP_DONE = { age: 30 * 24 * 3600 } as const;

/** Opens the queue `name`. `redis` stays the caller's. */
export async function openJobStore(redis: Redis, name: string): Promise<JobStore> {
  const { Queue: BullQueue } = await loadBullmq();
  const queue = new BullQueue(name, { connection: redis });
  queue.on("error", () => {}); // the connection tells of outages
  await queue.waitUntilReady();
  return new JobStore(redis, queue);
}

export class JobStore {
  readonly #redis: Redis;
  readonly #queue: Queue;

  constructor(redis: Redis, queue: Queue) {
    this.#redis = redis;
    this.#queue = queue;
  }

  /** States of jobs, in their order. */
  async states(ids: readonly string[]): Promise<readonly JobState[]> {
    const states: JobState[] = [];
    for (const chunk of chunks(ids)) {
      const pipeline = this.#redis.pipeline();
      for (const id of chunk) {
        pipeline.exists(this.#queue.toKey(id));
        pipeline.zscore(String(this.#queue.keys["completed"]), id);
        pipeline.zscore(String(this.#queue.keys["failed"]), id);
      }
      const answers = (await pipeline.exec()) ?? [];
      const values = answers.map(([error, value]) => {
        if (error) throw error;
        return value;
      });
      for (let i = 0; i < values.length; i += 3) {
        const [exists, done, failed] = values.slice(i, i + 3);
        if (done !== null) states.push("done");
        else if (failed !== null) states.push("failed");
        else states.push(exists === 1 ? "waiting" : "none");
      }
    }
    return states;
  }

  /** Adds jobs; one that is there already stays as it is. */
  async add(jobs: readonly FleetJob[], retrySeconds: number = RETRY_SECONDS): Promise<void> {
    for (const chunk of chunks(jobs)) {
      await this.#queue.addBulk(
        chunk.map((job) => ({
          name: "upscale",
          data: job,
          opts: {
            jobId: jobId(job),
            attempts: ATTEMPTS,
            backoff: { type: "exponential", delay: retrySeconds * 1000 },
            removeOnComplete: KEEP_DONE,
            stackTraceLimit: 1,
          },
        })),
      );
    }
  }

  /** Forgets jobs that are done or failed. */
  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#queue.remove(id);
  }

  async counts(): Promise<JobCounts> {
    const counts = await this.#queue.getJobCounts(
      "waiting",
      "prioritized",
      "delayed",
      "active",
      "completed",
      "failed",
    );
    const of = (state: string): number => counts[state] ?? 0;
    return {
      waiting: of("waiting") + of("prioritized"),
      retrying: of("delayed"),
      active: of("active"),
      done: of("completed"),
      failed: of("failed"),
      isPaused: await this.#queue.isPaused(),
    };
  }

  async active(): Promise<readonly ActiveJob[]> {
    const jobs = (await this.#queue.getActive()) as readonly Job<FleetJob>[];
    return jobs.map((job) => ({
      input: job.data.input,
      worker: job.processedBy ?? "",
      since: job.processedOn ?? 0,
    }));
  }

  /** Those that failed last, first. */
  async failed(most = Infinity): Promise<readonly FailedJob[]> {
    const end = Number.isFinite(most) ? most - 1 : -1;
    const jobs = (await this.#queue.getFailed(0, end)) as readonly Job<FleetJob>[];
    return jobs.map((job) => ({
      id: job.id ?? "",
      input: job.data.input,
      attempts: job.attemptsMade,
      error: job.failedReason,
    }));
  }

  /** Those that were done last, first. */
  async done(most: number): Promise<readonly DoneJob[]> {
    const jobs = (await this.#queue.getCompleted(0, most - 1)) as readonly Job<
      FleetJob,
      JobResult
    >[];
    return jobs.flatMap(({ returnvalue, processedOn = 0, finishedOn = 0 }) =>
      typeof returnvalue === "object" && returnvalue !== null
        ? [{ ...returnvalue, startedAt: processedOn, finishedAt: finishedOn }]
        : [],
    );
  }

  /** Names of the workers that are connected; undefined where the server does not tell. */
  async workers(): Promise<readonly string[] | undefined> {
    try {
      const clients = await this.#queue.getWorkers();
      const names = clients.map(({ rawname = "" }) => /:w:(.*)$/s.exec(rawname)?.[1]);
      return [...new Set(names.filter((name) => name !== undefined))].toSorted();
    } catch {
      return undefined;
    }
  }

  /** Tries all failed jobs again, with all their attempts. Returns how many. */
  async retryFailed(): Promise<number> {
    let count = 0;
    const jobs = (await this.#queue.getFailed()) as readonly Job[];
    for (const job of jobs) {
      await job.retry("failed", { resetAttemptsMade: true, resetAttemptsStarted: true });
      count++;
    }
    return count;
  }

  async pause(): Promise<void> {
    await this.#queue.pause();
  }

  async resume(): Promise<void> {
    await this.#queue.resume();
  }

  /** Takes back all jobs that nobody has begun. Returns how many. */
  async drain(): Promise<number> {
    const { waiting, retrying } = await this.counts();
    await this.#queue.drain(true);
    return waiting + retrying;
  }

  /** Counts in the text format of Prometheus. */
  async prometheus(): Promise<string> {
    return this.#queue.exportPrometheusMetrics();
  }

  /**
   * The model of the queue's jobs, which is set by who submits first. Throws `CliError` where unfinished jobs are for
   * another.
   */
  async useModel(checksum: string): Promise<void> {
    const key = this.#queue.toKey("rcod-model");
    const before = await this.#redis.get(key);
    if (before !== null && before !== checksum) {
      const { waiting, retrying, active } = await this.counts();
      if (waiting + retrying + active > 0) {
        throw new CliError(
          `queue ${this.#queue.name} has ${waiting + retrying + active} unfinished jobs for another model ` +
            `(${before.slice(0, 12)}…, not ${checksum.slice(0, 12)}…). Give these a queue of their own: --name`,
        );
      }
    }
    await this.#redis.set(key, checksum);
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += CHUNK) yield items.slice(i, i + CHUNK);
}
