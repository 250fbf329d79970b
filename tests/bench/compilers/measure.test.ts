/** From a compiler's report to a line of the table. */
import { expect, it } from "vitest";
import { CARDS } from "../../../bench/compilers/cards.ts";
import type { Card } from "../../../bench/compilers/cards.ts";
import { instructionsOf, measure } from "../../../bench/compilers/measure.ts";
import type { CompiledShader, Use } from "../../../bench/compilers/planned-shaders.ts";

const cardOf = (id: string): Card => CARDS.find((card) => card.id === id) as Card;

/** A K step of 12 turns, in it a hot loop of 4. */
const CODE = `const LANES: u32 = 64u;
var<workgroup> tile: array<vec4<f32>, LANES>;
@compute @workgroup_size(LANES)
fn main() {
  for (var k = 0u; k < params.k; k++) {
    for (var i = 0u; i < params.i; i++) { sum = fma(tile[i].x, 2.0, sum); }
  }
}`;
const ASSEMBLY = `BB0:
	s_mov_b32 s0, 0
BB1:
	v_mov_b32_e32 v1, 0
BB2:
	ds_load_b128 v[4:7], v40
	s_waitcnt lgkmcnt(0)
	v_fmac_f32_e32 v41, v43, v45
	v_fmac_f32_e32 v42, v43, v45
	s_cbranch_scc0 BB2
BB3:
	s_cbranch_scc0 BB1
BB4:
	s_endpgm
`;
const STATISTICS = {
  "Subgroup Size": 64,
  VGPRs: 96,
  "Spilled VGPRs": 1,
  "LDS size": 1024,
  "Subgroups per SIMD": 8,
  Instructions: 9,
  VALU: 3,
};

const reportOf = (statistics: Readonly<Record<string, number>>, assembly = ""): string =>
  [
    ...Object.entries(statistics).map(([name, value]) => `S ${name}\t${value}\n`),
    ...(assembly === "" ? [] : [`R Assembly\t${assembly.length}\n${assembly}`]),
  ].join("");

/** 96 multiply-adds of an invocation, in two workgroups. */
const use = (more: Partial<Use> = {}): Use => ({
  params: { k: 12, i: 4 },
  workgroups: [2, 1, 1],
  count: 3,
  flops: 2 * 96 * 128,
  bytes: 0,
  ...more,
});

const shader = (report: string, uses: readonly Use[] = [use()]): CompiledShader => ({
  label: "conv2d/tiled",
  code: CODE,
  bindings: [],
  uses,
  report,
});

it("counts a turn of the hot loop and of the K step", () => {
  const figures = measure(cardOf("navi21"), shader(reportOf(STATISTICS, ASSEMBLY)));
  expect(figures).toMatchObject({
    dispatches: 3,
    flops: 3 * 2 * 96 * 128,
    registers: 96,
    spills: 1,
    registerSpills: 0,
    occupancy: 8,
    sharedBytes: 1024,
    subgroupSize: 64,
    instructions: 9,
    arithmetic: 3,
    isKnown: true,
    multiplyAddsPerNeeded: 1,
    hot: { counts: { multiplyAdd: 2, shared: 1, scalar: 1, wait: 1 }, sharedWidths: { 128: 1 } },
    step: {
      counts: { multiplyAdd: 8, vector: 1, shared: 4, scalar: 5, wait: 4 },
      sharedWidths: { 128: 4 },
    },
  });
  expect(figures.hot && instructionsOf(figures.hot)).toBe(4);
});

it("sums over uses, each with turns of its own", () => {
  const both = [use(), use({ params: { k: 24, i: 4 }, count: 1, flops: 2 * 96 * 128 })];
  const figures = measure(cardOf("navi21"), shader(reportOf(STATISTICS, ASSEMBLY), both));
  // The second does twice of what it needs.
  expect(figures.multiplyAddsPerNeeded).toBeCloseTo(5 / 4);
  const [first, second] = both.map(
    (one) => measure(cardOf("navi21"), shader(reportOf(STATISTICS, ASSEMBLY), [one])).leastMs,
  );
  expect(figures.leastMs).toBeCloseTo((first ?? 0) + (second ?? 0), 12);
});

it("says where a loop was not found", () => {
  const unknown = {
    ...shader(reportOf(STATISTICS, ASSEMBLY)),
    code: CODE.replace("params.k", "x[0]"),
  };
  expect(measure(cardOf("navi21"), unknown).isKnown).toBe(false);
});

it("reads what Apple's driver tells, and declares memory itself", () => {
  const statistics = {
    "Subgroup Size": 32,
    GPRs: 255,
    Spills: 15,
    Fills: 20,
    Threads: 384,
    Instructions: 70,
    ALU: 60,
  };
  expect(measure(cardOf("m1"), shader(reportOf(statistics)))).toMatchObject({
    registers: 255,
    spills: 15,
    fills: 20,
    occupancy: 384,
    sharedBytes: 1024,
    arithmetic: 60,
    hot: null,
    step: null,
    multiplyAddsPerNeeded: null,
    isKnown: true,
    limit: "arithmetic",
  });
});

it("names a statistic that a driver no longer has", () => {
  const { VGPRs: _, ...rest } = STATISTICS;
  expect(() => measure(cardOf("navi21"), shader(reportOf(rest, ASSEMBLY)))).toThrow(
    'conv2d/tiled: the driver gives no statistic "VGPRs", but Subgroup Size, Spilled VGPRs',
  );
});
