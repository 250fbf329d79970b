/** Lower bounds of small programs, by hand. */
import { describe, expect, it } from "vitest";
import type { Compiled } from "../../../bench/compilers/bound.ts";
import { boundOf } from "../../../bench/compilers/bound.ts";
import type { Peaks } from "../../../bench/compilers/cards.ts";
import { CARDS } from "../../../bench/compilers/cards.ts";
import type { Instruction, InstructionSet } from "../../../bench/compilers/isa/program.ts";
import { instruction } from "../../../bench/compilers/isa/program.ts";
import type { Use } from "../../../bench/compilers/planned-shaders.ts";

const PEAKS: Peaks = {
  cores: 2,
  gigahertz: 0.001, // a million clocks a second, a thousand a millisecond
  lanes: 64,
  issues: 4,
  sharedBytes: 128,
  matrixMultiplyAdds: 256,
  gigabytesPerSecond: 0.001, // a thousand bytes a millisecond
};
const USE: Use = { params: {}, workgroups: [4, 1, 1], count: 1, flops: 8000, bytes: 500 };

const program = (instructions: readonly Instruction[], subgroupSize = 32): Compiled => ({
  blocks: [{ instructions, successors: [] }],
  subgroupSize,
  invocations: 64,
});

const bound = (
  instructions: readonly Instruction[],
  {
    isa = "aco",
    subgroupSize = 32,
    use = USE,
    ...peaks
  }: Partial<Peaks> & { isa?: InstructionSet; subgroupSize?: number; use?: Use } = {},
) => boundOf({ isa, peaks: { ...PEAKS, ...peaks } }, program(instructions, subgroupSize), [1], use);

const FMA = instruction("fma", "multiplyAdd", { isPaired: true });
const many = (count: number, one: Instruction): Instruction[] =>
  Array.from({ length: count }, () => one);

describe("the bound of a dispatch", () => {
  it("is the time of lanes", () => {
    // 4 workgroups of 64 invocations: 8 subgroups × 1000 × 32 lanes over 2 cores × 64 lanes = 2000 clocks.
    const { times, leastMs, limit } = bound(many(1000, FMA));
    expect(times.multiplyAdd).toBeCloseTo(2);
    expect([leastMs, limit]).toEqual([times.multiplyAdd, "arithmetic"]);
  });

  it("counts cores that the last round leaves idle", () => {
    // Three workgroups keep two cores busy for two rounds, as four do.
    const { leastMs } = bound(many(1000, FMA), { use: { ...USE, workgroups: [3, 1, 1] } });
    expect(leastMs).toBeCloseTo(2);
  });

  it("counts slow instructions, repeats and weights", () => {
    expect(bound(many(250, instruction("mul_lo", "vector", { cost: 4 }))).times.vector).toBeCloseTo(
      2,
    );
    expect(bound(many(250, instruction("rpt", "vector", { times: 4 }))).times.vector).toBeCloseTo(
      2,
    );
    const compiled = program(many(10, FMA));
    expect(boundOf({ isa: "aco", peaks: PEAKS }, compiled, [100], USE).leastMs).toBeCloseTo(2);
  });

  it("needs pairs for AMD's double rate, in subgroups of 64", () => {
    const paired = { pairs: true, lanes: 128 };
    expect(bound(many(1000, FMA), { ...paired, subgroupSize: 64 }).leastMs).toBeCloseTo(1);
    expect(bound(many(1000, FMA), paired).leastMs).toBeCloseTo(2);
    const alone = { ...FMA, isPaired: false };
    expect(bound(many(1000, alone), { ...paired, subgroupSize: 64 }).leastMs).toBeCloseTo(2);
  });

  it("has lanes that do one kind only", () => {
    const integer = instruction("iadd", "vector", { lanes: "integer" });
    const special = instruction("exp", "vector", { lanes: "special" });
    const mixed = [...many(500, FMA), ...many(500, integer)];
    expect(bound(mixed, { lanes: 128 }).leastMs).toBeCloseTo(1);
    expect(bound(mixed, { lanes: 128, integerLanes: 32 }).leastMs).toBeCloseTo(2);
    expect(bound(many(1000, FMA), { lanes: 128, floatLanes: 64 }).leastMs).toBeCloseTo(2);
    expect(bound(many(250, special), { specialLanes: 16 }).leastMs).toBeCloseTo(2);
  });

  it("is one of issue slots on NVIDIA, whatever the kind", () => {
    // 8 subgroups × 2000 instructions over 2 cores × 4 slots.
    const scalar = many(1000, instruction("ldc", "scalar"));
    const wait = many(9000, instruction("nop", "wait"));
    const all = [...many(500, FMA), ...many(500, instruction("ld", "global")), ...scalar, ...wait];
    expect(bound(all, { isa: "nak", lanes: 128 })).toMatchObject({
      limit: "arithmetic",
      leastMs: 2,
    });
    expect(bound(scalar, { isa: "aco" })).toMatchObject({ limit: "scalar unit", leastMs: 1 });
  });

  it("is one of matrix units, workgroup memory or buffers", () => {
    // 8 subgroups × 100 × 4096 over 2 × 256.
    const matrix = many(100, instruction("wmma", "matrix", { matrixMultiplyAdds: 4096 }));
    expect(bound(matrix)).toMatchObject({ limit: "matrix units", leastMs: 6.4 });
    expect(bound(matrix, { matrixMultiplyAdds: 0 }).times.matrix).toBe(0);
    // 8 subgroups × 100 × 32 lanes × 16 bytes over 2 × 128.
    const shared = many(100, instruction("ds_load", "shared", { sharedBytes: 16 }));
    expect(bound(shared)).toMatchObject({ limit: "workgroup memory", leastMs: 1.6 });
    expect(bound([FMA])).toMatchObject({ limit: "buffers", leastMs: 0.5 });
  });

  it("does not rest on a rate that no vendor tells", () => {
    const shared = many(1000, instruction("ldl", "shared", { sharedBytes: 16 }));
    const { times, leastMs, limit } = bound(shared, { isSharedAssumed: true });
    expect(times.shared).toBeCloseTo(16);
    expect([leastMs, limit]).toEqual([0.5, "buffers"]);
  });

  it("is that of the work and its bytes where there is no code", () => {
    // 4000 multiply-adds over 2 × 64 lanes.
    const none = { blocks: null, subgroupSize: 32, invocations: 64 };
    const { leastMs, times } = boundOf({ isa: "agx", peaks: PEAKS }, none, [], USE);
    expect(times.multiplyAdd).toBeCloseTo(0.03125);
    expect(leastMs).toBe(0.5);
  });
});

it("peaks are the vendors' figures", () => {
  const teraflops = (id: string): readonly [f32: number, matrix: number] => {
    const {
      cores,
      lanes,
      floatLanes = lanes,
      gigahertz,
      matrixMultiplyAdds,
    } = CARDS.find((card) => card.id === id)?.peaks ?? PEAKS;
    const rate = (perClock: number): number => (2 * cores * perClock * gigahertz) / 1000;
    return [rate(floatLanes), rate(matrixMultiplyAdds)];
  };
  const figures: Record<string, readonly [number, number]> = {
    navi21: [23.04, 0],
    navi31: [61.4, 122.9],
    gfx1201: [48.7, 194.6],
    tu102: [13.4, 53.8],
    ga102: [35.6, 71.2],
    m1: [2.6, 0],
    a730: [1.84, 0],
  };
  for (const { id } of CARDS) {
    const [f32, matrix] = teraflops(id);
    expect(f32 / (figures[id]?.[0] ?? 0), id).toBeCloseTo(1, 1);
    expect(matrix, id).toBeCloseTo(figures[id]?.[1] ?? 0, 0);
  }
});
