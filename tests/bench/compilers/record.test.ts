/** What is kept, printed and drawn of a run. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { CARDS } from "../../../bench/compilers/cards.ts";
import { chartSvg } from "../../../bench/compilers/chart.ts";
import { docFiles, figuresMarkdown } from "../../../bench/compilers/docs.ts";
import type { KernelFigures } from "../../../bench/compilers/measure.ts";
import { boundSentence, runText } from "../../../bench/compilers/print.ts";
import { leastMsOf, recordText, runId, runRecord } from "../../../bench/compilers/record.ts";
import { KERNEL, recordOf, runOf } from "./records.ts";

const figures = (label: string, flops: number): KernelFigures => ({ ...KERNEL, label, flops });

describe("the record of a run", () => {
  it("numbers kernels of one label by their work, whatever order they come in", () => {
    const [card] = CARDS;
    const all = [figures("a", 1), figures("b", 5), figures("a", 9), figures("a", 4)];
    const run = card && runRecord(card, "f16", false, 100, all);
    expect(Object.entries(run?.kernels ?? {}).map(([name, { flops }]) => [name, flops])).toEqual([
      ["a", 9],
      ["b", 5],
      ["a #2", 4],
      ["a #3", 1],
    ]);
    expect(run?.flops).toBe(100);
    expect(run && leastMsOf(run)).toBe(16);
  });

  it("is JSON with a line for each kernel, of four digits", () => {
    const record = recordOf({ conv: { ...KERNEL, leastMs: 1.234567 }, linear: KERNEL });
    const text = recordText(record);
    expect(JSON.parse(text)).toEqual(
      recordOf({ conv: { ...KERNEL, leastMs: 1.235 }, linear: KERNEL }),
    );
    expect(text.split("\n").filter((line) => line.includes("leastMs"))).toHaveLength(2);
  });

  it("has a name", () => {
    expect([
      runId("m1", "f16", false),
      runId("m1", "f32", false),
      runId("ga102", "f16", true),
    ]).toEqual(["m1", "m1 f32", "ga102+matrix"]);
  });
});

describe("text", () => {
  const run = runOf({
    conv: { ...KERNEL, registerSpills: 48, isKnown: false },
    linear: { ...KERNEL, leastMs: 9, limit: "arithmetic" },
  });

  it("says how long an image takes at least, and why", () => {
    expect(boundSentence(run)).toBe(
      "a card, f16: at least 13.0 ms, of which 9.0 are set by lanes and issue slots, 4.0 are set by workgroup memory; " +
        "its multiply-adds alone on the f32 lanes 2.0 ms",
    );
  });

  it("has a line for a kernel and one for its K step", () => {
    const lines = runText(run)
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/));
    const at = lines.findIndex(([name]) => name === "conv ?");
    expect(lines[at]).toEqual(
      "conv ?|10.0 %|3|96|0 + 48|16|8192|hot|64|0|16|12×128|0|8|0|1.00|4.00|workgroup memory".split(
        "|",
      ),
    );
    expect(lines[at + 1]).toEqual("step|512|0|400|0|0|88|0".split("|"));
    // The longest first.
    expect(lines[at - 2]?.[0]).toBe("linear");
  });

  it("shows what there is where a driver shows no code", () => {
    const text = runText(
      runOf({ conv: { ...KERNEL, hot: null, step: null, fills: 20, arithmetic: 700 } }),
    );
    expect(text).toContain("the driver shows no code");
    expect(text).toMatch(/conv .* 20 +900 +700 /);
  });
});

describe("the picture", () => {
  it("has a bar for each of ten kernels and one for the rest", () => {
    const kernels = Object.fromEntries(Array.from({ length: 13 }, (_, i) => [`k<${i}>`, KERNEL]));
    const svg = chartSvg({ runs: { card: runOf(kernels) } });
    expect(svg.match(/≥/g)).toHaveLength(11);
    expect(svg).toContain("3 others");
    expect(svg).toContain("≥ 12.0 ms");
    expect(svg).toContain("k&lt;0>, workgroup memory: 4.0 ms");
    // Kinds of which there is nothing have neither a bar nor a line in the legend.
    expect(svg).not.toContain("matrix units");
  });
});

describe("docs/compilers.md", () => {
  it("shows what changed, what came and what went", () => {
    const before = recordOf({ conv: { ...KERNEL, spills: 15 }, old: KERNEL });
    const after = recordOf({ conv: { ...KERNEL, registers: 80, leastMs: 3 }, new: KERNEL });
    const text = figuresMarkdown(before, after);
    expect(text).toContain("| a card, f16 | 8.0 | 7.0 | 2.0 | 1 | 0 |");
    expect(text).toContain(
      "| conv | 10.0 % | 96 → 80 | 16 | 15 → 0 | 100 (64) | 1000 | 4.0 → 3.0 |",
    );
    expect(text).toContain("| new | 10.0 % | – → 96 |");
    expect(text).toContain("| old | 10.0 % | 96 → – |");
  });

  it("is as the tables say: npm run bench:compilers -- --docs", async () => {
    for (const [name, text] of await docFiles()) {
      const found = await readFile(new URL(`../../../${name}`, import.meta.url), "utf8").catch(
        () => "",
      );
      expect(found === text, `${name} is not up to date`).toBe(true);
    }
  });
});
