/** What the bundle writes down: every part, then what follows from them. */
import { existsSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import type { CompilersRecord } from "../../compilers/record.ts";
import type { Attempt } from "./adapters.ts";
import type { KernelBound, LimitTotal, MeasuredClass } from "./bounds.ts";
import { boundsOf, limitTotals } from "./bounds.ts";
import type { KnownPeaks, MeasuredRoofline } from "./card.ts";
import { compiledFor, peaksOf } from "./card.ts";
import type { ModeName, Options } from "./options.ts";

/** What a driver calls an adapter, and what of it the bundle reads. */
export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isSoftware: boolean;
  readonly matrixUnits?: object | null;
  readonly matrixRefusal?: string | null;
}

/** What a part printed as JSON, as far as something follows from it here. */
export interface PartResult {
  readonly roofline?: MeasuredRoofline;
  readonly opClasses?: readonly MeasuredClass[] | null;
  /** Of PyTorch the card's name. */
  readonly adapter?: Adapter | string;
}

export interface PartRecord {
  readonly part: string;
  readonly mode: ModeName | null;
  readonly limitS: number;
  readonly seconds: number;
  readonly exitCode: number | null;
  readonly signal?: string;
  readonly timedOut?: boolean;
  /** Absent where it did not get so far. */
  readonly result?: PartResult;
  /** The end of it, of a part that failed. */
  readonly stderr?: string;
}

/** The kernels of a model's image in one mode. */
export interface BoundRecord {
  readonly part: string;
  readonly mode: ModeName;
  readonly card: KnownPeaks;
  readonly limits: readonly LimitTotal[];
  readonly kernels: readonly KernelBound[];
}

export interface BundleRecord {
  readonly bundle: 2;
  readonly date: string;
  readonly isRehearsal: boolean;
  /** What it may take and what it took. */
  readonly budgetS: number;
  readonly seconds: number;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly adapterSearch: readonly Attempt[];
  readonly adapter: Adapter | null;
  readonly parts: PartRecord[];
  /** What this machine does not have: a mode of its adapter, PyTorch. */
  readonly skipped: { readonly what: string; readonly reason: string }[];
  /** Parts that ended without success, by name and mode; "adapter" where none was found. */
  readonly failed: readonly string[];
  /** What there was no time for. */
  readonly leftOut: {
    readonly part: string;
    readonly mode: ModeName | null;
    readonly reason: string;
  }[];
  readonly bounds: readonly BoundRecord[];
  /** Tables of measured kernel variants, as `rcod tune` stores them; null where none was made. */
  readonly tuning: object | null;
}

export function newRecord(options: Options, adapterSearch: readonly Attempt[]): BundleRecord {
  return {
    bundle: 2,
    date: new Date().toISOString(),
    isRehearsal: options.isRehearsal,
    budgetS: options.seconds,
    seconds: 0,
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      memoryBytes: totalmem(),
      kernel: release(),
    },
    adapterSearch,
    adapter: null,
    parts: [],
    skipped: [],
    failed: [],
    leftOut: [],
    bounds: [],
    tuning: null,
  };
}

/** With all that follows from the parts so far. `here`: the unpacked bundle. */
export function finished(
  record: BundleRecord,
  options: Options,
  here: string,
  seconds: number,
): BundleRecord {
  const failed = record.parts
    .filter(({ exitCode }) => exitCode !== 0)
    .map(({ part, mode }) => (mode === null ? part : `${mode} ${part}`));
  const hasAdapter = record.adapterSearch.some(({ exitCode }) => exitCode === 0);
  const tables = join(here, "cache", "rcod-webgpu", "tuning.json");
  return {
    ...record,
    seconds,
    failed: hasAdapter ? failed : ["adapter"],
    bounds: boundRecords(record, options, here),
    tuning: existsSync(tables) ? (JSON.parse(readFileSync(tables, "utf8")) as object) : null,
  };
}

/** Of every model that ran with times of its kernels. */
function boundRecords(
  { parts, adapter }: BundleRecord,
  options: Options,
  here: string,
): readonly BoundRecord[] {
  const names = adapter
    ? [adapter.vendor, adapter.architecture, adapter.device, adapter.description].join(" ")
    : "";
  // CUDA's name of the card, where the driver's own description has none.
  const cuda = parts.find(({ part }) => part === "pytorch")?.result?.adapter ?? "";
  const roofline = parts.find(({ result }) => result?.roofline)?.result?.roofline;
  const card = peaksOf(options, `${names} ${typeof cuda === "string" ? cuda : ""}`, roofline);
  if (card === null) return [];
  const file = join(here, "compilers.json");
  const compilers = existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as CompilersRecord)
    : null;
  return parts.flatMap(({ part, mode, result }): BoundRecord[] => {
    const opClasses = result?.opClasses;
    if (!opClasses || mode === null) return [];
    const compiled = compilers ? compiledFor(card, compilers, mode === "matrix") : undefined;
    const kernels = boundsOf(opClasses, card.peaks, compiled);
    return [{ part, mode, card, limits: limitTotals(kernels), kernels }];
  });
}
