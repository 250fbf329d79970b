/** How often each block of machine code runs: loops of the code are found again in the loops of the source. */
import type { Block, Instruction, Loop } from "./isa/program.ts";
import { loopsOf } from "./isa/program.ts";
import type { SourceLoop, Touches } from "./wgsl-loops.ts";

export interface WeighedLoop {
  readonly loop: Loop;
  /** Null: no loop of the source is like it. */
  readonly turns: number | null;
  readonly inner: readonly WeighedLoop[];
}

/** What it costs to say that a loop of the code is no loop of the source, or that a source loop is gone. */
const UNMATCHED = 1000;
/** A workgroup of one subgroup has no barriers in the end, and memory that nobody reads is not written. */
const OTHER_TOUCHES = 30;
const UNROLLED = 1;

const TOUCHES = ["barrier", "sharedLoad", "sharedStore"] as const;

interface Match {
  readonly cost: number;
  readonly loops: readonly WeighedLoop[];
}

/** A list of source loops, with an identity for its tail. */
type List = { readonly id: number; readonly head: SourceLoop; readonly tail: List } | null;

/**
 * Matches loops in their order. Compilers keep the order, unroll loops of constant bounds, each turn with its inner loops,
 * and drop what has no effect. The cheapest match is taken.
 */
export function matchLoops(
  blocks: readonly Block[],
  source: readonly SourceLoop[],
): readonly WeighedLoop[] {
  const seen = new Map<Loop, Touches>();
  const touches = (loop: Loop): Touches => {
    const found = seen.get(loop) ?? touchesOf(loop);
    seen.set(loop, found);
    return found;
  };
  const touchesOf = (loop: Loop): Touches => {
    const all = [...loop.blocks].flatMap((block) => blocks[block]?.instructions ?? []);
    return {
      barrier: all.some(({ kind }) => kind === "barrier"),
      sharedLoad: all.some(({ kind, isStore }) => kind === "shared" && !isStore),
      sharedStore: all.some(({ kind, isStore }) => kind === "shared" && isStore),
    };
  };
  let ids = 0;
  const listOf = (loops: readonly SourceLoop[], tail: List): List =>
    loops.reduceRight<List>((rest, head) => ({ id: ++ids, head, tail: rest }), tail);
  const matchList = (loops: readonly Loop[], all: readonly SourceLoop[]): Match => {
    const known = new Map<string, Match>();
    const unrolled = new Map<number, List>();
    const match = (at: number, list: List): Match => {
      const key = `${at} ${list?.id ?? 0}`;
      const found = known.get(key);
      if (found !== undefined) return found;
      const best = candidates(at, list).reduce((a, b) => (b.cost < a.cost ? b : a));
      known.set(key, best);
      return best;
    };
    const candidates = (at: number, list: List): readonly Match[] => {
      const loop = loops[at];
      const options: Match[] = [];
      if (loop === undefined && list === null) return [{ cost: 0, loops: [] }];
      if (loop !== undefined) {
        const rest = match(at + 1, list);
        const inner = loop.inner.map((one) => ({ loop: one, turns: null, inner: [] }));
        options.push({
          cost: rest.cost + UNMATCHED,
          loops: [{ loop, turns: null, inner }, ...rest.loops],
        });
      }
      if (list !== null) {
        const { head, tail } = list;
        if (loop !== undefined) {
          const inner = matchList(loop.inner, head.inner);
          const rest = match(at + 1, tail);
          const own = touches(loop);
          const differences = TOUCHES.filter((one) => own[one] !== head.touches[one]).length;
          options.push({
            cost: inner.cost + rest.cost + differences * OTHER_TOUCHES,
            loops: [{ loop, turns: head.turns, inner: inner.loops }, ...rest.loops],
          });
        }
        if (head.isConstant || head.turns === 0) {
          const turns = Array.from(
            { length: Math.round(head.turns ?? 0) },
            () => head.inner,
          ).flat();
          const expanded = unrolled.get(list.id) ?? listOf(turns, tail);
          unrolled.set(list.id, expanded);
          const rest = match(at, expanded);
          options.push({ ...rest, cost: rest.cost + UNROLLED });
        }
        const rest = match(at, tail);
        options.push({ ...rest, cost: rest.cost + UNMATCHED });
      }
      return options;
    };
    return match(0, listOf(all, null));
  };
  return matchList(loopsOf(blocks), source).loops;
}

/** How often each block runs, for an invocation. */
export function weightsOf(
  blocks: readonly Block[],
  loops: readonly WeighedLoop[],
): readonly number[] {
  const weights = blocks.map(() => 1);
  const weigh = (all: readonly WeighedLoop[]): void => {
    for (const { loop, turns, inner } of all) {
      for (const block of loop.blocks) weights[block] = (weights[block] as number) * (turns ?? 1);
      weigh(inner);
    }
  };
  weigh(loops);
  return weights;
}

/** The sum over instructions of blocks, each as often as it runs. */
export function sumOver(
  blocks: readonly Block[],
  weights: readonly number[],
  value: (instruction: Instruction) => number,
): number {
  return blocks.reduce(
    (sum, { instructions }, i) =>
      sum +
      (weights[i] as number) *
        instructions.reduce((inside, one) => inside + one.times * value(one), 0),
    0,
  );
}
