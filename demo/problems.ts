/** Errors of engine and browser in words for the visitor: what it is called, why, and what helps. */
import type { Doing, Remedy } from "./problem-entry.ts";
import { WORDS } from "./problem-words.ts";

/** What can be under way. */
export type ActivityKind = "model" | "image" | "upscale";

/** Something that went wrong, in words for the visitor. */
export interface Problem {
  readonly title: string;
  /** Why, and what helps: whole sentences. */
  readonly detail: string;
  readonly remedy: Remedy | null;
  /** What engine or browser said, word for word. */
  readonly raw?: string;
}

export function lostProblem(message: string): Problem {
  return problemOf({ name: "DeviceLostError", message }, "upscale");
}

/** Nothing can be called any more. */
export function crashProblem(message: string): Problem {
  return problemOf({ name: "WorkerError", message }, "run");
}

/** What another part of the page has put into words already. */
export class ToldError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

export function problemOf(error: unknown, doing: Doing): Problem {
  if (error instanceof ToldError) return error.problem;
  const { name, message } = wordsOfError(error);
  const said = `${name}: ${message}`;
  for (const { pattern, words } of WORDS) {
    const match = pattern.exec(said);
    if (!match) continue;
    const { title, reason, advice, remedy = null } = words(match, doing);
    return { title, detail: `${reason} ${advice}`, remedy, raw: message };
  }
  throw new Error("internal: no words for an error"); // the last pattern takes all
}

/** A problem in a line, for the status under a button. */
export const inWords = (error: unknown, doing: Doing): string =>
  sentenceOf(problemOf(error, doing));

export const sentenceOf = ({ title, detail }: Problem): string => `${title}. ${detail}`;

function wordsOfError(error: unknown): { readonly name: string; readonly message: string } {
  if (typeof error !== "object" || error === null) return { name: "Error", message: String(error) };
  const { name, message } = error as { readonly name?: unknown; readonly message?: unknown };
  return {
    name: typeof name === "string" ? name : "Error",
    message: typeof message === "string" ? message : "",
  };
}
