/** What the page asks of a verification, and what comes back. */
import type { CaseResult } from "rcod-webgpu/verify";
import type { UpdatePort } from "../../update-port.ts";

export type VerifyPrecision = "f32" | "f16";

/** A golden file of the page, or the visitor's own. */
export type GoldenSource =
  | { readonly name: string; readonly url: string }
  | { readonly name: string; readonly blob: Blob };

export interface VerifyArgs {
  readonly sources: readonly GoldenSource[];
  /** Files that cases may refer to. */
  readonly beside: readonly GoldenSource[];
  readonly precisions: readonly VerifyPrecision[];
  readonly updates: UpdatePort<VerifyUpdate>;
}

export type VerifyUpdate =
  | { readonly kind: "start"; readonly adapter: string }
  | {
      readonly kind: "progress";
      readonly precision: VerifyPrecision;
      readonly file: string;
      readonly case: string;
    }
  | { readonly kind: "case"; readonly precision: VerifyPrecision; readonly result: CaseResult };

export interface PrecisionResult {
  readonly precision: VerifyPrecision;
  readonly result: CaseResult;
}

export interface VerifyOutcome {
  readonly adapter: string;
  readonly date: string;
  readonly results: readonly PrecisionResult[];
}
