/** Loops of machine code found again in the source, and how often blocks run. */
import { describe, expect, it } from "vitest";
import type { Block, Instruction } from "../../../bench/compilers/isa/program.ts";
import { instruction } from "../../../bench/compilers/isa/program.ts";
import type { WeighedLoop } from "../../../bench/compilers/weigh.ts";
import { matchLoops, sumOver, weightsOf } from "../../../bench/compilers/weigh.ts";
import type { SourceLoop } from "../../../bench/compilers/wgsl-loops.ts";

const ADD = instruction("fma", "multiplyAdd");
const LOAD = instruction("load", "shared", { sharedBytes: 4 });
const STORE = instruction("store", "shared", { sharedBytes: 4, isStore: true });
const BARRIER = instruction("barrier", "barrier");

const block = (successors: readonly number[], ...instructions: readonly Instruction[]): Block => ({
  successors,
  instructions,
});

/** A loop of one block, entered from the block before, left to the one behind. */
const own = (at: number, ...instructions: readonly Instruction[]): Block =>
  block([at, at + 1], ...instructions);

const source = (
  turns: number | null,
  {
    isConstant = false,
    inner = [],
    ...touches
  }: Partial<SourceLoop> & Partial<SourceLoop["touches"]> = {},
): SourceLoop => ({
  turns,
  isConstant,
  inner,
  touches: { barrier: false, sharedLoad: false, sharedStore: false, ...touches },
});

type Shape = (number | null | Shape)[];
const shapeOf = (loops: readonly WeighedLoop[]): Shape =>
  loops.flatMap(({ turns, inner }): Shape => [
    turns,
    ...(inner.length > 0 ? [shapeOf(inner)] : []),
  ]);

describe("matching", () => {
  it("takes nested loops in their order", () => {
    // 1 is the outer loop's header, 2 and 3 turn inside.
    const blocks = [block([1]), block([2, 5]), own(2, LOAD), own(3, ADD), block([1]), block([])];
    const all = [
      source(9, { inner: [source(4, { sharedLoad: true }), source(2)], sharedLoad: true }),
    ];
    const loops = matchLoops(blocks, all);
    expect(shapeOf(loops)).toEqual([9, [4, 2]]);
    expect(weightsOf(blocks, loops)).toEqual([1, 9, 36, 18, 9, 1]);
    expect(sumOver(blocks, weightsOf(blocks, loops), (one) => one.multiplyAdds)).toBe(18);
  });

  it("sees loops that were unrolled, with those inside of them", () => {
    // The outer loop is gone: its inner loop is there twice.
    const blocks = [block([1]), own(1, ADD), own(2, ADD), block([])];
    const all = [source(2, { isConstant: true, inner: [source(30)] })];
    expect(shapeOf(matchLoops(blocks, all))).toEqual([30, 30]);
    // An inner one is gone, the outer one is not.
    const outer = [source(7, { inner: [source(4, { isConstant: true })] })];
    expect(shapeOf(matchLoops([block([1]), own(1, ADD), block([])], outer))).toEqual([7]);
  });

  it("drops loops that never turn, where the code has none", () => {
    const blocks = [block([1]), own(1, ADD), block([])];
    expect(shapeOf(matchLoops(blocks, [source(0), source(5), source(0)]))).toEqual([5]);
    expect(shapeOf(matchLoops(blocks, [source(0)]))).toEqual([0]);
  });

  it("tells the clearing of workgroup memory from the first loop of the kernel", () => {
    const clearing = source(1, { isConstant: true, sharedStore: true });
    const sums = source(12, { sharedLoad: true, barrier: true });
    const sum = [block([1]), own(1, LOAD, BARRIER), block([])];
    expect(shapeOf(matchLoops(sum, [clearing, sums]))).toEqual([12]);
    const both = [block([1]), own(1, STORE), own(2, LOAD, BARRIER), block([])];
    expect(shapeOf(matchLoops(both, [clearing, sums]))).toEqual([1, 12]);
  });

  it("tells which of two loops was unrolled by what is left of them", () => {
    const [reads, writes] = [{ sharedLoad: true }, { sharedStore: true }];
    const all = [
      source(3, { isConstant: true, ...reads }),
      source(5, { isConstant: true, ...writes }),
    ];
    expect(shapeOf(matchLoops([block([1]), own(1, STORE), block([])], all))).toEqual([5]);
    expect(shapeOf(matchLoops([block([1]), own(1, LOAD), block([])], all))).toEqual([3]);
  });

  it("says where a loop of the code is none of the source", () => {
    const blocks = [block([1]), own(1, ADD), block([])];
    expect(shapeOf(matchLoops(blocks, []))).toEqual([null]);
    expect(weightsOf(blocks, matchLoops(blocks, []))).toEqual([1, 1, 1]);
    expect(shapeOf(matchLoops(blocks, [source(null)]))).toEqual([null]);
  });
});
