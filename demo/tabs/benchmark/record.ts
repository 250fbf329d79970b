/** What the page asks of a benchmark and what comes back. The record is that of `rcod bench --json`. */
import type { CaseRecord, KernelSuiteSettings } from "rcod-webgpu/bench";
import type { Caps } from "rcod-webgpu/gpu";
import type { UpdatePort } from "../../update-port.ts";

export interface BenchmarkArgs {
  readonly suite: "quick" | "full";
  /** "auto" is f16 on GPUs and f32 on software adapters, as for models. */
  readonly precision: "auto" | "f32" | "f16";
  /** Only cases whose name contains this. */
  readonly filter: string;
  readonly updates: UpdatePort<BenchmarkUpdate>;
}

export type BenchmarkUpdate =
  | {
      readonly kind: "start";
      readonly settings: KernelSuiteSettings;
      readonly total: number;
      readonly adapter: string;
    }
  | { readonly kind: "case"; readonly record: CaseRecord };

export interface BenchmarkRecord extends KernelSuiteSettings {
  readonly suite: "kernels";
  readonly version: string;
  readonly date: string;
  /** The browser, as it names itself. */
  readonly runtime: string;
  readonly adapter: Omit<Caps, "limits">;
  readonly precision: "f32" | "f16";
  readonly cases: readonly CaseRecord[];
  readonly failed: number;
  readonly estimateMs: number;
}
