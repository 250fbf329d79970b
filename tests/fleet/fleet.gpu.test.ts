/**
 * Fleets of real processes on a real Redis: what survives kills and restarts, what a second submission does, what becomes of
 * bad input.
 */
import { spawnSync } from "node:child_process";
import {
  appendFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { main } from "../../cli/main.ts";
import { connectQueue } from "../../fleet/queue/connection.ts";
import type { FailedJob, JobCounts, JobStore } from "../../fleet/queue/job-store.ts";
import { openJobStore } from "../../fleet/queue/job-store.ts";
import { unpackedMesa } from "../../src/node/software-adapter.ts";
import { swiftShader } from "../../src/node/swiftshader.ts";
import { useStage } from "../cli/support/stage.ts";
import { recordingTerminal } from "../cli/support/terminal.ts";
import type { RedisServer } from "./redis.ts";
import { describeRedis, startRedis } from "./redis.ts";
import { startS3 } from "./s3-server.ts";
import type { Ended, Process } from "./support.ts";
import { differences, filesIn, makeModel, makePictures, rcod } from "./support.ts";

/** As many as the figures in docs/fleet.md have, where a run is to make them. */
const PICTURES = Number(process.env["RCOD_FLEET_PICTURES"] ?? 40);
const WORKERS = 3;
/** Between two kills, and the most of them: what starts anew compiles its shaders anew. */
const KILL_MS = 5000;
const MOST_KILLS = Math.ceil(PICTURES / 25);
const LOOK_MS = 500;
/** For workers that end when nothing is left. */
const IDLE = ["--idle-exit", "0"] as const;
/** For jobs that are to fail three times. */
const SOON = ["--retry-delay", "0.1"] as const;

/** As in vitest.config.ts. */
const MESA =
  process.env["RCOD_MESA"] ??
  fileURLToPath(new URL("../../node_modules/.cache/mesa", import.meta.url));

const stage = useStage();

describeRedis("a fleet", () => {
  let redis: RedisServer;
  let root = "";
  let model = "";
  let queues = 0;
  let queue: readonly string[] = [];
  /** The queue as a process of `rcod fleet status` sees it, without one for each look. */
  let store: JobStore;

  beforeAll(async () => {
    redis = await startRedis();
    root = await mkdtemp(join(tmpdir(), "rcod-fleet-test-"));
    model = join(root, "model");
    await makeModel(model);
  });
  afterAll(async () => {
    await redis.end();
    await rm(root, { recursive: true, force: true });
  });
  beforeEach(async () => {
    const name = `fleet-${queues++}`;
    queue = ["--queue", redis.url, "--name", name];
    const connection = await connectQueue(redis.url, () => {});
    store = await openJobStore(connection, name);
    return () => connection.disconnect();
  });

  const at = (...names: readonly string[]): string => join(root, ...names);
  /** A command without a process of its own, which takes a second to start; workers have one. */
  const fleet = async (command: string, ...args: readonly string[]): Promise<Ended> => {
    const { out, note, progressStream, stdout, stderr } = recordingTerminal();
    const terminal = { out, note, progressStream };
    const exitCode = await main(["fleet", command, ...args, ...queue], terminal);
    const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");
    return { exitCode, stdout: text(stdout), stderr: text(stderr) };
  };
  const submit = (...args: readonly string[]): Promise<Ended> =>
    fleet("submit", "--model", model, ...args);
  const counts = (): Promise<JobCounts> => store.counts();

  /** A worker that ends with the test. */
  function worker(args: readonly string[] = [], variables: NodeJS.ProcessEnv = {}): Process {
    const started = rcod(
      stage.rcod,
      ["fleet", "work", "--model", model, ...args, ...queue],
      variables,
    );
    onTestFinished(async () => {
      started.child.kill("SIGKILL");
      await started.ended;
    });
    return started;
  }

  const ended = async ({ ended: end }: Process): Promise<Ended> => end;

  it("loses nothing and doubles nothing while workers are killed and Redis restarts", async () => {
    await makePictures(at("in"), PICTURES);
    const single = rcod(stage.rcod, ["upscale", at("in"), "-o", at("single/"), "--model", model]);
    expect((await ended(single)).exitCode).toBe(0);

    const sent = await submit(at("in"), "--to", at("out"));
    expect([sent.exitCode, sent.stdout]).toEqual([
      0,
      `${PICTURES} pictures: ${PICTURES} submitted\n`,
    ]);
    const startedAt = performance.now();
    const workers = Array.from({ length: WORKERS }, () => worker());
    const inodes = new Map<string, number>();
    let kills = 0;
    let killedAt = performance.now();
    let hasRestarted = false;
    for (;;) {
      await sleep(LOOK_MS);
      const names = await readdir(at("out")).catch(() => []);
      const results = names.filter((name) => name.endsWith("-x4.png"));
      for (const name of results) {
        const { ino } = await stat(at("out", name));
        expect(inodes.get(name) ?? ino, `${name} was written twice`).toBe(ino);
        inodes.set(name, ino);
      }
      if (results.length === PICTURES) break;
      // A worker that starts while nobody answers would say so and end.
      const areConnected = workers.every((each) => each.said().includes("takes jobs"));
      if (!hasRestarted && results.length > PICTURES / 3 && areConnected) {
        await redis.stop();
        await redis.start();
        hasRestarted = true;
        continue;
      }
      // One that has come to work: on a slow machine the others would be killed before their first picture for ever.
      const victim = workers.findIndex((each) => each.said().includes(" → "));
      const isTime = performance.now() - killedAt > KILL_MS && kills < MOST_KILLS;
      if (victim < 0 || !isTime) continue;
      killedAt = performance.now();
      kills++;
      const [killed] = workers.splice(victim, 1, worker());
      killed?.child.kill("SIGKILL");
      await killed?.ended;
    }
    // The last ones that were killed may have finished their pictures, but not told so.
    await expect
      .poll(counts, { timeout: 90_000, interval: 200 })
      .toMatchObject({ waiting: 0, retrying: 0, active: 0, failed: 0, done: PICTURES });
    const seconds = (performance.now() - startedAt) / 1000;
    process.stdout.write(
      `fleet: ${PICTURES} pictures, ${WORKERS} workers, ${kills} killed, Redis restarted: ` +
        `${seconds.toFixed(0)} s, ${(await differences(at("single"), at("out"))).length} differ\n`,
    );
    for (const { child } of workers) child.kill("SIGTERM");
    for (const each of workers) expect((await each.ended).exitCode, each.said()).toBe(0);
    expect(await differences(at("single"), at("out"))).toEqual([]); // no temporary file either
    expect([hasRestarted, kills > 0]).toEqual([true, true]);

    // A second time there is nothing to do.
    const again = await submit(at("in"), "--to", at("out"), "--watch");
    expect([again.exitCode, again.stdout]).toEqual([
      0,
      `${PICTURES} pictures: 0 submitted, ${PICTURES} done before\n`,
    ]);
    // But for what is gone.
    await rm(at("out", "p0001-x4.png"));
    const rest = await submit(at("in"), "--to", at("out"));
    expect(rest.stdout).toBe(`${PICTURES} pictures: 1 submitted, ${PICTURES - 1} done before\n`);
  }, 600_000);

  it("tells bad input by its message, and goes on with the good", async () => {
    const input = at("bad");
    await makePictures(input, 4);
    await writeFile(
      join(input, "broken.png"),
      (await readFile(join(input, "p0003.png"))).subarray(0, 90),
    );
    const sent = await submit(input, "--to", at("bad-out"), ...SOON);
    expect(sent.stdout).toBe("5 pictures: 5 submitted\n");
    await rm(join(input, "p0001.png"));
    await appendFile(join(input, "p0002.png"), "more");
    const mostPixels = ["--max-input-megapixels", "0.0005"]; // 20 × 20 are too many, 16 × 16 are not
    const small = await ended(worker([...IDLE, ...mostPixels]));
    expect(small.exitCode).toBe(0);
    const { failed } = JSON.parse((await fleet("failed", "--json")).stdout) as {
      readonly failed: readonly FailedJob[];
    };
    expect(failed).toHaveLength(4);
    const errors = Object.fromEntries(
      failed.map(({ input: path, ...rest }) => [path.split("/").at(-1), rest]),
    );
    expect(errors).toMatchObject({
      "broken.png": { attempts: 3 },
      "p0000.png": { attempts: 1, error: expect.stringContaining("--max-input-megapixels") },
      "p0001.png": { attempts: 3, error: expect.stringContaining("no such file") },
      "p0002.png": { attempts: 1, error: expect.stringContaining("has changed since") },
    });
    expect([...(await filesIn(at("bad-out"))).keys()]).toEqual(["p0003-x4.png"]);
    expect((await fleet("failed", "--retry")).stdout).toBe("4 tried again\n");
    expect(await ended(worker(IDLE))).toMatchObject({ exitCode: 0 });
    expect([...(await filesIn(at("bad-out"))).keys()]).toEqual(["p0000-x4.png", "p0003-x4.png"]);
  }, 120_000);

  it("refuses at submission what no worker could do", async () => {
    await makePictures(at("few"), 2);
    const to = ["--to", at("few-out")];
    for (const [args, message] of [
      [[at("few"), ...to, "--scale", "9"], "It must be a number from 1 to 4"],
      [[at("few"), ...to, "--quality", "5", "--format", "png"], "--quality is for JPEG"],
      [[at("few"), ...to, "--realism", "auto"], "has no mem/"],
      [[at("none"), ...to], "no such file or folder"],
      [["gs://bucket/a", ...to], "no place that a fleet reads"],
      [[at("few")], "required option '--to <address>' not specified"],
    ] as const) {
      const { exitCode, stderr } = await submit(...args);
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining(message)]);
    }
    const { stdout } = await fleet("status", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ waiting: 0, done: 0, workers: [] });
  }, 120_000);

  it("takes folders below folders, globs and lists", async () => {
    await makePictures(at("tree", "deep"), 2);
    await makePictures(at("tree"), 1);
    // As an editor on Windows writes it.
    await writeFile(
      at("list.txt"),
      `\ufeff${at("tree", "p0000.png")}\r\n\r\n${at("tree", "deep", "*1.png")}\r\n`,
    );
    const to = ["--to", at("tree-out")];
    const listed = await submit(`@${at("list.txt")}`, ...to);
    expect(listed.stdout).toBe("2 pictures: 2 submitted\n");
    // The same addresses but for the folder below --to that the search keeps.
    const searched = await submit(at("tree"), "--recursive", ...to);
    expect(searched.stdout).toBe("3 pictures: 2 submitted, 1 in the queue already\n");
    expect((await fleet("drain")).stdout).toBe("4 jobs taken back; those at work go on\n");
  }, 60_000);

  it("gives a job back that is cut short by SIGTERM, and pauses", async () => {
    await makePictures(at("stop"), 3);
    await submit(at("stop"), "--to", at("stop-out"));
    const busy = worker(["--grace", "0"]);
    await expect.poll(counts, { timeout: 60_000, interval: 20 }).toMatchObject({ active: 1 });
    busy.child.kill("SIGTERM");
    const { exitCode, stderr } = await ended(busy);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/ends: \d done, 0 failed, [0-3] given back/);
    const { waiting, done, active } = await counts();
    expect([waiting + done, active]).toEqual([3, 0]);
    expect((await fleet("pause")).exitCode).toBe(0);
    const idle = await ended(worker(IDLE));
    expect(idle.exitCode).toBe(0);
    expect(await counts()).toMatchObject({ waiting, done, isPaused: true });
    await fleet("resume");
    const finishing = worker(IDLE);
    const watched = await submit(at("stop"), "--to", at("stop-out"), "--watch");
    expect([watched.exitCode, watched.stdout]).toEqual([0, expect.stringContaining("0 failed")]);
    expect((await ended(finishing)).exitCode).toBe(0);
    expect((await filesIn(at("stop-out"))).size).toBe(3);
    const shown = await rcod(stage.rcod, ["fleet", "status", ...queue]).ended;
    expect(shown.stdout).toMatch(/: 0 waiting, 0 active, 3 done, 0 failed; nothing left to do/);
    expect((await fleet("status", "--prometheus")).stdout).toContain(
      "rcod_worker_pictures_per_second",
    );
  }, 120_000);

  it("keeps jobs whose disk is full, and waits before the next", async () => {
    const small = at("small-disk");
    await mkdir(small);
    const mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small];
    if (
      spawnSync("unshare", ["--version"]).status !== 0 ||
      spawnSync(mount[0]!, mount.slice(1)).status !== 0
    ) {
      process.stderr.write("SKIP the full disk: no small file system can be mounted here\n");
      return;
    }
    onTestFinished(() => void spawnSync("umount", [small]));
    await writeFile(join(small, "ballast"), Buffer.alloc(60_000));
    await makePictures(at("disk"), 1);
    await submit(at("disk"), "--to", small, ...SOON);
    const working = worker();
    await expect.poll(counts, { timeout: 60_000, interval: 100 }).toMatchObject({ failed: 1 });
    expect((await store.failed())[0]).toMatchObject({
      attempts: 3,
      error: expect.stringContaining("the disk is full"),
    });
    expect(await readdir(small)).toEqual(["ballast"]);
    await rm(join(small, "ballast"));
    await store.retryFailed();
    await expect.poll(counts, { timeout: 60_000, interval: 100 }).toMatchObject({ done: 1 });
    working.child.kill("SIGTERM");
    expect((await ended(working)).exitCode).toBe(0);
  }, 120_000);

  it("ends where the model is another, and takes no job by that", async () => {
    await makePictures(at("other"), 1);
    await submit(at("other"), "--to", at("other-out"));
    const other = at("other-model");
    await makeModel(other);
    await appendFile(join(other, "rcod_config.json"), "\n");
    const wrong = rcod(stage.rcod, ["fleet", "work", "--model", other, ...queue]);
    const { exitCode, stderr } = await wrong.ended;
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringContaining("the queue's jobs are for the model"),
    ]);
    expect(await counts()).toMatchObject({ waiting: 1, active: 0, failed: 0 });
  }, 60_000);

  it("computes on the GPU that a number names, of several", async () => {
    const mesa = unpackedMesa(MESA) ?? unpackedMesa();
    const other = await swiftShader();
    if (mesa === null || other === null) {
      process.stderr.write("SKIP --gpu of several: there are no two software adapters here\n");
      return;
    }
    const drivers = [mesa, other].map(({ env }) => env["VK_DRIVER_FILES"]).join(":");
    const both = { ...mesa.env, VK_DRIVER_FILES: drivers, VK_ICD_FILENAMES: drivers };
    await makePictures(at("gpus"), 1);
    await submit(at("gpus"), "--to", at("gpus-out"));
    const none = await ended(worker(["--gpu", "7"], both));
    const shown = /--gpu 7: counted from 0, this machine shows 0 \((.*)\), 1 \((.*)\)$/m;
    const [, ...names] = shown.exec(none.stderr) ?? [];
    expect([none.exitCode, ...names.toSorted()], none.stderr).toEqual([
      2,
      expect.stringContaining("SwiftShader"),
      expect.stringContaining("llvmpipe"),
    ]);
    for (const [index, name] of names.entries()) {
      const one = worker(["--gpu", String(index), "--grace", "0"], both);
      await expect.poll(() => one.said(), { timeout: 60_000 }).toContain(`computes on`);
      one.child.kill("SIGTERM");
      expect((await ended(one)).stderr).toMatch(new RegExp(`computes on .*${name.split(" ")[0]}`));
    }
  }, 120_000);

  describe("on S3", () => {
    it("reads from buckets and writes to them, and says that credentials are wrong", async () => {
      const { variables, end } = await startS3("kept", "in", "out");
      onTestFinished(end);
      const { s3Storage } = await import("../../fleet/storage/s3.ts");
      Object.assign(process.env, variables);
      const storage = s3Storage();
      await makePictures(at("s3"), 2);
      const pictures = await filesIn(at("s3"));
      for (const [name, bytes] of pictures) {
        const place = await storage.place(`s3://in/set/deep/${name}`);
        await writeFile(place.path, bytes);
        await place.publish(false, new AbortController().signal);
      }
      const sent = await submit("s3://in/set/", "--recursive", "--to", "s3://out/x4", ...SOON);
      expect([sent.exitCode, sent.stdout]).toEqual([0, "2 pictures: 2 submitted\n"]);

      const refused = worker(IDLE, { AWS_ACCESS_KEY_ID: "nobody" });
      await expect
        .poll(() => refused.said(), { timeout: 60_000 })
        .toContain("the storage refuses these credentials");
      refused.child.kill("SIGKILL");
      await ended(refused);

      await store.retryFailed();
      expect((await ended(worker(IDLE))).exitCode).toBe(0);
      expect(await counts()).toMatchObject({ done: 2, failed: 0 });
      const single = rcod(stage.rcod, [
        "upscale",
        at("s3"),
        "-o",
        at("s3-single/"),
        "--model",
        model,
      ]);
      await single.ended;
      for (const [name, bytes] of await filesIn(at("s3-single"))) {
        const file = await storage.read(
          `s3://out/x4/deep/${name}`,
          1e9,
          new AbortController().signal,
        );
        expect((await readFile(file.path)).equals(bytes), name).toBe(true);
        await file.release();
      }
      const again = await submit("s3://in/set/", "--recursive", "--to", "s3://out/x4");
      expect(again.stdout).toBe("2 pictures: 0 submitted, 2 done before\n");
    }, 120_000);
  });
});
