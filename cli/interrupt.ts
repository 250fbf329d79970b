/** Ctrl-C and `kill` as an AbortSignal, so that a command can remove what is unfinished before it ends. */
import { constants } from "node:os";
import { CliError } from "./errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * A terminal sends its signal to the launcher and to its child, and the launcher forwards it: repeats within this
 * time count as one signal. A later one means that the user does not want to wait.
 */
export const REPEAT_MS = 1000;

/**
 * Runs `work` with a signal that Ctrl-C and `kill` abort. Throws `CliError` with exit code 128 + the signal's
 * number where `work` fails after that. A second signal, a second later or more, ends the process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let exitCode = 0;
  let since = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (exitCode === 0) {
      exitCode = 128 + constants.signals[name];
      since = performance.now();
      controller.abort(new DOMException("interrupted", "AbortError"));
    } else if (performance.now() - since > REPEAT_MS) {
      process.exit(exitCode);
    }
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (exitCode === 0) throw error;
    throw new CliError("interrupted", exitCode);
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
