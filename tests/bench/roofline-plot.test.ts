/** The roofline plot: where marks and roof lie, and that any text is safe in it. */
import { describe, expect, it } from "vitest";
import type { CaseRecord } from "../../src/bench/kernel-suite.ts";
import { kernelPoints, rooflineSvg } from "../../src/bench/roofline-plot.ts";

const ROOFLINE = { copyGbps: 10, fmaGflops: 100 };

/** Centres of the marks inside the plot area, in order. */
function marks(svg: string): readonly (readonly [x: number, y: number])[] {
  return Array.from(svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>/g), (match) => [
    Number(match[1]),
    Number(match[2]),
  ]);
}

describe("rooflineSvg", () => {
  it("bends the roof where arithmetic and memory take equally long", () => {
    const svg = rooflineSvg("t", ROOFLINE, [
      { name: "at the ridge", series: "a", intensity: 10, gflops: 100 },
      { name: "below it", series: "a", intensity: 1, gflops: 10 },
      { name: "half of it", series: "b", intensity: 10, gflops: 50 },
    ]);
    const [, ridge = ""] = /class="roof" points="\S+ (\S+) \S+"/.exec(svg) ?? [];
    const [first, second, third] = marks(svg);
    expect(ridge).toBe(`${first?.[0]},${first?.[1]}`);
    expect(third?.[1]).toBeGreaterThan(first?.[1] ?? NaN); // y grows downwards
    expect(second?.[0]).toBeLessThan(first?.[0] ?? NaN);
    expect(svg).toContain("below it, a: 10 GFLOP/s, 100 % of the roof");
    expect(svg).toContain("half of it, b: 50 GFLOP/s, 50 % of the roof");
  });

  it("keeps text from becoming markup, and leaves out what has no place on logarithms", () => {
    const svg = rooflineSvg("<b> & co", ROOFLINE, [
      { name: 'a"<c>', series: "s&s", intensity: 2, gflops: 3 },
      { name: "upsample", series: "copy", intensity: 0, gflops: 0 },
    ]);
    expect(svg).toContain("&lt;b> &amp; co");
    expect(svg).toContain("a&quot;&lt;c>, s&amp;s");
    expect(marks(svg)).toHaveLength(1);
    expect(svg).not.toMatch(/NaN|Infinity|upsample/);
  });
});

it("takes a point from every timed variant", () => {
  const record = {
    case: "conv",
    kernel: "conv2d",
    flops: 200,
    bytes: 50,
    variants: [{ variant: "register", gflops: 7 }, { variant: "naive" }],
  } as unknown as CaseRecord;
  expect(kernelPoints([record])).toEqual([
    { name: "conv", series: "conv2d register", intensity: 4, gflops: 7 },
  ]);
});
