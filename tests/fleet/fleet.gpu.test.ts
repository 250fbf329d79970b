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
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { useStage } from "../cli/support/stage.ts";
import type { RedisServer } from "./redis.ts";
import { describeRedis, startRedis } from "./redis.ts";
import { startS3 } from "./s3-server.ts";
import type { Ended, Process } from "./support.ts";
import { differences, filesIn, makeModel, makePictures, rcod } from "./support.ts";

/** As many as the figures in docs/fleet.md have, where a run is to make them. */
const PICTURES = Number(process.env["RCOD_FLEET_PICTURES"] ?? 60);
const WORKERS = 3;
/** Between two kills, and the most of them: what starts anew compiles its shaders anew. */
const KILL_MS = 5000;
const MOST_KILLS = Math.ceil(PICTURES / 25);
const LOOK_MS = 500;

const stage = useStage();

describeRedis("a fleet", () => {
  let redis: RedisServer;
  let root = "";
  let model = "";
  let queues = 0;
  let queue: readonly string[] = [];

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
  beforeEach(() => {
    queue = ["--queue", redis.url, "--name", `fleet-${queues++}`];
  });

  const at = (...names: readonly string[]): string => join(root, ...names);
  const fleet = (command: string, ...args: readonly string[]): Promise<Ended> =>
    rcod(stage.rcod, ["fleet", command, ...args, ...queue]).ended;
  const submit = (...args: readonly string[]): Promise<Ended> =>
    fleet("submit", "--model", model, ...args);
  const status = async (): Promise<Record<string, number>> =>
    JSON.parse((await fleet("status", "--json")).stdout) as Record<string, number>;
  const failed = async (): Promise<readonly { input: string; error: string; attempts: number }[]> =>
    (JSON.parse((await fleet("failed", "--json")).stdout) as { failed: [] }).failed;

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
      if (!hasRestarted && results.length > PICTURES / 3) {
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
      .poll(status, { timeout: 90_000, interval: 1000 })
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
    const sent = await submit(input, "--to", at("bad-out"));
    expect(sent.stdout).toBe("5 pictures: 5 submitted\n");
    await rm(join(input, "p0001.png"));
    await appendFile(join(input, "p0002.png"), "more");
    const mostPixels = ["--max-input-megapixels", "0.0005"]; // 20 × 20 are too many, 16 × 16 are not
    const small = await ended(worker(["--idle-exit", "1", ...mostPixels]));
    expect(small.exitCode).toBe(0);
    expect(await failed()).toHaveLength(4);
    const errors = Object.fromEntries(
      (await failed()).map(({ input: path, ...rest }) => [path.split("/").at(-1), rest]),
    );
    expect(errors).toMatchObject({
      "broken.png": { attempts: 3 },
      "p0000.png": { attempts: 1, error: expect.stringContaining("--max-input-megapixels") },
      "p0001.png": { attempts: 3, error: expect.stringContaining("no such file") },
      "p0002.png": { attempts: 1, error: expect.stringContaining("has changed since") },
    });
    expect([...(await filesIn(at("bad-out"))).keys()]).toEqual(["p0003-x4.png"]);
    expect((await fleet("failed", "--retry")).stdout).toBe("4 tried again\n");
    expect(await ended(worker(["--idle-exit", "1"]))).toMatchObject({ exitCode: 0 });
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
    expect(await status()).toMatchObject({ waiting: 0, done: 0 });
  }, 120_000);

  it("takes folders below folders, globs and lists", async () => {
    await makePictures(at("tree", "deep"), 2);
    await makePictures(at("tree"), 1);
    await writeFile(
      at("list.txt"),
      `${at("tree", "p0000.png")}\n\n${at("tree", "deep", "*1.png")}\n`,
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
    await expect.poll(status, { timeout: 60_000, interval: 200 }).toMatchObject({ active: 1 });
    busy.child.kill("SIGTERM");
    const { exitCode, stderr } = await ended(busy);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/ends: \d done, 0 failed, [01] given back/);
    const { waiting = 0, done = 0, active } = await status();
    expect([waiting + done, active]).toEqual([3, 0]);
    expect((await fleet("pause")).exitCode).toBe(0);
    const idle = await ended(worker(["--idle-exit", "0"]));
    expect(idle.exitCode).toBe(0);
    expect(await status()).toMatchObject({ waiting, done });
    await fleet("resume");
    const finishing = worker(["--idle-exit", "1"]);
    const watched = await submit(at("stop"), "--to", at("stop-out"), "--watch");
    expect([watched.exitCode, watched.stdout]).toEqual([0, expect.stringContaining("0 failed")]);
    expect((await ended(finishing)).exitCode).toBe(0);
    expect((await filesIn(at("stop-out"))).size).toBe(3);
    const shown = await fleet("status");
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
    await submit(at("disk"), "--to", small);
    const working = worker();
    await expect
      .poll(async () => (await failed()).length, { timeout: 60_000, interval: 500 })
      .toBe(1);
    expect((await failed())[0]).toMatchObject({
      attempts: 3,
      error: expect.stringContaining("the disk is full"),
    });
    expect(await readdir(small)).toEqual(["ballast"]);
    await rm(join(small, "ballast"));
    await fleet("failed", "--retry");
    await expect.poll(status, { timeout: 60_000, interval: 500 }).toMatchObject({ done: 1 });
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
    expect(await status()).toMatchObject({ waiting: 1, active: 0, failed: 0 });
  }, 60_000);

  describe("on S3", () => {
    it("reads from buckets and writes to them, and says that credentials are wrong", async () => {
      const { variables, end } = await startS3("in", "out");
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
      const sent = await submit("s3://in/set/", "--recursive", "--to", "s3://out/x4");
      expect([sent.exitCode, sent.stdout]).toEqual([0, "2 pictures: 2 submitted\n"]);

      const refused = worker(["--idle-exit", "1"], { AWS_ACCESS_KEY_ID: "nobody" });
      await expect
        .poll(() => refused.said(), { timeout: 60_000 })
        .toContain("the storage refuses these credentials");
      refused.child.kill("SIGKILL");
      await ended(refused);

      await fleet("failed", "--retry");
      expect((await ended(worker(["--idle-exit", "1"]))).exitCode).toBe(0);
      await expect.poll(status, { timeout: 30_000 }).toMatchObject({ done: 2, failed: 0 });
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
