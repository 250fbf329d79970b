/**
 * A command that was started once more, on a software adapter, ends when who started it is gone, also where that was killed
 * and could send no signal. A thread looks: where shaders are compiled on the CPU, the main one may hear nothing for
 * half a minute. Linux only, as software adapters are.
 */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

/** Set in processes that `launch.ts` has started: the number of its process. */
export const PARENT_MARKER = "RCOD_PARENT";

/** As for a terminal that is gone: 128 + SIGHUP. */
const EXIT_CODE = 129;

const LOOK_EVERY_MS = 200;

/** A command gets as long to remove what is unfinished; then the process ends. The next one removes what is left. */
const GRACE_MS = 2000;

/** What the thread gets. */
interface Watch {
  readonly parentOf: string;
  readonly parent: number;
}

/** In such a process: from now on it ends with its parent. */
export function endWithParent(): void {
  const parent = Number(process.env[PARENT_MARKER]);
  delete process.env[PARENT_MARKER]; // not for what this process starts
  if (!(parent > 0)) return;
  process.stderr.on("error", () => {}); // it leads to the parent
  const data: Watch = { parentOf: import.meta.url, parent };
  const watch = new Worker(new URL(import.meta.url), { workerData: data });
  watch.once("message", () => {
    // Commands that take signals take this as one.
    if (!process.emit("SIGHUP", "SIGHUP")) process.exit(EXIT_CODE);
  });
  watch.unref(); // a command that is done does not wait for it
}

function watchParent(parent: number): void {
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    parentPort?.postMessage("gone");
    setTimeout(() => process.kill(process.pid, "SIGKILL"), GRACE_MS);
  }, LOOK_EVERY_MS);
}

const watched = isMainThread ? null : (workerData as Watch | null);
if (watched?.parentOf === import.meta.url) watchParent(watched.parent);
