/** Results as rows: one per output of a case, both precisions side by side. */
import type { Column } from "../../ui/data-table.ts";
import { scientific } from "../../ui/format-rate.ts";
import type { PrecisionResult, VerifyPrecision } from "./outcome.ts";

export interface Cell {
  /** Relative rms error, or with `isAbsolute` the largest difference. NaN without a result. */
  readonly error: number;
  /** Of 8-bit images and whole numbers. */
  readonly isAbsolute: boolean;
  readonly limit: number;
  readonly pass: boolean;
  readonly note: string | null;
}

export interface OutputRow {
  readonly file: string;
  readonly case: string;
  readonly output: string;
  readonly cells: Readonly<Partial<Record<VerifyPrecision, Cell>>>;
}

export interface Summary {
  readonly passed: number;
  readonly total: number;
  /** The result that comes nearest to its limit, or goes furthest beyond. */
  readonly nearest: { readonly name: string; readonly share: number } | null;
}

export function outputRows(results: readonly PrecisionResult[]): readonly OutputRow[] {
  const rows = new Map<string, { -readonly [K in keyof OutputRow]: OutputRow[K] }>();
  const put = (row: Omit<OutputRow, "cells">, precision: VerifyPrecision, cell: Cell): void => {
    const key = JSON.stringify([row.file, row.case, row.output]);
    const before = rows.get(key) ?? { ...row, cells: {} };
    rows.set(key, { ...before, cells: { ...before.cells, [precision]: cell } });
  };
  for (const { precision, result } of results) {
    const { file, case: name, outputs, note = null } = result;
    for (const { output, limit, relRms, maxAbs, pass } of outputs) {
      const isAbsolute = limit.on === "maxAbs";
      const error = isAbsolute ? maxAbs : relRms;
      put({ file, case: name, output }, precision, {
        error,
        isAbsolute,
        limit: limit.value,
        pass,
        note: pass ? null : note,
      });
    }
    if (outputs.length === 0) {
      const pass = result.status === "skipped";
      put({ file, case: name, output: "" }, precision, {
        error: NaN,
        isAbsolute: false,
        limit: NaN,
        pass,
        note,
      });
    }
  }
  return [...rows.values()];
}

export function isWrong({ cells }: OutputRow): boolean {
  return Object.values(cells).some(({ pass }) => !pass);
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
  return { passed: cells.filter(({ cell }) => cell.pass).length, total: cells.length, nearest };
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

function resultText({ cells }: OutputRow): string {
  const wrong = Object.entries(cells).filter(([, { pass }]) => !pass);
  if (wrong.length === 0) return "pass";
  const which = wrong.map(([precision]) => precision).join(", ");
  const notes = [...new Set(wrong.map(([, { note }]) => note).filter((note) => note !== null))];
  return [`FAIL in ${which}`, ...notes].join(": ");
}
