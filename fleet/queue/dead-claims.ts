/**
 * Claims of workers on this machine that were killed. Their locks would hold for minutes; here it can be seen at once that
 * nobody will renew them.
 */
import type { Worker } from "bullmq";
import type { Redis } from "ioredis";
import { isAlive, machine } from "../../cli/temporary.ts";

/** How the locks of this process begin: machine and process. */
export const tokenStart = (): string => `${machine()}:${process.pid}`;

/** Takes a lock away only from who still has it. */
const DELETE_IF = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`;

/** Removes the locks of dead processes; the queue's own check for stalled jobs, which counts them, then finds the jobs. */
export async function freeClaimsOfDead(redis: Redis, worker: Worker): Promise<void> {
  const ids = await redis.lrange(String(worker.keys["active"]), 0, -1);
  if (ids.length === 0) return;
  const locks = ids.map((id) => `${worker.toKey(id)}:lock`);
  const tokens = await redis.mget(locks);
  for (const [i, token] of tokens.entries()) {
    const [, ofMachine, pid] = /^([0-9a-f]+):(\d+):/.exec(token ?? "") ?? [];
    if (token === null || ofMachine !== machine() || isAlive(Number(pid))) continue;
    await redis.eval(DELETE_IF, 1, String(locks[i]), token);
  }
}
