/** What `defineKernel` adds to a definition, and the two forms of `unroll`. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { ShapeError } from "../../src/gpu/shape.ts";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { defineKernel, dispatch, writes } from "../../src/kernels/kernel.ts";
import { unroll } from "../../src/kernels/unroll.ts";

const step = (label: string) =>
  dispatch(
    label,
    { caps: BASELINE_CAPS, dtype: "f32", operands: [writes("y")], params: [] },
    "",
    [1, 1, 1],
  );

describe("defineKernel", () => {
  const single: Kernel<number, "quad"> = defineKernel({
    name: "single",
    variants: ["quad"],
    check(size) {
      if (size < 1) throw new ShapeError(`single: size must be ≥ 1, got ${size}`);
    },
    dispatches: (size, _caps, variant) => [step(`${variant} of ${size}`)],
    cost: () => ({ flops: 0, bytesRead: 0, bytesWritten: 0 }),
  });
  const choosy: Kernel<number, "any" | "even"> = defineKernel({
    ...single,
    name: "choosy",
    variants: ["any", "even"],
    check: () => undefined,
    select: (size) => (size % 2 === 0 ? "even" : "any"),
    refusal: (size, _caps, variant) =>
      variant === "even" && size % 2 !== 0 ? `even needs an even size, got ${size}` : null,
    dispatches: (size, _caps, variant) => [step(`${variant} of ${size}`)],
    scratch: (size) => [{ name: "half", byteLength: size / 2 }],
  });
  const labels = <V extends string>(kernel: Kernel<number, V>, size: number, variant?: V) =>
    kernel.plan(size, BASELINE_CAPS, variant).dispatches.map(({ label }) => label);

  it("selects the only variant, and gives plans without scratch", () => {
    expect(single.select(3, BASELINE_CAPS)).toBe("quad");
    expect(single.plan(3, BASELINE_CAPS)).toMatchObject({ variant: "quad", scratch: [] });
    expect(labels(single, 3)).toEqual(["quad of 3"]);
  });

  it("plans a given variant, else the selected one, with its scratch", () => {
    expect(labels(choosy, 4)).toEqual(["even of 4"]);
    expect(labels(choosy, 4, "any")).toEqual(["any of 4"]);
    expect(choosy.plan(4, BASELINE_CAPS).scratch).toEqual([{ name: "half", byteLength: 2 }]);
  });

  it("plans nothing that a check or a refusal does not let pass", () => {
    expect(() => single.plan(0, BASELINE_CAPS)).toThrow("single: size must be ≥ 1, got 0");
    expect(() => choosy.plan(3, BASELINE_CAPS, "even")).toThrow(
      new ShapeError("choosy: even needs an even size, got 3"),
    );
  });
});

describe("unroll", () => {
  it("writes a line for each turn, by a function or by text", () => {
    expect(unroll(2, (r) => `a${r} = ${r * 8}u;`)).toBe("a0 = 0u;\na1 = 8u;");
    expect(unroll(2, "$r", "a$r = $ru * TY;")).toBe("a0 = 0u * TY;\na1 = 1u * TY;");
    expect(unroll(0, "$r", "a$r")).toBe("");
  });

  it("nests", () => {
    expect(unroll(2, "$r", unroll(2, "$n", "s$r_$n"))).toBe("s0_0\ns0_1\ns1_0\ns1_1");
  });
});
