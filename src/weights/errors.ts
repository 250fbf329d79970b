/**
 * A weight file, folder or server did not hold what it must. The only error type this layer throws
 * on its own account; an aborted read throws the `reason` of its signal instead.
 *
 * Messages have the form `weights: <rule>, got <values> (<where>). <what to do>`.
 */
export class WeightsError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name: string = "WeightsError";
}

/** Most of a name from a file that a message repeats, in UTF-16 code units. */
const MAX_QUOTED_LENGTH = 120;

/**
 * `text` in double quotes, with control characters escaped and cut to a printable length: names
 * come out of files and may be megabytes long.
 */
export function quoted(text: string): string {
  if (text.length <= MAX_QUOTED_LENGTH) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, MAX_QUOTED_LENGTH))}… (${text.length} characters)`;
}

/** `value` as JSON, cut to the same length; "nothing" for undefined. */
export function quotedJson(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  if (text.length <= MAX_QUOTED_LENGTH) return text;
  return `${text.slice(0, MAX_QUOTED_LENGTH)}… (${text.length} characters)`;
}

/** Items of a list that are spelled out in one message; the rest is counted. */
const MAX_LISTED = 8;

/** `a, b, c and 12 more`: the first items of a list of problems. */
export function listSome(items: readonly string[]): string {
  const shown = items.slice(0, MAX_LISTED).join(", ");
  const more = items.length - MAX_LISTED;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** Message of a caught value, for errors that pass on what the platform said. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
