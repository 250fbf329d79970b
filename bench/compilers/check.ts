/** Compares what compilers make of the kernels now with a record of before. */
import type { Turn } from "./measure.ts";
import { instructionsOf } from "./measure.ts";
import type { CompilersRecord, KernelRecord, RunRecord } from "./record.ts";

/** Kernels with less of the model's work may have more instructions, and may come and go. */
const LEAST_SHARE = 0.01;
/** Compilers shuffle a few instructions with every change. */
const MORE_INSTRUCTIONS = 0.03;
const ROUNDING = 1e-9;

export interface Findings {
  /** What became worse, or cannot be compared. The check fails. */
  readonly worse: readonly string[];
  /** What became better, or does not matter. */
  readonly notes: readonly string[];
}

/** Compares the kernels of `now`, which may be some of those of the same runs in `before`. */
export function compare(before: CompilersRecord, now: CompilersRecord, filter = ""): Findings {
  const all = Object.entries(now.runs).map(([id, run]) => {
    const known = before.runs[id];
    return known
      ? compareRuns(id, known, run, filter)
      : { worse: [`${id}: no such run in the table of ${before.date}`], notes: [] };
  });
  return {
    worse: all.flatMap(({ worse }) => worse),
    notes: all.flatMap(({ notes }) => notes),
  };
}

function compareRuns(id: string, before: RunRecord, now: RunRecord, filter: string): Findings {
  const worse: string[] = [];
  const notes: string[] = [];
  const hasWork = ({ flops }: KernelRecord): boolean => flops >= LEAST_SHARE * now.flops;
  const say = (isWorse: boolean, name: string, text: string): void =>
    void (isWorse ? worse : notes).push(`${id}: ${name}: ${text}`);
  for (const [name, kernel] of Object.entries(now.kernels)) {
    const old = before.kernels[name];
    if (old === undefined) {
      if (kernel.spills > 0) say(true, name, `is new and spills ${kernel.spills}`);
      else say(hasWork(kernel), name, "is new");
      continue;
    }
    const change = (what: string, from: number, to: number): string => `${what} ${from} → ${to}`;
    if (kernel.spills !== old.spills)
      say(kernel.spills > old.spills, name, change("spills", old.spills, kernel.spills));
    if (kernel.occupancy !== old.occupancy) {
      const text = change("occupancy", old.occupancy, kernel.occupancy);
      say(kernel.occupancy < old.occupancy, name, `${text} ${now.occupancyUnit}`);
    }
    if (old.isKnown && !kernel.isKnown)
      say(true, name, "has a loop that is no longer found in the source");
    if (!hasWork(kernel)) continue;
    for (const part of ["hot", "step"] as const) {
      const [from, to] = [old[part], kernel[part]];
      if (!from || !to || (part === "hot" && !isSameLoop(from, to))) continue;
      const share = perWork(to) / perWork(from) - 1;
      if (Math.abs(share) > MORE_INSTRUCTIONS + ROUNDING)
        say(share > 0, name, `${PARTS[part]}: ${difference(from, to, share)}`);
    }
  }
  for (const [name, old] of Object.entries(before.kernels)) {
    if (now.kernels[name] === undefined && name.includes(filter))
      say(old.flops >= LEAST_SHARE * before.flops, name, "is gone");
  }
  return { worse, notes };
}

const PARTS = { hot: "hot loop", step: "K step" } as const;

/** Products that a turn is there for. A loop that is cut otherwise has more of both. */
const workOf = ({ counts: { matrix = 0, multiplyAdd = 0 } }: Turn): number =>
  matrix > 0 ? matrix : Math.max(1, multiplyAdd);

/**
 * Where a compiler unrolls the innermost loop, the one around it becomes the hot loop, with all that is done once for a turn
 * of it. The K step has both, before and after.
 */
function isSameLoop(from: Turn, to: Turn): boolean {
  const ratio = workOf(to) / workOf(from);
  return ratio > 0.9 && ratio < 1.1;
}

const perWork = (turn: Turn): number => instructionsOf(turn) / workOf(turn);

function difference(from: Turn, to: Turn, share: number): string {
  const [before, now] = [from, to].map((turn) => Math.round(instructionsOf(turn)));
  const [workBefore, workNow] = [from, to].map((turn) => Math.round(workOf(turn)));
  const work = workBefore === workNow ? "" : ` for ${workBefore} → ${workNow} products`;
  const percent = `${share > 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;
  return `${before} → ${now} instructions${work} (${percent}${work && " each"})`;
}
