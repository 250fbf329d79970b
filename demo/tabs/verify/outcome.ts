/** What the page asks of a verification, and what comes back. */
import type { CaseResult } from "rcod-webgpu/verify";
import type { UpdatePort } from "../../update-port.ts";

export type VerifyPrecision = "f32" | "f16";

/** A golden file of the page, or the visitor's own. */
export type GoldenSource =
  | { readonly name: string; readonly url: string }
  | { readonly name: string; readonly blob: Blob };

/** One file at one precision. */
export interface VerifyJob {
  readonly precision: VerifyPrecision;
  readonly source: GoldenSource;
}

export interface VerifyArgs {
  readonly jobs: readonly VerifyJob[];
  /** Files that cases may refer to. */
  readonly beside: readonly GoldenSource[];
  readonly updates: UpdatePort<VerifyUpdate>;
}

export type VerifyUpdate =
  | { readonly kind: "start"; readonly adapter: string }
  | {
      readonly kind: "progress";
      /** Jobs that have ended. */
      readonly done: number;
      /** What runs now; empty between two cases. */
      readonly case: string;
    }
  | { readonly kind: "case"; readonly result: PrecisionResult };

/**
 * A result without outputs was not run, whatever its status: nothing was computed that could be right or wrong. Its note
 * says why.
 */
export interface PrecisionResult {
  readonly precision: VerifyPrecision;
  readonly result: CaseResult;
}

export interface VerifyOutcome {
  readonly adapter: string;
  readonly date: string;
  readonly results: readonly PrecisionResult[];
}

/** A file, or a case of it, that was not run. */
export function notRun({ precision, source }: VerifyJob, note: string, name = ""): PrecisionResult {
  return {
    precision,
    result: {
      file: source.name,
      case: name,
      status: "skipped",
      outputs: [],
      durationMs: 0,
      note,
    },
  };
}
