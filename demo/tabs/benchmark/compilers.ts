/** What compilers of GPUs that are not here make of the kernels: the table of `npm run bench:compilers`, as a part of the tab. */
import type { Column } from "../../ui/data-table.ts";
import { dataTable } from "../../ui/data-table.ts";
import { field, h, select } from "../../ui/dom.ts";
import { milliseconds, percent } from "../../ui/format-rate.ts";

/** What of bench/results/compilers.json is shown. */
export interface CompilersRecord {
  readonly date: string;
  readonly mesa: string;
  readonly size: string;
  readonly runs: Readonly<Record<string, CompilersRun>>;
}

interface CompilersRun {
  readonly card: string;
  readonly occupancyUnit: string;
  readonly precision: string;
  readonly hasMatrixUnits: boolean;
  readonly flops: number;
  readonly kernels: Readonly<Record<string, CompiledKernel>>;
}

interface CompiledKernel {
  readonly flops: number;
  readonly registers: number;
  readonly spills: number;
  readonly occupancy: number;
  readonly hot: { readonly counts: Readonly<Record<string, number>> } | null;
  readonly leastMs: number;
  readonly limit: string;
}

interface CompiledRow extends CompiledKernel {
  readonly name: string;
  /** Of the model's FLOPs. */
  readonly share: number;
}

const NONE = "–";
const WAIT = "wait";

export const COMPILED_COLUMNS: readonly Column<CompiledRow>[] = [
  { label: "kernel", text: ({ name }) => name },
  { label: "of the FLOPs", isNumber: true, text: ({ share }) => percent(share) },
  { label: "registers", isNumber: true, text: ({ registers }) => String(registers) },
  { label: "spills", isNumber: true, text: ({ spills }) => String(spills) },
  { label: "occupancy", isNumber: true, text: ({ occupancy }) => String(occupancy) },
  { label: "hot loop", isNumber: true, text: ({ hot }) => (hot ? loopText(hot.counts) : NONE) },
  { label: "at least", isNumber: true, text: ({ leastMs }) => milliseconds(leastMs) },
  { label: "set by", text: ({ limit }) => limit },
];

/** "256 of 285": products, and all instructions of a turn. */
function loopText(counts: Readonly<Record<string, number>>): string {
  const { matrix = 0, multiplyAdd = 0 } = counts;
  const all = Object.entries(counts).reduce((sum, [kind, n]) => sum + (kind === WAIT ? 0 : n), 0);
  return `${Math.round(matrix > 0 ? matrix : multiplyAdd)} of ${Math.round(all)}`;
}

/** The kernels of a run, longest first, without those that take next to nothing. */
export function compiledRows({ flops, kernels }: CompilersRun): readonly CompiledRow[] {
  const rows = Object.entries(kernels)
    .map(([name, kernel]) => ({ ...kernel, name, share: kernel.flops / flops }))
    .toSorted((a, b) => b.leastMs - a.leastMs);
  return rows.filter(({ leastMs }) => leastMs >= 0.002 * leastMsOf({ kernels }));
}

export const leastMsOf = ({ kernels }: Pick<CompilersRun, "kernels">): number =>
  Object.values(kernels).reduce((sum, { leastMs }) => sum + leastMs, 0);

export const runName = ({ card, precision, hasMatrixUnits }: CompilersRun): string =>
  `${card}, ${precision}${hasMatrixUnits ? ", matrix units" : ""}`;

/** The section, empty until the table is there; it stays empty where the page cannot load it. */
export function compilersSection(): HTMLElement {
  const section = h("section", { class: "report-results", hidden: true });
  void fill(section);
  return section;
}

async function fill(section: HTMLElement): Promise<void> {
  const record = await loadRecord();
  if (record === null) return;
  section.hidden = false;
  section.append(...sectionParts(record));
}

async function loadRecord(): Promise<CompilersRecord | null> {
  try {
    const response = await fetch(new URL("results/compilers.json", document.baseURI));
    return response.ok ? ((await response.json()) as CompilersRecord) : null;
  } catch {
    return null; // offline, before the page was kept
  }
}

function sectionParts({ date, mesa, size, runs }: CompilersRecord): readonly HTMLElement[] {
  const table = h("div", {});
  const show = (id: string): void => {
    const run = runs[id];
    if (run === undefined) return;
    table.replaceChildren(
      h(
        "p",
        { class: "hint" },
        `At least ${milliseconds(leastMsOf(run))} for an image of ${size.replace("x", " × ")} with the full model: what lanes, issue slots, matrix units, workgroup memory and bytes need at the vendor's peaks. Stalls and caches are not in it. Occupancy in ${run.occupancyUnit}; hot loop: products of all instructions of a turn.`,
      ),
      dataTable({
        caption: `Kernels as compiled for ${runName(run)}`,
        columns: COMPILED_COLUMNS,
        rows: compiledRows(run),
        rowClass: ({ spills }) => (spills > 0 ? "failed" : null),
      }),
    );
  };
  const ids = Object.keys(runs);
  const [first = ""] = ids;
  show(first);
  const names = Object.entries(runs).map(([id, run]) => [id, runName(run)] as const);
  return [
    h("h3", {}, "On GPUs that are not here"),
    h(
      "p",
      { class: "hint" },
      `What their compilers make of the same kernels, seen without the GPUs: Mesa ${mesa}, ${date}.`,
    ),
    field("GPU", select(names, first, show)),
    table,
  ];
}
