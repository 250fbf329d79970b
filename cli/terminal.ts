/** Where a command writes: results to stdout, everything else to stderr. */
import { describeError } from "./errors.ts";
import { shownLines, shownText } from "./shown-text.ts";

export interface Terminal {
  /** A line of results on stdout. */
  out(line: string): void;
  /** A line on stderr for people; `--json` never includes it. */
  note(line: string): void;
  /** The stream a progress bar is drawn on. */
  readonly progressStream: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Set where stderr is a pipe to a launcher that hands it on to a terminal. */
export const TTY_MARKER = "RCOD_STDERR_IS_TTY";

export const processTerminal: Terminal = {
  out: (line) => void process.stdout.write(`${shownLines(line)}\n`),
  note: (line) => void process.stderr.write(`${shownLines(line)}\n`),
  get progressStream() {
    return process.env[TTY_MARKER]
      ? Object.assign(process.stderr, { isTTY: true })
      : process.stderr;
  },
};

/** Reports an error in one line, with its stack under RCOD_DEBUG=1, and returns its exit code. */
export function reportError(terminal: Terminal, error: unknown, subject?: string): number {
  const { message, exitCode } = describeError(error);
  terminal.note(`rcod: ${subject === undefined ? "" : `${shownText(subject)}: `}${message}`);
  if (process.env["RCOD_DEBUG"] === "1" && error instanceof Error && error.stack) {
    terminal.note(error.stack);
  }
  return exitCode;
}
