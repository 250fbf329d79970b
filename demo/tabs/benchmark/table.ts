/** Records of cases as rows: one per variant that ran. */
import type { CaseRecord, VariantRecord } from "rcod-webgpu/bench";
import type { Column } from "../../ui/data-table.ts";
import { milliseconds, rate } from "../../ui/format-rate.ts";

export interface VariantRow {
  readonly record: CaseRecord;
  /** Null where the case did not run. */
  readonly variant: VariantRecord | null;
}

export function variantRows(cases: readonly CaseRecord[]): readonly VariantRow[] {
  return cases.flatMap((record): readonly VariantRow[] =>
    record.variants.length === 0
      ? [{ record, variant: null }]
      : record.variants.map((variant) => ({ record, variant })),
  );
}

export function hasFailed({ variant }: VariantRow): boolean {
  return variant === null || !variant.check.pass;
}

const NONE = "–";

export const COLUMNS: readonly Column<VariantRow>[] = [
  // ~ marks a shape that was cut down for a software adapter.
  { label: "case", text: ({ record }) => `${record.scaledFrom ? "~" : ""}${record.case}` },
  {
    label: "variant",
    text: ({ variant }) => (variant ? `${variant.variant}${variant.selected ? " ✓" : ""}` : NONE),
  },
  { label: "check", text: (row) => (hasFailed(row) ? `FAIL${reason(row)}` : "ok") },
  {
    label: "median",
    isNumber: true,
    text: ({ variant }) => milliseconds(variant?.timing?.medianMs),
  },
  {
    label: "p10–p90",
    isNumber: true,
    text: ({ variant }) =>
      variant?.timing
        ? `${milliseconds(variant.timing.p10Ms)}–${milliseconds(variant.timing.p90Ms)}`
        : NONE,
  },
  { label: "GFLOP/s", isNumber: true, text: ({ variant }) => rate(variant?.gflops) },
  { label: "GB/s", isNumber: true, text: ({ variant }) => rate(variant?.gbps) },
  {
    label: "of the roof",
    isNumber: true,
    text: ({ variant }) =>
      variant?.rooflinePercent === undefined ? NONE : `${variant.rooflinePercent.toFixed(0)} %`,
  },
];

function reason({ record, variant }: VariantRow): string {
  if (record.error !== undefined) return `: ${record.error}`;
  const worst = variant?.check.worst;
  return worst
    ? `: row ${worst.row}, channel ${worst.channel} is ${worst.got}, not ${worst.expected}`
    : "";
}
