/** BullMQ on a real Redis as a `JobQueue`, and the connection to it. */
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, expect, it, onTestFinished } from "vitest";
import { machine } from "../../cli/temporary.ts";
import type { Claim, JobQueue } from "../../fleet/contract.ts";
import { ClaimLostError } from "../../fleet/errors.ts";
import type { FleetJob, JobResult } from "../../fleet/job.ts";
import { jobId } from "../../fleet/job.ts";
import { openBullQueue } from "../../fleet/queue/bull-queue.ts";
import { checkQueueUrl, connectQueue } from "../../fleet/queue/connection.ts";
import type { JobStore } from "../../fleet/queue/job-store.ts";
import { openJobStore } from "../../fleet/queue/job-store.ts";
import { useFolder } from "../cli/support/terminal.ts";
import type { RedisServer } from "./redis.ts";
import { describeRedis, freePort, startRedis } from "./redis.ts";

const RESULT: JobResult = { worker: "w", outcome: "written", pixels: 4e6, ms: 20 };
const never = new AbortController().signal;

const job = (name: string): FleetJob => ({
  input: `/in/${name}.png`,
  output: `/out/${name}-x4.png`,
  size: 1,
  version: "sha256:0",
  model: "m",
  options: [],
});

let names = 0;

describeRedis("a queue on Redis", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
    return () => server.end();
  });

  const ends: (() => void | Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  interface Opened {
    readonly store: JobStore;
    readonly notes: string[];
    worker(lockMs?: number, waitMs?: number): Promise<JobQueue>;
  }

  async function opened(...jobs: readonly FleetJob[]): Promise<Opened> {
    const name = `test-${names++}`;
    const notes: string[] = [];
    const connect = async () => {
      const redis = await connectQueue(server.url, (note) => void notes.push(note));
      ends.push(() => redis.disconnect());
      return redis;
    };
    const store = await openJobStore(await connect(), name);
    await store.add(jobs);
    return {
      store,
      notes,
      async worker(lockMs = 300_000, waitMs = 5000) {
        const options = { name, worker: `w${names++}`, lockMs, waitMs, onNote: () => {} };
        const queue = await openBullQueue(await connect(), options);
        ends.unshift(() => queue.close());
        return queue;
      },
    };
  }

  async function claimed(queue: JobQueue): Promise<Claim> {
    for (let tries = 0; tries < 20; tries++) {
      const claim = await queue.claim(never);
      if (claim !== null) return claim;
    }
    throw new Error("no job came");
  }

  it("hands each job to one worker, with its data, and keeps what came of it", async () => {
    const { store, worker } = await opened(job("a"), job("b"));
    const [one, two] = [await worker(), await worker()];
    const [a, b] = [await claimed(one), await claimed(two)];
    expect([a.data, b.data]).toEqual([job("a"), job("b")]);
    expect(await store.counts()).toMatchObject({ waiting: 0, active: 2, done: 0 });
    expect(await a.heartbeat()).toBe(true);
    await a.complete(RESULT);
    await b.complete({ ...RESULT, outcome: "there" });
    expect(await store.counts()).toMatchObject({ active: 0, done: 2, failed: 0 });
    expect((await store.done(10)).map(({ outcome }) => outcome).toSorted()).toEqual([
      "there",
      "written",
    ]);
    expect(await one.isIdle()).toBe(true);
  });

  it("knows a job by its id: a second time changes nothing", async () => {
    const { store, worker } = await opened(job("a"), job("a"));
    await store.add([job("a"), job("b")]);
    expect(await store.counts()).toMatchObject({ waiting: 2 });
    await (await claimed(await worker())).complete(RESULT);
    await store.add([job("a"), job("b")]);
    expect(await store.counts()).toMatchObject({ waiting: 1, done: 1 });
    const states = await store.states([job("a"), job("b"), job("c")].map(jobId));
    expect(states).toEqual(["done", "waiting", "none"]);
  });

  it("tries a job three times, soon where it was submitted so, and keeps the message", async () => {
    const { store, worker } = await opened();
    await store.add([job("a")], 0.05);
    const startedAt = performance.now();
    const queue = await worker();
    for (const [attempt, wanted] of [
      [1, "retried"],
      [2, "retried"],
      [3, "failed"],
    ] as const) {
      const claim = await claimed(queue);
      expect(claim.attempt).toBe(attempt);
      expect(await claim.fail(new Error("not an image"), true)).toBe(wanted);
      if (wanted === "retried") expect(await queue.isIdle()).toBe(false);
    }
    expect(performance.now() - startedAt).toBeLessThan(2000); // the second try's delay without a word
    expect(await store.failed()).toEqual([
      { id: jobId(job("a")), input: "/in/a.png", attempts: 3, error: "not an image" },
    ]);
    expect(await store.retryFailed()).toBe(1);
    expect((await claimed(queue)).attempt).toBe(1);
  });

  it("gives up at once what is refused", async () => {
    const { store, worker } = await opened(job("a"));
    const claim = await claimed(await worker());
    expect(await claim.fail(new Error("too large"), false)).toBe("failed");
    expect(await store.failed()).toMatchObject([{ attempts: 1, error: "too large" }]);
  });

  it("takes a job back for another worker, without an attempt", async () => {
    const { worker } = await opened(job("a"));
    await (await claimed(await worker())).release();
    const again = await claimed(await worker());
    expect([again.data, again.attempt]).toEqual([job("a"), 1]);
  });

  it("ends a claim without a job after the time that is given", async () => {
    const { worker } = await opened();
    const queue = await worker(300_000, 200);
    await queue.claim(never);
    const startedAt = performance.now();
    expect(await queue.claim(never)).toBe(null);
    expect(performance.now() - startedAt).toBeGreaterThan(150);
    expect(performance.now() - startedAt).toBeLessThan(2000); // else it waits for five seconds
  });

  it("ends a claim at once with its signal, and loses no job by it", async () => {
    const { store, worker } = await opened();
    const queue = await worker();
    const stop = new AbortController();
    const startedAt = performance.now();
    const claiming = queue.claim(stop.signal);
    setTimeout(() => stop.abort(), 100);
    expect(await claiming).toBe(null);
    expect(performance.now() - startedAt).toBeLessThan(3000);
    await store.add([job("a")]); // comes while the abandoned claim still waits
    await expect.poll(async () => (await store.counts()).waiting, { timeout: 10_000 }).toBe(1);
  });

  it("takes a job away from a worker that was not heard of, which then hears of it", async () => {
    const { store, worker } = await opened(job("a"));
    const silent = await claimed(await worker(1000));
    const again = await claimed(await worker(1000));
    expect(again.data).toEqual(job("a"));
    expect(await silent.heartbeat()).toBe(false);
    await expect(silent.complete(RESULT)).rejects.toBeInstanceOf(ClaimLostError);
    await again.complete(RESULT);
    expect(await store.counts()).toMatchObject({ done: 1, failed: 0 });
  }, 30_000);

  it("frees the job of a worker of this machine that was killed, whatever its lock", async () => {
    const { store, worker } = await opened(job("killed"));
    const claim = await claimed(await worker(8000));
    // The same lock as of a process that is gone.
    const gone = spawn("true");
    await new Promise((resolve) => gone.once("exit", resolve));
    const redis = await connectQueue(server.url, () => {});
    ends.push(() => redis.disconnect());
    const [key = ""] = await redis.keys(`*${claim.id}:lock`);
    await redis.set(key, `${machine()}:${gone.pid}:00`, "PX", 300_000);
    // It looks every two seconds, and the lock would hold for five minutes.
    expect((await claimed(await worker(8000))).data).toEqual(job("killed"));
    expect(await store.counts()).toMatchObject({ active: 1, waiting: 0 });
  }, 60_000);

  it("pauses, goes on, and takes back what nobody has begun", async () => {
    const { store, worker } = await opened(job("a"), job("b"));
    await store.pause();
    const queue = await worker();
    expect(await queue.claim(never)).toBe(null);
    expect(await store.counts()).toMatchObject({ waiting: 2, isPaused: true });
    await store.resume();
    await claimed(queue);
    expect(await store.drain()).toBe(1);
    expect(await store.counts()).toMatchObject({ waiting: 0, active: 1, isPaused: false });
  });

  it("refuses jobs for another model while there are some for this one", async () => {
    const { store, worker } = await opened();
    await store.useModel("a".repeat(64));
    await store.useModel("b".repeat(64)); // nothing waits for the first
    await store.add([job("a")]);
    await expect(store.useModel("c".repeat(64))).rejects.toThrow(
      "1 unfinished jobs for another model",
    );
    await (await claimed(await worker())).complete(RESULT);
    await store.useModel("c".repeat(64));
  });

  it("outlives a restart of Redis, with one note about each end of it", async () => {
    const { store, worker, notes } = await opened(job("a"), job("b"));
    const queue = await worker();
    const claim = await claimed(queue);
    await server.stop();
    const completing = claim.complete(RESULT);
    await sleep(1500);
    await server.start();
    await completing;
    await (await claimed(queue)).complete(RESULT);
    expect(await store.counts()).toMatchObject({ done: 2, waiting: 0, active: 0 });
    expect(notes.filter((note) => note.includes("is not reachable"))).toHaveLength(2); // store and worker
    expect(notes.filter((note) => note.includes("is back"))).toHaveLength(2);
  }, 60_000);

  it("names its workers", async () => {
    const { store, worker } = await opened();
    await worker();
    await worker();
    expect(await store.workers()).toEqual([`w${names - 2}`, `w${names - 1}`]);
    expect(await store.prometheus()).toContain('bullmq_job_count{queue="');
  });
});

describeRedis("a Redis with a password", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis("--requirepass", "secret");
    return () => server.end();
  });

  it.each(["", ":wrong@", "nobody:wrong@"])("refuses %j in a line without it", async (who) => {
    const url = server.url.replace("//", `//${who}`);
    const failing = connectQueue(url, () => {});
    await expect(failing).rejects.toThrow("refuses these credentials");
    await expect(failing).rejects.not.toThrow("wrong@");
  });

  it("takes the right one", async () => {
    const redis = await connectQueue(server.url.replace("//", "//:secret@"), () => {});
    onTestFinished(() => redis.disconnect());
    expect(await redis.ping()).toBe("PONG");
  });
});

describeRedis("a Redis with TLS", () => {
  const folder = useFolder();

  it("whose certificate nobody here knows is told as such", async () => {
    const [key, certificate] = [folder.file("key.pem"), folder.file("certificate.pem")];
    const words = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
    ];
    const files = ["-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1", "-days", "2"];
    const { status } = spawnSync("openssl", [...words, ...files]);
    expect(status, "openssl makes a certificate").toBe(0);
    const port = await freePort();
    const tls = ["--tls-port", `${port}`, "--tls-auth-clients", "no"];
    const pair = ["--tls-cert-file", certificate, "--tls-key-file", key];
    const server = await startRedis(...tls, ...pair, "--tls-ca-cert-file", certificate);
    onTestFinished(() => server.end());
    await expect(connectQueue(`rediss://127.0.0.1:${port}`, () => {})).rejects.toThrow(
      `queue rediss://127.0.0.1:${port} has a certificate that is not trusted here (self-signed certificate). ` +
        "Name the file of its authority in NODE_EXTRA_CA_CERTS",
    );
  });
});

it("says within ten seconds that nobody answers", async () => {
  const port = await freePort();
  await expect(connectQueue(`redis://127.0.0.1:${port}`, () => {})).rejects.toThrow(
    `queue redis://127.0.0.1:${port} cannot be reached: nothing listens there`,
  );
  // One that takes connections and never says a word.
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void silent.close());
  const address = silent.address();
  const at = typeof address === "object" ? address?.port : 0;
  const startedAt = performance.now();
  await expect(connectQueue(`redis://127.0.0.1:${at}`, () => {})).rejects.toThrow(
    "no answer within 8 seconds",
  );
  expect(performance.now() - startedAt).toBeLessThan(10_000);
}, 30_000);

it.each([
  "redis://user:sec#ret@host",
  "redis://:1#secret@host:6379",
  "redis://u:2/secret@host",
  "//u:secret@h",
])("tells how to write the password of %j, and not what it is", (url) => {
  expect(() => checkQueueUrl(url)).toThrow("In a password, write @ as %40");
  expect(() => checkQueueUrl(url)).not.toThrow("ret@");
});

it.each(["nonsense", "http://host", "host:6379", ""])("refuses %j as a queue", (url) => {
  expect(() => checkQueueUrl(url)).toThrow("--queue ");
});
