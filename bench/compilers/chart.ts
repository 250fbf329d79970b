/**
 * Where the time of an image goes at least, as bars: for each kernel the time of every kind of instruction on its own
 * resource, laid end to end. Resources work beside each other, so a bar is not a time; the mark in it is: the kernel's bound.
 */
import { escaped } from "../../src/bench/roofline-plot.ts";
import type { Bound, TimedKind } from "./bound.ts";
import { TIMED_KINDS } from "./bound.ts";
import { boundSentence, milliseconds } from "./print.ts";
import type { CompilersRecord, RunRecord } from "./record.ts";

/** Okabe and Ito's colours, which colour-blind readers can tell apart. */
const SERIES: Readonly<Record<TimedKind, readonly [colour: string, name: string]>> = {
  multiplyAdd: ["#0072b2", "multiply-adds"],
  matrix: ["#56b4e9", "matrix units"],
  vector: ["#e69f00", "other arithmetic"],
  shared: ["#009e73", "workgroup memory"],
  global: ["#cc79a7", "bytes of buffers"],
  scalar: ["#d55e00", "scalar"],
};

const WIDTH = 900;
const NAME_RIGHT = 300;
const BAR_LEFT = 310;
const BAR_WIDTH = 510;
const ROW = 22;
const MOST_ROWS = 10;

interface Row {
  readonly name: string;
  readonly times: Bound["times"];
  readonly leastMs: number;
}

/** A panel for each run. */
export function chartSvg({ runs }: Pick<CompilersRecord, "runs">): string {
  const lines: string[] = [];
  let top = 8;
  for (const run of Object.values(runs)) {
    const rows = rowsOf(run);
    lines.push(...panel(run, rows, top));
    top += 64 + ROW * rows.length;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="12">`,
    "<style>.end{text-anchor:end}</style>",
    `<rect width="${WIDTH}" height="${top}" fill="#fff"/>`,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

/** The kernels with the longest bars, and one bar for the rest. */
function rowsOf({ kernels }: RunRecord): readonly Row[] {
  const all = Object.entries(kernels)
    .map(([name, { times, leastMs }]): Row => ({ name, times, leastMs }))
    .toSorted((a, b) => lengthOf(b) - lengthOf(a));
  const rest = all.slice(MOST_ROWS);
  if (rest.length === 0) return all;
  const sum = (value: (row: Row) => number): number => rest.reduce((ms, row) => ms + value(row), 0);
  const times = Object.fromEntries(
    TIMED_KINDS.map((kind) => [kind, sum((row) => row.times[kind])]),
  ) as Bound["times"];
  const name = `${rest.length} others`;
  return [...all.slice(0, MOST_ROWS), { name, times, leastMs: sum(({ leastMs }) => leastMs) }];
}

const lengthOf = ({ times }: Row): number =>
  TIMED_KINDS.reduce((sum, kind) => sum + times[kind], 0);

function panel(run: RunRecord, rows: readonly Row[], top: number): readonly string[] {
  const [title = ""] = boundSentence(run).split(", of which");
  const scale = BAR_WIDTH / Math.max(...rows.map(lengthOf), 1e-9);
  const firstRow = top + 56;
  const used = TIMED_KINDS.filter((kind) => rows.some(({ times }) => times[kind] > 0));
  return [
    `<text x="10" y="${top + 14}" font-size="14">${escaped(title)}</text>`,
    ...used.map((kind, i) => {
      const [colour, name] = SERIES[kind];
      const x = 10 + 148 * i;
      return `<rect x="${x}" y="${top + 24}" width="10" height="10" fill="${colour}"/><text x="${x + 15}" y="${top + 33}">${name}</text>`;
    }),
    ...rows.flatMap((row, i) => bar(row, firstRow + ROW * i, scale)),
  ];
}

function bar({ name, times, leastMs }: Row, y: number, scale: number): readonly string[] {
  let x = BAR_LEFT;
  const segments = TIMED_KINDS.filter((kind) => times[kind] > 0).map((kind) => {
    const width = tenth(times[kind] * scale);
    const [colour, kindName] = SERIES[kind];
    const words = escaped(`${name}, ${kindName}: ${milliseconds(times[kind])} ms`);
    const segment = `<rect x="${tenth(x)}" y="${y - 12}" width="${width}" height="16" fill="${colour}"><title>${words}</title></rect>`;
    x += width;
    return segment;
  });
  const mark = tenth(BAR_LEFT + leastMs * scale);
  return [
    `<text x="${NAME_RIGHT}" y="${y}" class="end">${escaped(name)}</text>`,
    ...segments,
    `<path d="M${mark} ${y - 15}V${y + 7}" stroke="#000" stroke-width="2"/>`,
    `<text x="${tenth(Math.max(x, mark)) + 6}" y="${y}">≥ ${milliseconds(leastMs)} ms</text>`,
  ];
}

const tenth = (pixels: number): number => Math.round(10 * pixels) / 10;
