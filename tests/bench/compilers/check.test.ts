/** What the check calls worse. */
import { describe, expect, it } from "vitest";
import { compare } from "../../../bench/compilers/check.ts";
import type { KernelRecord } from "../../../bench/compilers/record.ts";
import { KERNEL, recordOf } from "./records.ts";

const BEFORE = recordOf({ conv: KERNEL, "conv #2": KERNEL });

/** What is said where the second kernel has become another one. */
const after = (change: Partial<KernelRecord>, before: Partial<KernelRecord> = {}) =>
  compare(
    recordOf({ conv: KERNEL, "conv #2": { ...KERNEL, ...before } }),
    recordOf({ conv: KERNEL, "conv #2": { ...KERNEL, ...before, ...change } }),
  );

/** A hot loop with so many vector instructions beside its 64 multiply-adds. */
const hot = (vector: number, multiplyAdd = 64): Pick<KernelRecord, "hot"> => ({
  hot: { counts: { ...KERNEL.hot?.counts, vector, multiplyAdd }, sharedWidths: {} },
});

const NONE = { worse: [], notes: [] };

describe("the check", () => {
  it("finds nothing where nothing changed, or what does not matter", () => {
    expect(after({})).toEqual(NONE);
    expect(after({ registers: 128, leastMs: 9, instructions: 2000, registerSpills: 40 })).toEqual(
      NONE,
    );
  });

  it("refuses a spill, also of a kernel without work", () => {
    expect(after({ spills: 2 }).worse).toEqual(["card: conv #2: spills 0 → 2"]);
    expect(after({ spills: 2 }, { flops: 0 }).worse).toHaveLength(1);
    expect(after({ spills: 2 }, { spills: 5 })).toEqual({
      worse: [],
      notes: ["card: conv #2: spills 5 → 2"],
    });
  });

  it("refuses lost occupancy", () => {
    expect(after({ occupancy: 12 }).worse).toEqual([
      "card: conv #2: occupancy 16 → 12 waves a SIMD",
    ]);
    expect(after({ occupancy: 20 })).toMatchObject({
      worse: [],
      notes: [expect.stringContaining("16 → 20")],
    });
  });

  it("refuses 4 % more instructions of a hot loop or K step, and takes 3 %", () => {
    // 100 instructions, waits not counted.
    expect(after(hot(20)).worse).toEqual([
      "card: conv #2: hot loop: 100 → 104 instructions (+4.0 %)",
    ]);
    expect(after(hot(19))).toEqual(NONE);
    expect(after(hot(12))).toMatchObject({
      worse: [],
      notes: [expect.stringContaining("(-4.0 %)")],
    });
    const step = { counts: { multiplyAdd: 512, vector: 440, scalar: 88 }, sharedWidths: {} };
    expect(after({ step }).worse).toEqual([
      "card: conv #2: K step: 1000 → 1040 instructions (+4.0 %)",
    ]);
  });

  it("compares K steps that are cut otherwise by what they are there for, and no hot loops", () => {
    const step = (multiplyAdd: number, vector: number): Partial<KernelRecord> => ({
      step: { counts: { multiplyAdd, vector }, sharedWidths: {} },
    });
    // Half of the products in half of the 1000 instructions, then in 4 % more.
    expect(after(step(256, 244))).toEqual(NONE);
    expect(after(step(256, 264)).worse).toEqual([
      "card: conv #2: K step: 1000 → 520 instructions for 512 → 256 products (+4.0 % each)",
    ]);
    // The inner loop was unrolled: the hot loop is another one.
    expect(after(hot(600, 512))).toEqual(NONE);
  });

  it("leaves the loops of kernels with little work alone", () => {
    expect(after(hot(80), { flops: 9 })).toEqual(NONE);
    expect(after(hot(80), { flops: 10 }).worse).toHaveLength(1);
  });

  it("refuses a loop that is no longer found", () => {
    expect(after({ isKnown: false }).worse).toEqual([
      "card: conv #2: has a loop that is no longer found in the source",
    ]);
  });

  it("wants to be told of new kernels and of those that are gone", () => {
    const other = (kernel: Partial<KernelRecord>) =>
      compare(BEFORE, recordOf({ conv: KERNEL, "conv #2": KERNEL, new: { ...KERNEL, ...kernel } }));
    expect(other({}).worse).toEqual(["card: new: is new"]);
    expect(other({ flops: 1 })).toEqual({ worse: [], notes: ["card: new: is new"] });
    expect(other({ flops: 1, spills: 3 }).worse).toEqual(["card: new: is new and spills 3"]);
    expect(compare(BEFORE, recordOf({ conv: KERNEL })).worse).toEqual(["card: conv #2: is gone"]);
    // Not those that were left out by a filter.
    expect(compare(BEFORE, recordOf({}), "linear")).toEqual(NONE);
  });

  it("needs the same run in the table", () => {
    expect(compare({ ...BEFORE, runs: {} }, BEFORE).worse).toEqual([
      "card: no such run in the table of 2026-11-30",
    ]);
  });
});
