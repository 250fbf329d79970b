/** Errors of the command line, and how any error is reported: one line and an exit code. */

/** 0 is success; an interrupted run ends with 128 + the signal's number, as shells expect, `noReader` with SIGPIPE's. */
export const EXIT = { ok: 0, failed: 1, usage: 2, noReader: 141 } as const;

/** A failure with a finished message for the user. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;

  /** `cause` for who wants to know more than the message says. */
  constructor(message: string, exitCode: number = EXIT.failed, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

/** Bad usage or bad input: exit code 2. */
export function usageError(message: string): CliError {
  return new CliError(message, EXIT.usage);
}

/** Error classes of the engine (by name) that mean "what you gave me is wrong", not "I failed". */
const INPUT_ERRORS: ReadonlySet<string> = new Set(["ConfigError", "ShapeError", "WeightsError"]);

/** Most of a message that is told, in UTF-16 code units: what files and servers say may be megabytes long. */
const MAX_MESSAGE_LENGTH = 2000;

/** Message (one line, not endless) and exit code of anything thrown. */
export function describeError(error: unknown): {
  readonly message: string;
  readonly exitCode: number;
} {
  const message = cut(
    oneLine(error instanceof Error ? error.message || error.name : String(error)),
  );
  if (error instanceof CliError) return { message, exitCode: error.exitCode };
  if (error instanceof Error && INPUT_ERRORS.has(error.name))
    return { message, exitCode: EXIT.usage };
  return { message, exitCode: EXIT.failed };
}

/** Text without line breaks, for messages that end up behind `rcod: `. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}

function cut(message: string): string {
  const more = message.length - MAX_MESSAGE_LENGTH;
  return more <= 0 ? message : `${message.slice(0, MAX_MESSAGE_LENGTH)}… (${more} more)`;
}

/** The `code` of a Node system error (`"ENOENT"`), if it has one. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** A system error as the reason in a message: what the user can act on, else the system's own words. */
export function systemReason(error: unknown): string {
  switch (systemCode(error)) {
    case "ENOENT":
      return "no such file or folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
    case "EEXIST": // of mkdir; our files have names of their own
      return "a part of its path is a file, not a folder";
    case "ELOOP":
      return "its links lead in a circle";
    case "EMFILE":
    case "ENFILE":
      return "too many files are open. Allow more: ulimit -n 1024";
    case "EFBIG":
      return "the file would be larger than is allowed here (ulimit -f, or the file system)";
    case "ENAMETOOLONG":
      return "the name is too long";
    default:
      return oneLine(error instanceof Error ? error.message : String(error));
  }
}
