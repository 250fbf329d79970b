/** How often loops of shaders turn, from their text and the numbers of a dispatch. */
import { describe, expect, it } from "vitest";
import { paramFields } from "../../../bench/compilers/planned-shaders.ts";
import { sharedBytesOf } from "../../../bench/compilers/shared-bytes.ts";
import type { SourceLoop } from "../../../bench/compilers/wgsl-loops.ts";
import { constantOf, sourceLoops } from "../../../bench/compilers/wgsl-loops.ts";
import type { Dispatch } from "../../../src/kernels/kernel.ts";
import { MATRIX_CAPS } from "../../support/matrix-caps.ts";
import { GPU_CAPS, TYPICAL_PROBLEMS } from "../../support/typical-problems.ts";

/** `[20, [2, 4]]`: a loop of 20 turns with two inside. Null: not known. */
type Shape = (number | null | Shape)[];
const shapeOf = (loops: readonly SourceLoop[]): Shape =>
  loops.flatMap(({ turns, inner }): Shape => [
    turns,
    ...(inner.length > 0 ? [shapeOf(inner)] : []),
  ]);

const main = (
  body: string,
  params: Record<string, number> = {},
  rest = "",
): readonly SourceLoop[] =>
  sourceLoops(
    `${rest} fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) { ${body} }`,
    { params, workgroups: [1, 1, 1] },
  );

describe("loops of a text", () => {
  it("turn as often as their bounds say", () => {
    expect(shapeOf(main("for (var i = 0u; i < 7u; i++) { }"))).toEqual([7]);
    expect(shapeOf(main("for (var i = 2u; i < params.n; i += 3u) { }", { n: 9 }))).toEqual([3]);
    expect(shapeOf(main("for (var i = 0u; i + 4u <= params.n; i += 4u) { }", { n: 12 }))).toEqual([
      3,
    ]);
    expect(shapeOf(main("for (var i = 64u; i > 0u; i >>= 1u) { }"))).toEqual([7]);
    expect(shapeOf(main("for (var i = 5u; i < 3u; i++) { }"))).toEqual([0]);
    expect(shapeOf(main("for (var i = 0u; i < 9u && i < params.n; i++) { }", { n: 4 }))).toEqual([
      4,
    ]);
    expect(shapeOf(main("for (var i = 0u; i < x[0]; i++) { }"))).toEqual([null]);
  });

  it("are nested, and their turns are the mean where they differ", () => {
    const text =
      "for (var i = 0u; i < 4u; i++) { for (var j = 0u; j < i; j++) { } for (var k = 0u; k < 3u; k++) { } }";
    expect(shapeOf(main(text))).toEqual([4, [1.5, 3]]);
  });

  it("are those of the functions that are called", () => {
    const code = "fn inner(n: u32) -> u32 { for (var i = 0u; i < n; i++) { } return n * 2u; }";
    expect(shapeOf(main("let a = inner(3u); for (var i = 0u; i < a; i++) { }", {}, code))).toEqual([
      3, 6,
    ]);
  });

  it("do not turn in a branch that is not taken", () => {
    const loop = (n: number): string => `for (var i = 0u; i < ${n}u; i++) { }`;
    const text = (condition: string): string =>
      `if (${condition}) { ${loop(2)} } else if (params.b > 1u) { ${loop(3)} } else { ${loop(4)} }`;
    expect(shapeOf(main(text("params.a == 1u"), { a: 1, b: 2 }))).toEqual([2, 0, 0]);
    expect(shapeOf(main(text("params.a == 1u"), { a: 0, b: 2 }))).toEqual([0, 3, 0]);
    expect(shapeOf(main(text("params.a == 1u"), { a: 0, b: 0 }))).toEqual([0, 0, 4]);
    // Nobody knows: all are counted.
    expect(shapeOf(main(text("x[0] == 1u"), { b: 2 }))).toEqual([2, 3, 0]);
  });

  it("may have bounds that variables hold", () => {
    const split = `var begin = 0u;
      for (var tap = 0u; tap < 3u; tap++) {
        let first = max(params.first, begin) - begin;
        let last = min(max(params.last, begin) - begin, 4u);
        begin += 4u;
        for (var k = first; k < last; k++) { }
      }`;
    // Of 12 steps in three taps those from 2 to 6: two of the first tap, two of the second.
    expect(shapeOf(main(split, { first: 2, last: 6 }))).toEqual([3, [4 / 3]]);
    const changed = (text: string): Shape =>
      shapeOf(main(`var n = 3u; ${text} for (var i = 0u; i < n; i++) { }`));
    expect(changed("n = 5u;")).toEqual([5]);
    expect(changed("{ n *= 2u; }")).toEqual([6]);
    expect(changed("if (x[0] > 0u) { n = 5u; }")).toEqual([null]);
    expect(changed("if (false) { n = 5u; }")).toEqual([3]);
    expect(changed("change(&n);")).toEqual([null]);
    expect(changed("for (var j = 0u; j < 2u; j++) { n += 1u; }")).toEqual([2, null]);
  });

  it("may be constant, then compilers may unroll them", () => {
    const constants = main(
      "for (var i = 0u; i < N; i++) { } for (var i = 0u; i < params.n; i++) { } for (var i = local; i < N; i += 2u) { }",
      { n: 4 },
      "const N: u32 = 4u;",
    );
    expect(constants.map(({ isConstant }) => isConstant)).toEqual([true, false, true]);
  });

  it("say what they do with workgroup memory, and Tint's clearing of it comes first", () => {
    const code = "var<workgroup> tile: array<f32, 8>;";
    const [clearing, loop] = main(
      "for (var i = 0u; i < params.n; i++) { tile[i] = 1.0; workgroupBarrier(); }",
      { n: 2 },
      code,
    );
    expect(clearing).toMatchObject({ turns: 1, isConstant: true });
    expect(clearing?.touches).toEqual({ barrier: false, sharedLoad: false, sharedStore: true });
    expect(loop?.touches).toEqual({ barrier: true, sharedLoad: false, sharedStore: true });
  });
});

/** Products of the turns of nested loops: how often the innermost ones run. */
function innermost(loops: readonly SourceLoop[]): readonly number[] {
  return loops.flatMap(({ turns, inner }) =>
    inner.length === 0
      ? [turns ?? Number.NaN]
      : innermost(inner).map((n) => n * (turns ?? Number.NaN)),
  );
}

const loopsOf = ({ code, params, workgroups }: Dispatch): readonly SourceLoop[] =>
  sourceLoops(code, { params: paramFields(code, params), workgroups });

describe("loops of the kernels", () => {
  it("all have known turns", () => {
    for (const { name, plan } of TYPICAL_PROBLEMS) {
      for (const dispatch of plan("f16", name.includes("matrix") ? MATRIX_CAPS : GPU_CAPS)
        .dispatches)
        expect(innermost(loopsOf(dispatch)), name).not.toContain(Number.NaN);
    }
  });

  it("go once over the sums of the naive forms", () => {
    const sum = (name: string): number => {
      const problem = TYPICAL_PROBLEMS.find((one) => one.name === name);
      const dispatches = problem?.plan("f16", GPU_CAPS).dispatches ?? [];
      return Math.max(...dispatches.flatMap((one) => innermost(loopsOf(one))));
    };
    // 3 × 3 taps of 320 channels, four at a time.
    expect(sum("conv2d-naive")).toBe(720);
    expect(sum("linear-naive")).toBe(80);
  });
});

describe("constants and workgroup memory", () => {
  const code = `const A: u32 = 4u; const B = A * 3u + 1u; alias Quad = vec4<f16>;
    struct Moments { mean: vec3<f32>, count: f32, m2: vec3<f32> }
    var<workgroup> one: array<f32, (B + 1u) * 2u>; // 28 × 4
    var<workgroup> two: array<Quad, A>; // 4 × 8
    var<workgroup> three: array<vec3<f32>, 3>; // 3 × 16
    var<workgroup> four: array<Moments, 2>; // 2 × 32
    var<workgroup> five: array<array<vec2<f32>, 3>, A>; // 4 × 3 × 8
    var<workgroup> six: u32;`;

  it("are known before the shader runs", () => {
    expect(constantOf(code, "B")).toBe(13);
    expect(constantOf(code, "params.n")).toBeNull();
  });

  it("are as large as WGSL lays them out", () => {
    expect(sharedBytesOf(code)).toBe(28 * 4 + 4 * 8 + 3 * 16 + 2 * 32 + 4 * 3 * 8 + 4);
    expect(() => sharedBytesOf("var<workgroup> x: array<f32, N>;")).toThrow(
      "the size of x is not known, got array<f32, N>",
    );
  });
});
