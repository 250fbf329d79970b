/**
 * Figures of docs/fleet.md that take longer than a test may: `node bench/run.mjs ../tests/fleet/measure <what>` after
 * `npm run build`, where `<what>` is
 *
 * - `files [10000]`: submits so many files twice,
 * - `throughput [40]`: one worker against `rcod upscale` on the same pictures, of 64 pixels a side,
 * - `hosts [300]`: two network namespaces as two hosts, whose network is cut for a minute in the middle. Linux, root.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { correctExecPath } from "../../src/node/software-adapter.ts";
import type { Ended, Process } from "./support.ts";
import { differences, makeModel, makePictures, rcod } from "./support.ts";

const RCOD = fileURLToPath(new URL("../../bin/rcod.js", import.meta.url));
const PORT = 7391;
const CUT_MS = 60_000;

export async function main([what = "", count]: readonly string[]): Promise<number> {
  const work = { files, throughput, hosts }[what];
  if (work === undefined) {
    process.stderr.write("measure: say what: files, throughput or hosts\n");
    return 2;
  }
  correctExecPath();
  const root = await mkdtemp(join(tmpdir(), "rcod-measure-"));
  try {
    await makeModel(join(root, "model"));
    return await work(root, count === undefined ? undefined : Number(count));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Runs to its end; throws unless that was a good one. */
async function done(started: Process): Promise<Ended> {
  const ended = await started.ended;
  if (ended.exitCode === 0) return ended;
  throw new Error(`exit code ${ended.exitCode}\n${ended.stdout}${ended.stderr}`);
}

interface Queue {
  fleet(command: string, ...args: readonly string[]): Process;
  end(): void;
}

/** Redis and commands on it, in a network namespace each where `inHost` says so. */
async function startQueue(root: string, inHost?: (words: readonly string[]) => readonly string[]) {
  const within = inHost ?? ((words: readonly string[]) => words);
  const kept = ["--dir", root, "--appendonly", "yes", "--save", "", "--protected-mode", "no"];
  const port = ["--port", String(PORT), "--bind", "0.0.0.0"];
  const [program = "", ...args] = within(["redis-server", ...port, ...kept]);
  const redis = spawn(program, args, { stdio: "ignore" });
  const [ask = "", ...ping] = within(["redis-cli", "-p", String(PORT), "ping"]);
  while (spawnSync(ask, ping).stdout.toString().trim() !== "PONG") await sleep(50);
  const queue: Queue = {
    fleet: (command, ...words) =>
      rcod(RCOD, ["fleet", command, ...words, "--queue", `redis://127.0.0.1:${PORT}`]),
    end: () => void redis.kill("SIGKILL"),
  };
  return queue;
}

async function files(root: string, count = 10_000): Promise<number> {
  await makePictures(join(root, "in"), count);
  const queue = await startQueue(root);
  try {
    for (const time of ["first", "second"]) {
      const startedAt = performance.now();
      const args = [join(root, "in"), "--to", join(root, "out"), "--model", join(root, "model")];
      const { stdout } = await done(queue.fleet("submit", ...args));
      say(`${time} time: ${stdout.trim()} in ${seconds(startedAt)}`);
    }
    return 0;
  } finally {
    queue.end();
  }
}

/** Of pictures that take several times as long to compute as to read and write, in pixels: as on a GPU those of megapixels. */
const SIDE = 64;

async function throughput(root: string, count = 40): Promise<number> {
  const at = (name: string): string => join(root, name);
  await makePictures(at("in"), count, [SIDE]);
  await makePictures(at("one"), 1, [SIDE]);
  const queue = await startQueue(root);
  const model = ["--model", at("model")];
  /** Time of a run on all pictures without that on one, which is loading and compiling: two turns each. */
  const timed = async (run: (folder: string, turn: number) => Promise<void>): Promise<number> => {
    const times: number[] = [];
    for (const turn of [0, 1]) {
      const startedAt = performance.now();
      await run("one", turn);
      const between = performance.now();
      await run("in", turn);
      times.push(performance.now() - between - (between - startedAt));
    }
    return Math.min(...times) / (count - 1);
  };
  try {
    const alone = await timed(async (folder, turn) => {
      const out = ["-o", `${at(`alone-${folder}-${turn}`)}/`];
      await done(rcod(RCOD, ["upscale", at(folder), ...out, "--keep-going", ...model, "--quiet"]));
    });
    const inFleet = await timed(async (folder, turn) => {
      const to = ["--to", at(`fleet-${folder}-${turn}`)];
      await done(queue.fleet("submit", at(folder), ...to, ...model));
      await done(queue.fleet("work", "--idle-exit", "0", ...model, "--quiet"));
    });
    say(
      `rcod upscale: ${alone.toFixed(1)} ms a picture, rcod fleet work: ${inFleet.toFixed(1)} ms: ` +
        `${((100 * alone) / inFleet).toFixed(1)} % of its throughput`,
    );
    return 0;
  } finally {
    queue.end();
  }
}

/** The queue's host, with the first worker, and another. */
const HOSTS = { queue: "rcod-host-1", other: "rcod-host-2" } as const;

function ip(...words: readonly string[]): void {
  const { status, stderr } = spawnSync("ip", words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr.trim()}`);
}

const inHost =
  (host: string) =>
  (words: readonly string[]): readonly string[] => ["ip", "netns", "exec", host, ...words];

async function hosts(root: string, count = 300): Promise<number> {
  const at = (name: string): string => join(root, name);
  await makePictures(at("in"), count);
  const model = ["--model", at("model")];
  await done(rcod(RCOD, ["upscale", at("in"), "-o", `${at("single")}/`, ...model, "--quiet"]));
  const { queue: one, other: two } = HOSTS;
  const children: Process[] = [];
  let queue: Queue | undefined;
  try {
    for (const host of [one, two]) ip("netns", "add", host);
    ip(
      "link",
      "add",
      "rcod-a",
      "netns",
      one,
      "type",
      "veth",
      "peer",
      "name",
      "rcod-b",
      "netns",
      two,
    );
    for (const [host, link, address] of [
      [one, "rcod-a", "10.211.0.1/24"],
      [two, "rcod-b", "10.211.0.2/24"],
    ] as const) {
      ip("-n", host, "addr", "add", address, "dev", link);
      ip("-n", host, "link", "set", link, "up");
      ip("-n", host, "link", "set", "lo", "up");
    }
    queue = await startQueue(root, inHost(one));
    const url = ["--queue", `redis://10.211.0.1:${PORT}`];
    const inside = (host: string, ...words: readonly string[]): Process =>
      rcod(RCOD, ["fleet", ...words, ...url], {}, inHost(host));
    await done(inside(two, "submit", at("in"), "--to", at("out"), ...model));
    const startedAt = performance.now();
    for (const host of [one, two]) children.push(inside(host, "work", ...model));
    const results = async (): Promise<number> =>
      (await readdir(at("out")).catch(() => [])).filter((name) => name.endsWith("-x4.png")).length;
    while ((await results()) < count / 5) await sleep(200);
    ip("-n", one, "link", "set", "rcod-a", "down");
    say(`network cut after ${seconds(startedAt)}, ${await results()} of ${count} done`);
    await sleep(CUT_MS);
    ip("-n", one, "link", "set", "rcod-a", "up");
    say(`network back after ${seconds(startedAt)}, ${await results()} of ${count} done`);
    for (;;) {
      const { stdout } = await done(inside(one, "status", "--json"));
      const status = JSON.parse(stdout) as Readonly<Record<string, number>>;
      if (status["done"] === count) break;
      if (status["failed"] !== 0) throw new Error(stdout);
      await sleep(1000);
    }
    const differ = await differences(at("single"), at("out"));
    say(`${count} pictures on two hosts in ${seconds(startedAt)}, ${differ.length} differ`);
    for (const { child } of children) child.kill("SIGTERM");
    for (const child of children)
      for (const line of (await child.ended).stderr.split("\n")) say(`  ${line}`);
    return differ.length === 0 ? 0 : 1;
  } finally {
    for (const { child } of children) child.kill("SIGKILL");
    queue?.end();
    for (const host of [one, two]) spawnSync("ip", ["netns", "del", host]);
  }
}
