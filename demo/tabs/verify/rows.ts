/** Results as rows: one per output of a case, both precisions side by side. */
import type { Column } from "../../ui/data-table.ts";
import { scientific } from "../../ui/format-rate.ts";
import type { PrecisionResult, VerifyPrecision } from "./outcome.ts";

/** Not run: there is nothing to hold against a limit. */
export type Outcome = "right" | "wrong" | "not run";

export interface Cell {
  readonly outcome: Outcome;
  /** Relative rms error, or with `isAbsolute` the largest difference. NaN where it was not run. */
  readonly error: number;
  /** Of 8-bit images and whole numbers. */
  readonly isAbsolute: boolean;
  readonly limit: number;
  /** Where it goes wrong first, or why it was not run. */
  readonly note: string | null;
}

export interface OutputRow {
  readonly file: string;
  readonly case: string;
  readonly output: string;
  readonly cells: Readonly<Partial<Record<VerifyPrecision, Cell>>>;
}

export interface Summary {
  readonly right: number;
  readonly wrong: number;
  /** Files that were not run, or not as a whole. */
  readonly filesNotRun: readonly string[];
  /** Why, each reason once. */
  readonly reasons: readonly string[];
  /** The result that comes nearest to its limit, or goes furthest beyond. */
  readonly nearest: { readonly name: string; readonly share: number } | null;
}

export function outputRows(results: readonly PrecisionResult[]): readonly OutputRow[] {
  const rows = new Map<string, OutputRow>();
  const put = (row: Omit<OutputRow, "cells">, precision: VerifyPrecision, cell: Cell): void => {
    const key = JSON.stringify([row.file, row.case, row.output]);
    const before = rows.get(key) ?? { ...row, cells: {} };
    rows.set(key, { ...before, cells: { ...before.cells, [precision]: cell } });
  };
  for (const { precision, result } of results) {
    const { file, case: name, outputs, note = null } = result;
    for (const { output, limit, relRms, maxAbs, pass } of outputs) {
      const isAbsolute = limit.on === "maxAbs";
      put({ file, case: name, output }, precision, {
        outcome: pass ? "right" : "wrong",
        error: isAbsolute ? maxAbs : relRms,
        isAbsolute,
        limit: limit.value,
        note: pass ? null : note,
      });
    }
    if (outputs.length === 0) {
      const nothing = { error: NaN, isAbsolute: false, limit: NaN };
      put({ file, case: name, output: "" }, precision, { outcome: "not run", ...nothing, note });
    }
  }
  return [...rows.values()];
}

/** The worst of a row's precisions. */
export function outcomeOf({ cells }: OutputRow): Outcome {
  const outcomes = Object.values(cells).map(({ outcome }) => outcome);
  return (["wrong", "not run"] as const).find((worst) => outcomes.includes(worst)) ?? "right";
}

export function summarize(rows: readonly OutputRow[]): Summary {
  const cells = rows.flatMap((row) =>
    Object.entries(row.cells).map(([precision, cell]) => ({ row, precision, cell })),
  );
  let nearest: Summary["nearest"] = null;
  for (const { row, precision, cell } of cells) {
    // Levels of images are whole: one of one allowed says nothing.
    const share = cell.isAbsolute ? 0 : cell.error / cell.limit;
    if (share > (nearest?.share ?? 0)) {
      nearest = { name: `${row.case} ${row.output}, ${precision}`, share };
    }
  }
  const of = (outcome: Outcome) => cells.filter(({ cell }) => cell.outcome === outcome);
  const notRun = of("not run");
  return {
    right: of("right").length,
    wrong: of("wrong").length,
    filesNotRun: [...new Set(notRun.map(({ row }) => row.file))],
    reasons: [...new Set(notRun.map(({ cell }) => cell.note ?? "No reason was given"))],
    nearest,
  };
}

const NONE = "–";

function errorColumns(precision: VerifyPrecision): readonly Column<OutputRow>[] {
  const number = (row: OutputRow, of: "error" | "limit"): string => {
    const cell = row.cells[precision];
    if (!cell || Number.isNaN(cell[of])) return NONE;
    return cell.isAbsolute ? String(cell[of]) : scientific(cell[of]);
  };
  return [
    { label: `${precision} error`, isNumber: true, text: (row) => number(row, "error") },
    { label: `${precision} limit`, isNumber: true, text: (row) => number(row, "limit") },
  ];
}

/** Of the precisions that ran. */
export function columnsOf(rows: readonly OutputRow[]): readonly Column<OutputRow>[] {
  const precisions = (["f32", "f16"] as const).filter((p) => rows.some(({ cells }) => cells[p]));
  return [
    { label: "case", text: (row) => row.case || row.file },
    { label: "output", text: ({ output }) => output || NONE },
    ...precisions.flatMap(errorColumns),
    { label: "result", text: resultText },
  ];
}

const WORDS: Readonly<Record<Exclude<Outcome, "right">, string>> = {
  wrong: "FAIL in",
  "not run": "not run in",
};

function resultText({ cells }: OutputRow): string {
  const parts = (["wrong", "not run"] as const).flatMap((outcome) => {
    const own = Object.entries(cells).filter(([, cell]) => cell.outcome === outcome);
    if (own.length === 0) return [];
    const which = own.map(([precision]) => precision).join(", ");
    const notes = [...new Set(own.map(([, { note }]) => note).filter((note) => note !== null))];
    return [[`${WORDS[outcome]} ${which}`, ...notes].join(": ")];
  });
  return parts.join("; ") || "pass";
}
