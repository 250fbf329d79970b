/**
 * The least time of a dispatch on a card: for each of its resources the time in which it does its share of the work at its
 * peak, as if all others took none; the dispatch takes at least the longest of them.
 *
 * Waiting is not in it: for memory, for results of instructions before, for other workgroups. Where a resource works at
 * less than its peak the time is longer: bank conflicts, branches that lanes take apart.
 */
import type { Card, Peaks } from "./cards.ts";
import type { Block, Instruction, Kind, Lanes } from "./isa/program.ts";
import type { Use } from "./planned-shaders.ts";
import { sumOver } from "./weigh.ts";

/** Kinds of instructions that a resource's time is told for. */
export const TIMED_KINDS = [
  "multiplyAdd",
  "matrix",
  "vector",
  "shared",
  "global",
  "scalar",
] as const satisfies readonly Kind[];
export type TimedKind = (typeof TIMED_KINDS)[number];

/** What may take the longest. */
export type Limit = "arithmetic" | "matrix units" | "workgroup memory" | "buffers" | "scalar unit";

export interface Bound {
  /** Milliseconds of each kind of instruction on its own resource at its peak. They overlap: their sum means nothing. */
  readonly times: Readonly<Record<TimedKind, number>>;
  readonly leastMs: number;
  /** What takes the longest. */
  readonly limit: Limit;
}

/** A shader as its compiler made it. */
export interface Compiled {
  /** Null where the driver shows no code: then only the work itself and its bytes are counted. */
  readonly blocks: readonly Block[] | null;
  readonly subgroupSize: number;
  /** Of a workgroup. */
  readonly invocations: number;
}

/** The bound of one dispatch. `weights`: how often each block runs, for an invocation. */
export function boundOf(
  { isa, peaks }: Pick<Card, "isa" | "peaks">,
  { blocks, subgroupSize, invocations }: Compiled,
  weights: readonly number[],
  use: Use,
): Bound {
  const [x, y, z] = use.workgroups;
  const groups = x * y * z;
  // The last round of workgroups leaves cores idle.
  const busyCores = groups / Math.ceil(groups / peaks.cores);
  const clocksPerMs = busyCores * peaks.gigahertz * 1e6;
  const global = use.bytes / (peaks.gigabytesPerSecond * 1e6);
  if (blocks === null) {
    const multiplyAdd = use.flops / 2 / ((peaks.floatLanes ?? peaks.lanes) * clocksPerMs);
    return longest({ ...NONE, multiplyAdd, global }, { arithmetic: multiplyAdd, buffers: global });
  }
  const subgroups = groups * Math.ceil(invocations / subgroupSize);
  const ms = (value: (one: Instruction) => number, perClock = Number.POSITIVE_INFINITY): number =>
    (sumOver(blocks, weights, value) * subgroups) / (perClock * clocksPerMs);
  const lanesOf = (kinds: readonly Kind[], lanes: readonly Lanes[]) => (one: Instruction) =>
    kinds.includes(one.kind) && lanes.includes(one.lanes)
      ? turnsOf(one, peaks, subgroupSize) * subgroupSize
      : 0;
  const onlyOf = (lanes: Lanes, perClock: number | undefined): number =>
    ms(
      (one) => (ARITHMETIC.includes(one.kind) && one.lanes === lanes ? subgroupSize : 0),
      perClock,
    );
  const times = {
    multiplyAdd: ms(lanesOf(["multiplyAdd"], LANES), peaks.floatLanes ?? peaks.lanes),
    vector: ms(lanesOf(["vector"], LANES), peaks.lanes),
    matrix:
      peaks.matrixMultiplyAdds && ms((one) => one.matrixMultiplyAdds, peaks.matrixMultiplyAdds),
    shared: ms((one) => one.sharedBytes * subgroupSize, peaks.sharedBytes),
    scalar: ms((one) => Number(one.kind === "scalar"), peaks.issues),
    global,
  };
  // NVIDIA's schedulers issue one instruction of any kind in a clock.
  const isOneIssue = isa === "nak";
  const arithmetic = Math.max(
    ms(lanesOf(ARITHMETIC, LANES), peaks.lanes),
    onlyOf("float", peaks.floatLanes),
    onlyOf("integer", peaks.integerLanes),
    onlyOf("special", peaks.specialLanes),
    isOneIssue ? ms((one) => Number(one.kind !== "wait"), peaks.issues) : 0,
  );
  return longest(times, {
    arithmetic,
    "matrix units": times.matrix,
    "workgroup memory": peaks.isSharedAssumed ? 0 : times.shared,
    buffers: global,
    "scalar unit": isOneIssue ? 0 : times.scalar,
  });
}

const NONE = { multiplyAdd: 0, matrix: 0, vector: 0, shared: 0, global: 0, scalar: 0 };
const ARITHMETIC: readonly Kind[] = ["multiplyAdd", "vector"];
const LANES: readonly Lanes[] = ["float", "integer", "special"];

/** Where the peak counts pairs, an instruction without a partner takes the place of two. */
function turnsOf({ cost, isPaired }: Instruction, { pairs }: Peaks, subgroupSize: number): number {
  return cost * (pairs && !(isPaired && subgroupSize === 64) ? 2 : 1);
}

function longest(times: Bound["times"], limits: Partial<Record<Limit, number>>): Bound {
  const all = Object.entries(limits) as [Limit, number][];
  const [limit, leastMs] = all.reduce((a, b) => (b[1] > a[1] ? b : a));
  return { times, leastMs, limit };
}
