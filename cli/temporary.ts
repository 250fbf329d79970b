/** Names of files and folders that are being written, and their removal where a process ends before they are finished. */
import { createHash, randomBytes } from "node:crypto";
import { readlinkSync, rmSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { systemPath } from "./file-name.ts";

/** Process, machine and chance. */
const NAME = /^\.rcod-(\d+)-(?:([0-9a-f]{6})-)?\w+\.tmp$/;

/** Whatever its process is, what is older is left over: numbers of processes are used again. */
const MAX_AGE_MS = 24 * 3600 * 1000;

/** What this process has not finished. */
const unfinished = new Set<string>();
/** Folders where leftovers have been looked for. */
const cleaned = new Set<string>();

/** A name beside `path` that nobody else uses. */
export function nameBeside(path: string, extension: "tmp" | "old"): string {
  const chance = randomBytes(4).toString("hex");
  return join(dirname(path), `.rcod-${process.pid}-${machine()}-${chance}.${extension}`);
}

/** A name beside `path` for what is unfinished: it is removed when the process ends, and by the next one if it is killed. */
export function temporaryBeside(path: string): string {
  const temporary = nameBeside(path, "tmp");
  if (unfinished.size === 0) process.once("exit", removeUnfinished);
  unfinished.add(temporary);
  return temporary;
}

/** For `temporary` that has been renamed or removed. */
export function forgetTemporary(temporary: string): void {
  unfinished.delete(temporary);
  if (unfinished.size === 0) process.off("exit", removeUnfinished);
}

/** Removes what this process has not finished, at once. */
export function removeUnfinished(): void {
  for (const path of unfinished) {
    try {
      rmSync(systemPath(path), { recursive: true, force: true });
    } catch {
      // The process ends: there is nobody left to tell.
    }
  }
}

/**
 * Removes what processes of this user have left in `folder` that were killed. A process of another machine or container,
 * with which the folder is shared, cannot be seen from here: of such only what is a day old.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  const key = resolve(folder);
  if (cleaned.has(key)) return;
  cleaned.add(key);
  await removeDead(folder);
}

/** The same once more in all folders where it was done: others may have been killed since. */
export async function removeNewLeftovers(): Promise<void> {
  for (const folder of cleaned) await removeDead(folder);
}

async function removeDead(folder: string): Promise<void> {
  for (const name of await readdir(systemPath(folder)).catch(() => [])) {
    const [, pid, ofMachine = machine()] = NAME.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const stats = await lstat(systemPath(path)).catch(() => undefined);
    if (stats === undefined || stats.uid !== (process.getuid?.() ?? stats.uid)) continue;
    const isOld = Date.now() - stats.mtimeMs > MAX_AGE_MS;
    const isOrphan = ofMachine === machine() && !isAlive(Number(pid));
    if (isOld || isOrphan) {
      await rm(systemPath(path), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

let ofThisMachine: string | undefined;

/** Six digits for this machine and the processes that can be seen: containers count theirs anew. */
export function machine(): string {
  if (ofThisMachine !== undefined) return ofThisMachine;
  let processes = "";
  try {
    processes = readlinkSync("/proc/self/ns/pid");
  } catch {
    // Not Linux.
  }
  const digest = createHash("sha256").update(`${hostname()} ${processes}`).digest("hex");
  return (ofThisMachine = digest.slice(0, 6));
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // another user's
  }
}
