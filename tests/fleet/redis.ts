/** A Redis of a test's own: Debian's `redis-server` on a free port, with its files in a folder of the test. */
import type { ChildProcess } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe } from "vitest";

const PROGRAM = ["redis-server", "valkey-server"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);

/** Suites that need Redis; where there is none they are skipped with a loud line. */
export function describeRedis(name: string, suite: () => void): void {
  if (PROGRAM === undefined) {
    process.stderr.write(
      `SKIP ${name}: no redis-server here. Install it: apt-get install redis-server\n`,
    );
  }
  describe.skipIf(PROGRAM === undefined)(name, suite);
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it on the same files. */
  start(): Promise<void>;
  /** Stops it and removes its files. */
  end(): Promise<void>;
}

/** Starts a server. Further words are its options. */
export async function startRedis(...options: readonly string[]): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), "rcod-redis-"));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    async start() {
      const files = [
        "--dir",
        folder,
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
      ];
      const rest = ["--maxmemory-policy", "noeviction", ...options];
      child = spawn(String(PROGRAM), ["--port", String(port), ...files, ...rest], {
        stdio: "ignore",
      });
      await answer(port);
    },
    async stop(signal = "SIGTERM") {
      const ending = child;
      child = undefined;
      if (ending === undefined || ending.exitCode !== null) return;
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill(signal);
      await ended;
    },
    async end() {
      await server.stop("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Waits until a server speaks, be it to refuse a password. */
async function answer(port: number): Promise<void> {
  const redis = new Redis({ port, lazyConnect: true, enableReadyCheck: false });
  redis.on("error", () => {}); // it is asked again
  for (let tries = 0; tries < 200; tries++) {
    const said = await redis.ping().catch((error: Error) => error.message);
    if (/^(PONG|NOAUTH)/.test(said)) {
      redis.disconnect();
      return;
    }
    await sleep(25);
  }
  throw new Error(`redis-server does not answer on port ${port}`);
}

/** A port that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
