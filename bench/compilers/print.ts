/** The figures of a run as text: what the card needs at least, then a table of its kernels. */
import type { Limit } from "./bound.ts";
import type { Counts, Turn } from "./measure.ts";
import { instructionsOf } from "./measure.ts";
import type { KernelRecord, RunRecord } from "./record.ts";
import { leastMsOf } from "./record.ts";

/** What stands below all tables. */
export const CAVEAT = `Lower bounds from issue slots, workgroup memory and operands' bytes at the vendors' peaks, everything at once. What is
not known: stalls for memory and results, caches (what they hold does not cross memory, so "buffers" may be too long), bank
conflicts. Branches count as taken; reads of workgroup memory count every lane, also where all lanes read one address. Use it
to find waste, spills and lost occupancy, not to rank kernels that treat memory differently.
`;

/** The names of what takes the longest, as sentences have them. */
const SET_BY: Readonly<Record<Limit, string>> = {
  arithmetic: "lanes and issue slots",
  "matrix units": "matrix units",
  "workgroup memory": "workgroup memory",
  buffers: "bytes of buffers",
  "scalar unit": "the scalar unit",
};

export function runTitle({ card, precision, hasMatrixUnits }: RunRecord): string {
  return `${card}, ${precision}${hasMatrixUnits ? ", matrix units" : ""}`;
}

/** "RX 7900 XTX (RDNA3): at least 133 ms, of which 96 are set by lanes and issue slots, …". */
export function boundSentence(run: RunRecord): string {
  const byLimit = new Map<Limit, number>();
  for (const { limit, leastMs } of Object.values(run.kernels))
    byLimit.set(limit, (byLimit.get(limit) ?? 0) + leastMs);
  const parts = [...byLimit]
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, ms]) => ms > 0)
    .map(([limit, ms]) => `${milliseconds(ms)} are set by ${SET_BY[limit]}`);
  return (
    `${runTitle(run)}: at least ${milliseconds(leastMsOf(run))} ms, of which ${parts.join(", ")}; ` +
    `its multiply-adds alone on the f32 lanes ${milliseconds(run.multiplyAddMs)} ms`
  );
}

export const milliseconds = (ms: number): string => (ms < 100 ? ms.toFixed(1) : ms.toFixed(0));

type Cells = readonly string[];

/** The kernels of a run, longest first, a line each, and one for the K step around a hot loop. */
export function runText(run: RunRecord): string {
  const kernels = Object.entries(run.kernels).toSorted(([, a], [, b]) => b.leastMs - a.leastMs);
  const hasCode = kernels.some(([, { hot }]) => hot !== null);
  const head = [
    ...FIRST_COLUMNS,
    ...(hasCode ? LOOP_COLUMNS : ["fills", "instructions", "arithmetic"]),
    ...LAST_COLUMNS,
  ];
  const rows = kernels.flatMap(([name, kernel]) => rowsOf(name, kernel, run, hasCode));
  return [
    boundSentence(run),
    `occupancy in ${run.occupancyUnit}; memory: bytes of a workgroup; spills: to memory + to other registers`,
    ...(hasCode
      ? [
          "of a turn of the hot loop, and of the K step around it: multiply-adds, products of matrix units, other vector",
          "arithmetic, workgroup memory (by bits of an access), buffers, scalar, barriers; needs: multiply-adds done for each needed",
        ]
      : ["the driver shows no code: the bound is of the FLOPs and bytes alone"]),
    "",
    table([head, ...rows]),
    ...(kernels.some(([, { isKnown }]) => !isKnown)
      ? ["? a loop was not found in the source: it is counted as if it turned once"]
      : []),
    "",
  ].join("\n");
}

const FIRST_COLUMNS = "kernel|FLOPs|count|registers|spills|occupancy|memory".split("|");
const LAST_COLUMNS = "needs|least ms|set by".split("|");
const LOOP_COLUMNS = "loop|mul-add|matrix|other|shared|buffers|scalar|barrier".split("|");

function rowsOf(
  name: string,
  kernel: KernelRecord,
  run: RunRecord,
  hasCode: boolean,
): readonly Cells[] {
  const { hot, step } = kernel;
  const isStep = hot !== null && step !== null && instructionsOf(hot) !== instructionsOf(step);
  const loops = !hasCode
    ? [kernel.fills, kernel.instructions, kernel.arithmetic].map((one) => String(one ?? ""))
    : hot === null
      ? LOOP_COLUMNS.map(() => "")
      : ["hot", ...turnCells(hot)];
  const first = [
    `${name}${kernel.isKnown ? "" : " ?"}`,
    `${((100 * kernel.flops) / run.flops).toFixed(1)} %`,
    String(kernel.dispatches),
    String(kernel.registers),
    kernel.registerSpills > 0 ? `${kernel.spills} + ${kernel.registerSpills}` : `${kernel.spills}`,
    String(kernel.occupancy),
    String(kernel.sharedBytes),
    ...loops,
    kernel.multiplyAddsPerNeeded?.toFixed(2) ?? "",
    kernel.leastMs.toFixed(2),
    kernel.limit,
  ];
  if (!isStep) return [first];
  const empty = (columns: Cells): Cells => columns.map(() => "");
  return [first, [...empty(FIRST_COLUMNS), "step", ...turnCells(step), ...empty(LAST_COLUMNS)]];
}

function turnCells({ counts, sharedWidths }: Turn): Cells {
  const cell = (kind: keyof Counts): string => String(Math.round(counts[kind] ?? 0));
  const widths = Object.entries(sharedWidths).map(
    ([bits, often]) => `${Math.round(often)}×${bits}`,
  );
  return [
    cell("multiplyAdd"),
    cell("matrix"),
    cell("vector"),
    widths.length > 0 ? widths.join(" ") : "0",
    cell("global"),
    cell("scalar"),
    cell("barrier"),
  ];
}

/** Aligned columns, names to the left and numbers to the right. */
function table(rows: readonly Cells[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const isLeft = (i: number): boolean => i === 0 || i === widths.length - 1;
  return rows
    .map((row) =>
      row
        .map((cell, i) => (isLeft(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
