/** What is measured and what wins, without a GPU. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { agrees } from "../../../src/graph/measure/agreement.ts";
import { fastestVariant, tuneCases } from "../../../src/graph/measure/tune.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { blocks } from "../blocks.ts";

describe("fastestVariant", () => {
  const usual = { variant: "usual", medianMs: 10 };

  it("takes the fastest", () => {
    const others = [
      { variant: "a", medianMs: 8 },
      { variant: "b", medianMs: 7 },
    ];
    expect(fastestVariant("usual", [usual, ...others])).toBe("b");
  });

  it("stays with the usual one for what times scatter by", () => {
    expect(fastestVariant("usual", [usual, { variant: "a", medianMs: 9.6 }])).toBe("usual");
    expect(fastestVariant("usual", [usual, { variant: "a", medianMs: 9.4 }])).toBe("a");
  });

  it("never takes a rejected one, however fast", () => {
    const wrong = { variant: "a", medianMs: 1, rejected: "its result is wrong" };
    expect(fastestVariant("usual", [usual, wrong])).toBe("usual");
    const slow = { variant: "b", medianMs: 90 };
    expect(fastestVariant("usual", [{ ...usual, rejected: "broken" }, wrong, slow])).toBe("b");
    expect(fastestVariant("usual", [wrong])).toBe("usual");
  });
});

describe("agrees", () => {
  const reference = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  const changed = (value: number) => reference.map((v, i) => (i === 63 ? value : v));

  it("knows rounding from error", () => {
    expect(agrees(reference.slice(), reference, "f32")).toBe(true);
    expect(agrees(changed(Math.sin(63) + 4e-5), reference, "f32")).toBe(true);
    expect(agrees(changed(Math.sin(63) + 2e-4), reference, "f32")).toBe(false);
    expect(agrees(changed(Math.sin(63) + 1e-3), reference, "f16")).toBe(true);
    expect(agrees(changed(Math.sin(63) + 1e-2), reference, "f16")).toBe(false);
  });

  it("refuses what is not finite, absent or zero throughout", () => {
    expect(agrees(changed(NaN), reference, "f32")).toBe(false);
    expect(agrees(changed(Infinity), reference, "f32")).toBe(false);
    expect(agrees(reference.slice(1), reference, "f32")).toBe(false);
    expect(agrees(new Float32Array(4), new Float32Array(4), "f32")).toBe(false);
  });
});

describe("tuneCases", () => {
  const plans = [planGraph(blocks.transformer("f16"), BASELINE_CAPS)];

  it("are the distinct classes of the graphs, with the steps that share them", () => {
    const cases = tuneCases([...plans, ...plans]);
    expect(new Set(cases.map(({ key }) => key)).size).toBe(cases.length);
    const steps = plans[0]?.steps.filter(({ kernel }) =>
      /^(conv2d|linear|attention)$/.test(kernel),
    );
    expect(cases.reduce((sum, { steps: count }) => sum + count, 0)).toBe(2 * (steps?.length ?? 0));
    const flops = cases.map((c) => c.flops);
    expect(flops).toEqual(flops.toSorted((a, b) => b - a));
  });

  it("know the bytes of every operand, and which are one buffer", () => {
    const self = tuneCases(plans).find(({ key }) => key.startsWith("attention 16×16 h2"));
    const { q, k, v, y } = self?.operands ?? {};
    // Q, K and V are windows of one matrix of 15 tokens × 48 channels.
    expect(q).toEqual({ buffer: q?.buffer, byteLength: 15 * 48 * 2, dtype: "f16" });
    expect([k, v]).toEqual([q, q]);
    expect(y?.buffer).not.toBe(q?.buffer);
    const geglu = tuneCases(plans).find(({ key }) => key.includes("geglu"));
    expect(Object.keys(geglu?.operands ?? {}).toSorted()).toEqual(["bias", "weight", "x0", "y"]);
    expect(geglu?.operands["weight"]?.byteLength).toBe(16 * 128 * 2);
  });
});
