/** What a verification has found, in words. */
import type { Summary } from "./rows.ts";

export interface Verdict {
  /** "open" where something was not run, so that nobody takes it for a yes. */
  readonly kind: "right" | "wrong" | "open";
  readonly text: string;
  /** What was not run, and why; empty where everything was. */
  readonly missing: string;
}

/** More reasons are not read. */
const MAX_REASONS = 3;

/** `files`: how many there are. */
export function verdictOf(summary: Summary, files: number, adapter: string): Verdict {
  const { right, wrong } = summary;
  const missing = missingText(summary, files);
  if (wrong > 0) {
    const text = `${wrong} of ${right + wrong} results ${wrong === 1 ? "is" : "are"} wrong on ${adapter}`;
    return { kind: "wrong", text, missing };
  }
  if (right === 0) return { kind: "open", text: "Nothing was verified", missing };
  return missing === ""
    ? { kind: "right", text: `All ${right} results are right on ${adapter}`, missing }
    : {
        kind: "open",
        text: `${right} results are right on ${adapter}, the rest was not run`,
        missing,
      };
}

function missingText({ filesNotRun, reasons }: Summary, files: number): string {
  const count = filesNotRun.length;
  if (count === 0) return "";
  const shown = reasons.slice(0, MAX_REASONS).map((reason) => reason.replace(/\.$/, ""));
  const more = reasons.length - shown.length;
  return `Not run, or not all of it: ${count} of ${files} ${files === 1 ? "file" : "files"}. ${shown.join(". ")}${more > 0 ? `, and ${more} more reasons` : ""}.`;
}
