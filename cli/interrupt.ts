/** Ctrl-C and `kill` as an AbortSignal, so that a command can put things away before it ends. */
import { constants } from "node:os";
import { removeTemporaryFiles } from "./atomic-write.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * A launcher forwards the signal that a terminal has sent to its child already, so repeats within this time
 * are one. A later one means that the user does not want to wait.
 */
const REPEAT_MS = 1000;

export interface Interrupt {
  readonly signal: AbortSignal;
  /** 128 + the signal's number once one has arrived, else 0. */
  readonly exitCode: number;
  /** Hands the signals back to their default handling. */
  stop(): void;
}

/** Listens until `stop()`. The second signal, a second later or more, ends the process at once. */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  let exitCode = 0;
  let since = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (exitCode === 0) {
      exitCode = 128 + constants.signals[name];
      since = performance.now();
      controller.abort(new DOMException("interrupted", "AbortError"));
    } else if (performance.now() - since > REPEAT_MS) {
      removeTemporaryFiles();
      process.exit(exitCode);
    }
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    stop() {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
