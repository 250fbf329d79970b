/** The work loop on a queue in memory: that the contract is enough, and what becomes of a job in every case. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim, JobQueue } from "../../fleet/contract.ts";
import {
  ClaimLostError,
  RefusedError,
  StorageError,
  WrongWorkerError,
} from "../../fleet/errors.ts";
import { InferenceError } from "../../fleet/inference/inference.ts";
import type { JobResult } from "../../fleet/job.ts";
import type { WorkTally } from "../../fleet/worker/work-loop.ts";
import { workOn } from "../../fleet/worker/work-loop.ts";

const RESULT: JobResult = { worker: "w", outcome: "written", pixels: 1, ms: 1 };

/** A queue of words. What happens to each job is told as `verb word`. */
class MemoryQueue implements JobQueue {
  readonly told: string[] = [];
  /** Answers of heartbeats. */
  isOurs = true;
  readonly #waiting: string[];

  constructor(...words: readonly string[]) {
    this.#waiting = [...words];
  }

  async claim(): Promise<Claim | null> {
    await sleep(2);
    const word = this.#waiting.shift();
    if (word === undefined) return null;
    const tell = async (verb: string): Promise<void> => void this.told.push(`${verb} ${word}`);
    return {
      id: word,
      data: word,
      attempt: 1,
      heartbeatMs: 5,
      heartbeat: async () => this.isOurs,
      complete: async () => {
        if (!this.isOurs) throw new ClaimLostError("lost");
        await tell("complete");
      },
      fail: async ({ message }, canRetry) => {
        await tell(`${canRetry ? "retry" : "give up"} (${message})`);
        return canRetry ? "retried" : "failed";
      },
      release: () => tell("release"),
    };
  }

  async isIdle(): Promise<boolean> {
    return this.#waiting.length === 0;
  }

  async close(): Promise<void> {}
}

interface Worked {
  readonly told: readonly string[];
  readonly notes: readonly string[];
  readonly tally: WorkTally;
}

async function work(
  queue: MemoryQueue,
  doJob: (word: string, signal: AbortSignal, begin: () => void) => Promise<JobResult>,
  options: Partial<Parameters<typeof workOn>[2]> = {},
): Promise<Worked> {
  const notes: string[] = [];
  const tally = await workOn(queue, (data, signal, begin) => doJob(String(data), signal, begin), {
    concurrency: 1,
    idleExitMs: 20,
    graceMs: 10_000,
    stop: new AbortController().signal,
    events: {
      done() {},
      failed() {},
      note: (message) => void notes.push(message),
    },
    ...options,
  });
  return { told: queue.told, notes, tally };
}

/** Lasts until it is told to end. */
const untilAborted = async (signal: AbortSignal): Promise<never> => {
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }
  throw new InferenceError("aborted", "interrupted");
};

it("does all jobs and ends when none comes", async () => {
  const { told, tally } = await work(new MemoryQueue("a", "b", "c"), async () => RESULT);
  expect(told).toEqual(["complete a", "complete b", "complete c"]);
  expect(tally).toEqual({ done: 3, failed: 0, givenBack: 0 });
});

it("does as many at once as it may", async () => {
  let now = 0;
  let most = 0;
  const count = async (): Promise<JobResult> => {
    most = Math.max(most, ++now);
    await sleep(20);
    now--;
    return RESULT;
  };
  await work(new MemoryQueue("a", "b", "c", "d"), count, { concurrency: 2 });
  expect(most).toBe(2);
});

it("reads the next picture while one is computed and a result is written, and no more than that", async () => {
  const told: string[] = [];
  let atWork = 0;
  let most = 0;
  let computing = Promise.resolve();
  const doJob = async (word: string, _: AbortSignal, begin: () => void): Promise<JobResult> => {
    most = Math.max(most, ++atWork);
    told.push(`read ${word}`);
    const before = computing;
    const compute = async (): Promise<void> => {
      await before;
      told.push(`compute ${word}`);
      begin();
      await sleep(20);
    };
    computing = compute();
    await computing;
    await sleep(30); // its result is written
    told.push(`wrote ${word}`);
    atWork--;
    return RESULT;
  };
  const { told: done } = await work(new MemoryQueue("a", "b", "c", "d", "e"), doJob);
  expect(told.slice(0, 3)).toEqual(["read a", "compute a", "read b"]);
  expect(told.indexOf("read c")).toBeLessThan(told.indexOf("wrote a"));
  expect(most).toBe(3);
  expect(done).toEqual(["a", "b", "c", "d", "e"].map((word) => `complete ${word}`));
});

describe("a job that fails", () => {
  it.each([
    [new Error("not an image"), "retry (not an image) a"],
    [new StorageError("the disk is full"), "retry (the disk is full) a"],
    [new InferenceError("device", "device: lost"), "retry (device: lost) a"],
    [new InferenceError("picture", "it is a folder"), "retry (it is a folder) a"],
    [new RefusedError("has changed"), "give up (has changed) a"],
    [new InferenceError("refused", "too many pixels"), "give up (too many pixels) a"],
  ])("%s: %s", async (error, wanted) => {
    const { told } = await work(new MemoryQueue("a", "b"), async (word) => {
      if (word === "a") throw error;
      return RESULT;
    });
    expect(told).toEqual([wanted, "complete b"]);
  });

  it("makes the worker wait where the next would fail, too", async () => {
    const startedAt = performance.now();
    await work(new MemoryQueue("a"), async () => {
      throw new StorageError("the disk is full");
    });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });
});

it.each([new WrongWorkerError("other model"), new InferenceError("model", "no such model")])(
  "ends and gives its job back where no job would work: %s",
  async (error) => {
    const queue = new MemoryQueue("a", "b");
    const failing = work(queue, async () => {
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(queue.told).toEqual(["release a"]);
  },
);

it("ends the work on a job that is another's now, and leaves that alone", async () => {
  const queue = new MemoryQueue("a", "b");
  const { told, notes } = await work(queue, async (word, signal) => {
    if (word === "b") return RESULT;
    queue.isOurs = false;
    try {
      return await untilAborted(signal);
    } finally {
      queue.isOurs = true;
    }
  });
  expect(told).toEqual(["complete b"]);
  expect(notes.join()).toContain("another worker's now");
});

it("takes a result that nobody waits for any more as lost, not as failed", async () => {
  const queue = new MemoryQueue("a");
  const { told, tally } = await work(queue, async () => {
    queue.isOurs = false;
    return RESULT;
  });
  expect([told, tally.done, tally.failed]).toEqual([[], 0, 0]);
});

describe("the signal to stop", () => {
  it("lets the job finish", async () => {
    const stop = new AbortController();
    const doJob = async (): Promise<JobResult> => {
      stop.abort();
      await sleep(30);
      return RESULT;
    };
    const { told } = await work(new MemoryQueue("a", "b"), doJob, { stop: stop.signal });
    expect(told).toEqual(["complete a"]);
  });

  it("gives back at once what was only read", async () => {
    const stop = new AbortController();
    const doJob = async (
      word: string,
      signal: AbortSignal,
      begin: () => void,
    ): Promise<JobResult> => {
      if (word === "b") return untilAborted(signal);
      begin();
      await sleep(20);
      stop.abort();
      await sleep(30);
      return RESULT;
    };
    const { told } = await work(new MemoryQueue("a", "b"), doJob, { stop: stop.signal });
    expect(told).toEqual(["release b", "complete a"]);
  });

  it("gives it back after the grace", async () => {
    const stop = new AbortController();
    const doJob = async (_: string, signal: AbortSignal, begin: () => void): Promise<JobResult> => {
      begin();
      stop.abort();
      return untilAborted(signal);
    };
    const options = { stop: stop.signal, graceMs: 20 };
    const { told, tally } = await work(new MemoryQueue("a", "b"), doJob, options);
    expect(told).toEqual(["release a"]);
    expect(tally).toEqual({ done: 0, failed: 0, givenBack: 1 });
  });

  it("gives it back at once where it comes twice", async () => {
    const [stop, stopNow] = [new AbortController(), new AbortController()];
    const doJob = async (_: string, signal: AbortSignal): Promise<JobResult> => {
      stop.abort();
      stopNow.abort();
      return untilAborted(signal);
    };
    const options = { stop: stop.signal, stopNow: stopNow.signal };
    const { told } = await work(new MemoryQueue("a"), doJob, options);
    expect(told).toEqual(["release a"]);
  });
});

it("asks a queue again that cannot be asked, and says so", async () => {
  const queue = new MemoryQueue("a");
  const claim = queue.claim.bind(queue);
  let asked = 0;
  queue.claim = async () => {
    if (asked++ === 0) throw new Error("no connection");
    return claim();
  };
  const { told, notes } = await work(queue, async () => RESULT);
  expect(told).toEqual(["complete a"]);
  expect(notes).toEqual(["the queue cannot be asked: no connection"]);
});
