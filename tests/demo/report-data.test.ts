/** What Benchmark, Verify and Inside compute before they draw. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { CompilersRecord } from "../../demo/tabs/benchmark/compilers.ts";
import { COMPILED_COLUMNS, compiledRows, leastMsOf } from "../../demo/tabs/benchmark/compilers.ts";
import { LETTERS, pack, unpack } from "../../demo/tabs/example/packed.ts";
import { peakStep } from "../../demo/tabs/inside/memory.ts";
import { groupOf, metricGroups } from "../../demo/tabs/inside/metric.ts";
import { niceTicks } from "../../demo/tabs/inside/timeline.ts";
import { columnsOf, outcomeOf, outputRows, summarize } from "../../demo/tabs/verify/rows.ts";
import { verdictOf } from "../../demo/tabs/verify/verdict.ts";
import { sectionInView } from "../../demo/ui/contents.ts";
import { markdownTable, textTable } from "../../demo/ui/data-table.ts";
import { milliseconds, percent, rate, scientific } from "../../demo/ui/format-rate.ts";
import type { NetworkPlan } from "../../src/index.ts";
import { groupOfMetric } from "../../src/rcod/settings/latent-groups.ts";
import type { CaseResult } from "../../src/verify/index.ts";

describe("rows of a verification", () => {
  const result = (name: string, relRms: number, pass: boolean): CaseResult => ({
    file: "ops_x.safetensors",
    case: name,
    status: pass ? "pass" : "fail",
    outputs: [{ output: "y", maxAbs: 1, relRms, limit: { on: "relRms", value: 1e-5 }, pass }],
    durationMs: 1,
    ...(!pass && { note: "off | somewhere" }),
  });
  const rows = outputRows([
    { precision: "f32", result: result("a", 5e-6, true) },
    { precision: "f32", result: result("b", 2e-6, true) },
    { precision: "f16", result: result("a", 3e-5, false) },
    {
      precision: "f32",
      result: {
        file: "bad",
        case: "",
        status: "fail",
        outputs: [],
        durationMs: 0,
        note: "no file",
      },
    },
  ]);

  it("put both precisions of an output side by side", () => {
    expect(rows.map((row) => [row.case, Object.keys(row.cells), outcomeOf(row)])).toEqual([
      ["a", ["f32", "f16"], "wrong"],
      ["b", ["f32"], "right"],
      ["", ["f32"], "not run"],
    ]);
  });

  it("are counted per precision, and the nearest to its limit is named", () => {
    expect(summarize(rows)).toEqual({
      right: 2,
      wrong: 1,
      filesNotRun: ["bad"],
      reasons: ["no file"],
      nearest: { name: "a y, f16", share: expect.closeTo(3, 9) as number },
    });
  });

  it("become text and Markdown with the reason of a failure", () => {
    const table = { columns: columnsOf(rows), rows };
    expect(textTable(table).split("\n")).toEqual([
      "case  output  f32 error  f32 limit  f16 error  f16 limit  result",
      "a     y          5.0e-6     1.0e-5     3.0e-5     1.0e-5  FAIL in f16: off | somewhere",
      "b     y          2.0e-6     1.0e-5          –          –  pass",
      "bad   –               –          –          –          –  not run in f32: no file",
    ]);
    expect(markdownTable(table).split("\n").slice(0, 3)).toEqual([
      "| case | output | f32 error | f32 limit | f16 error | f16 limit | result |",
      "| --- | --- | --: | --: | --: | --: | --- |",
      "| a | y | 5.0e-6 | 1.0e-5 | 3.0e-5 | 1.0e-5 | FAIL in f16: off \\| somewhere |",
    ]);
  });
});

describe("the verdict of a verification", () => {
  const nothing = { right: 0, wrong: 0, filesNotRun: [], reasons: [], nearest: null };
  const gone = { filesNotRun: ["a", "b"], reasons: ["The server cannot be reached"] };
  const missing = "Not run, or not all of it: 2 of 17 files. The server cannot be reached.";

  it.each([
    [{ ...nothing, right: 9 }, "right", "All 9 results are right on X", ""],
    [{ ...nothing, right: 8, wrong: 1 }, "wrong", "1 of 9 results is wrong on X", ""],
    [
      { ...nothing, ...gone, right: 7, wrong: 2 },
      "wrong",
      "2 of 9 results are wrong on X",
      missing,
    ],
    [
      { ...nothing, ...gone, right: 9 },
      "open",
      "9 results are right on X, the rest was not run",
      missing,
    ],
    [{ ...nothing, ...gone }, "open", "Nothing was verified", missing],
  ] as const)("%j", (summary, kind, text, what) => {
    expect(verdictOf(summary, 17, "X")).toEqual({ kind, text, missing: what });
  });

  it("names three reasons at most", () => {
    const reasons = ["a.", "b", "c", "d", "e"];
    expect(verdictOf({ ...nothing, filesNotRun: ["f"], reasons }, 1, "X").missing).toBe(
      "Not run, or not all of it: 1 of 1 file. a. b. c, and 2 more reasons.",
    );
  });
});

it("a stored record keeps 64 levels of pictures and floats, and four digits", async () => {
  const record = {
    rgba: Uint8ClampedArray.from([0, 1, 130, 254, 255]),
    captures: { q: Float32Array.from([-2, 0, 0.501, 8]), flat: new Float32Array([3, 3]) },
    ms: 1.23456789,
    bytes: 123_456_789,
    text: null,
  };
  const back = (await unpack(await pack(record, LETTERS))) as typeof record;
  expect([...back.rgba]).toEqual([0, 0, 130, 255, 255]);
  const half = 10 / 63 / 2 + 1e-6;
  for (const [i, value] of record.captures.q.entries()) {
    expect(Math.abs((back.captures.q[i] as number) - value)).toBeLessThanOrEqual(half);
  }
  expect(back.captures.flat).toEqual(record.captures.flat);
  expect([back.ms, back.bytes, back.text]).toEqual([1.235, 123_456_789, null]);
});

it("the section in view is the last above the reading line, at the end the last", () => {
  expect(sectionInView([0.5, 2, 3], 4)).toBe(0);
  expect(sectionInView([-1, 0.3, 0.9], 2)).toBe(1);
  expect(sectionInView([-1, 0.3, 0.9], 1)).toBe(2);
});

it("what compilers make of kernels comes as rows, longest first, from the table of the benchmarks", async () => {
  const kernel = (leastMs: number, counts: Record<string, number> | null) => ({
    flops: 250,
    registers: 96,
    spills: 2,
    occupancy: 16,
    leastMs,
    limit: "arithmetic",
    hot: counts && { counts },
  });
  const kernels = {
    copy: kernel(1, null),
    small: kernel(0.01, null),
    matrix: kernel(2, { multiplyAdd: 3, matrix: 8, scalar: 40, wait: 90 }),
    conv: kernel(9, { multiplyAdd: 256, vector: 29 }),
  };
  const rows = compiledRows({
    card: "a card",
    occupancyUnit: "waves",
    precision: "f16",
    hasMatrixUnits: false,
    flops: 1000,
    kernels,
  });
  expect(textTable({ columns: COMPILED_COLUMNS, rows }).split("\n")).toEqual([
    "kernel  of the FLOPs  registers  spills  occupancy    hot loop  at least  set by",
    "conv            25\u00a0%         96       2         16  256 of 285   9.00 ms  arithmetic",
    "matrix          25\u00a0%         96       2         16     8 of 51   2.00 ms  arithmetic",
    "copy            25\u00a0%         96       2         16           –   1.00 ms  arithmetic",
  ]);
  const path = new URL("../../bench/results/compilers.json", import.meta.url);
  const { runs } = JSON.parse(await readFile(path, "utf8")) as CompilersRecord;
  for (const [id, run] of Object.entries(runs)) {
    const shown = compiledRows(run);
    expect(shown.length, id).toBeGreaterThan(5);
    // Next to nothing is left out.
    const ms = shown.reduce((sum, row) => sum + row.leastMs, 0);
    expect(ms / leastMsOf(run), id).toBeGreaterThan(0.97);
    expect(textTable({ columns: COMPILED_COLUMNS, rows: shown }), id).not.toMatch(/undefined|NaN/);
  }
});

it("the group of a metric is the engine's", () => {
  const thresholds = [0.5, 0.7] as const;
  const timesteps = { fidelity: 249, neutral: 499, realism: 749 };
  const groups = metricGroups({ thresholds, timesteps });
  for (const metric of [0, 0.4999, 0.5, 0.6, 0.69999999, 0.7, 0.99, 1]) {
    const expected = [749, 499, 249][groupOfMetric(metric, { thresholds })];
    expect(groupOf(metric, groups)?.timestep, String(metric)).toBe(expected);
  }
});

it("the peak of a plan is the first step with most bytes alive", () => {
  const value = (firstStep: number, lastStep: number, byteLength: number) => ({
    label: "",
    slot: 0,
    firstStep,
    lastStep,
    byteLength,
  });
  const steps = Array.from({ length: 5 }) as NetworkPlan["steps"];
  expect(peakStep({ steps, values: [value(0, 1, 8), value(1, 3, 4), value(2, 5, 8)] })).toBe(1);
  expect(peakStep({ steps, values: [value(0, 0, 8), value(3, 5, 9)] })).toBe(3);
});

it("ticks are round and cover the span", () => {
  expect(niceTicks(10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(niceTicks(0.73, 4)).toEqual([0, 0.2, 0.4, 0.6]);
  expect(niceTicks(29_400, 7)).toEqual([0, 5000, 10_000, 15_000, 20_000, 25_000]);
});

it("figures have three digits and a unit", () => {
  expect([rate(0.1234), rate(12.34), rate(1234), rate(undefined), rate(NaN)]).toEqual([
    "0.12",
    "12.3",
    "1234",
    "–",
    "–",
  ]);
  expect([milliseconds(0.0123), milliseconds(1.5), milliseconds(24_446)]).toEqual([
    "12.3 µs",
    "1.50 ms",
    "24.4 s",
  ]);
  expect([percent(0.034), percent(0.996), percent(0), percent(1e-4)]).toEqual([
    "3.4\u00a0%",
    "100\u00a0%",
    "0\u00a0%",
    "<\u00a00.1\u00a0%",
  ]);
  expect([scientific(0), scientific(3.21e-6), scientific(Infinity)]).toEqual([
    "0",
    "3.2e-6",
    "Infinity",
  ]);
});
