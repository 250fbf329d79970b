/** Writes the generated part of docs/compilers.md and its pictures from the tables in bench/results. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chartSvg } from "./chart.ts";
import type { Turn } from "./measure.ts";
import { instructionsOf } from "./measure.ts";
import { milliseconds, runTitle } from "./print.ts";
import type { CompilersRecord, KernelRecord, RunRecord } from "./record.ts";
import { leastMsOf } from "./record.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** What the check compares with: the present kernels. */
export const GOLDEN = join(ROOT, "bench/results/compilers.json");
/** The kernels before they were written with these compilers at hand. */
export const BEFORE = join(ROOT, "bench/results/compilers-cb3c6bb.json");
const PAGE = join(ROOT, "docs/compilers.md");
const PICTURES = "docs/compilers";
const [BEGIN, END] = ["<!-- generated: figures -->\n", "<!-- end -->"];
/** Kernels of a run that get a line. */
const MOST_KERNELS = 8;

/** Throws where there is no such table. */
export async function readRecord(path: string): Promise<CompilersRecord> {
  if (!existsSync(path))
    throw new Error(`no table ${path}. npm run bench:compilers -- --accept writes the present one`);
  return JSON.parse(await readFile(path, "utf8")) as CompilersRecord;
}

export async function writeDocs(): Promise<void> {
  for (const [name, text] of await docFiles()) {
    await mkdir(join(ROOT, PICTURES), { recursive: true });
    await writeFile(join(ROOT, name), text);
  }
}

/** The page and its pictures as they have to be, by their paths in the repository. */
export async function docFiles(): Promise<ReadonlyMap<string, string>> {
  const [before, after] = [await readRecord(BEFORE), await readRecord(GOLDEN)];
  const page = await readFile(PAGE, "utf8");
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from)
    throw new Error(`docs/compilers.md: must have the lines "${BEGIN.trim()}" and "${END}"`);
  const text = page.slice(0, from + BEGIN.length) + figuresMarkdown(before, after) + page.slice(to);
  return new Map([
    ["docs/compilers.md", text],
    ...Object.entries(after.runs).map(
      ([id, run]) => [`${PICTURES}/${pictureName(id)}`, chartSvg({ runs: { [id]: run } })] as const,
    ),
  ]);
}

const pictureName = (id: string): string => `${id.replaceAll(/[^\w]+/g, "-")}.svg`;

/** Before and after for every card, then its kernels with a picture. */
export function figuresMarkdown(before: CompilersRecord, after: CompilersRecord): string {
  const made = ({ date, revision, mesa }: CompilersRecord): string =>
    `${date}, revision ${revision ?? "unknown"}, Mesa ${mesa}`;
  const { model, size } = after;
  const ids = Object.keys(after.runs);
  const pairs = ids.map((id) => [id, before.runs[id], after.runs[id] as RunRecord] as const);
  return [
    `Of \`${model}\` at ${size.replace("x", " × ")} pixels. Before: ${made(before)}. After: ${made(after)}. \`npm run bench:compilers -- --accept\`.`,
    "",
    "| card | at least, ms: before | after | multiply-adds alone | kernels that spill: before | after |",
    "|---|--:|--:|--:|--:|--:|",
    ...pairs.map(([, old, now]) =>
      row([
        runTitle(now),
        old ? milliseconds(leastMsOf(old)) : "–",
        milliseconds(leastMsOf(now)),
        milliseconds(now.multiplyAddMs),
        old ? String(spilling(old)) : "–",
        String(spilling(now)),
      ]),
    ),
    "",
    ...pairs.flatMap(([id, old, now]) => [
      `### ${runTitle(now)}`,
      "",
      `![Where the time of each kernel goes](compilers/${pictureName(id)})`,
      "",
      `| kernel | FLOPs | registers | ${now.occupancyUnit} | spills: to memory + to registers | instructions of the hot loop (multiply-adds) | K step | at least, ms |`,
      "|---|--:|--:|--:|--:|--:|--:|--:|",
      ...kernelRows(old, now),
      "",
    ]),
  ].join("\n");
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

const spilling = ({ kernels }: RunRecord): number =>
  Object.values(kernels).filter(({ spills }) => spills > 0).length;

/** The kernels with the longest bounds, before or after. */
function kernelRows(before: RunRecord | undefined, after: RunRecord): readonly string[] {
  const longest = (run: RunRecord | undefined): readonly string[] =>
    Object.entries(run?.kernels ?? {})
      .toSorted(([, a], [, b]) => b.leastMs - a.leastMs)
      .slice(0, MOST_KERNELS)
      .map(([name]) => name);
  const names = [...new Set([...longest(after), ...longest(before)])];
  return names.map((name) => {
    const [old, now] = [before?.kernels[name], after.kernels[name]];
    const both = (text: (kernel: KernelRecord) => string): string => {
      const [from, to] = [old ? text(old) : "–", now ? text(now) : "–"];
      return from === to ? to : `${from} → ${to}`;
    };
    const flops = now?.flops ?? old?.flops ?? 0;
    return row([
      name,
      `${((100 * flops) / after.flops).toFixed(1)} %`,
      both(({ registers }) => String(registers)),
      both(({ occupancy }) => String(occupancy)),
      both(({ spills, registerSpills }) =>
        registerSpills > 0 ? `${spills} + ${registerSpills}` : String(spills),
      ),
      both(({ hot }) => (hot ? `${count(hot)} (${products(hot)})` : "–")),
      both(({ step }) => (step ? count(step) : "–")),
      both(({ leastMs }) => milliseconds(leastMs)),
    ]);
  });
}

const count = (turn: Turn): string => String(Math.round(instructionsOf(turn)));

function products({ counts: { matrix = 0, multiplyAdd = 0 } }: Turn): string {
  return matrix > 0 ? `${Math.round(matrix)} matrix` : String(Math.round(multiplyAdd));
}
