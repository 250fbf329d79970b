/** The comparison without a device: what counts as right, what is timed, and the bytes of ONNX files. */
import { describe, expect, it } from "vitest";
import type { CompareCase, NamedCase } from "../../bench/compare/cases.ts";
import { TINY_CASES } from "../../bench/compare/cases.ts";
import type { Engine } from "../../bench/compare/engine.ts";
import { swapAxes } from "../../bench/compare/layout.ts";
import { compareLines, comparePoints } from "../../bench/compare/report.ts";
import type { OpenEngine } from "../../bench/compare/run.ts";
import { comparePasses, relativeRms, runCompareCase } from "../../bench/compare/run.ts";
import { onnxModel } from "../../bench/onnx/model.ts";
import { message } from "../../bench/onnx/protobuf.ts";

const EXPECTED = [1, -2, 3];
const NAMED: NamedCase = {
  name: "three numbers",
  make: () =>
    ({ flops: 3e6, bytes: 1e6, expected: () => Float64Array.from(EXPECTED) }) as CompareCase,
};
const SAMPLING = { minMs: 0.01, samples: 3, maxSeriesMs: 10 };

/** An engine that gives `results` in turn, the last one for ever, and notes how often it ran. */
function fake(results: readonly (readonly number[])[]): { open: OpenEngine; log: string[] } {
  const log: string[] = [];
  let reads = 0;
  const engine: Engine = {
    run: () => void log.push("run"),
    settle: async () => {},
    read: async () => Float32Array.from(results[Math.min(reads++, results.length - 1)] ?? []),
    dispose: () => void log.push("dispose"),
  };
  return { open: async () => engine, log };
}

async function compare(engines: Readonly<Record<string, OpenEngine>>) {
  return runCompareCase(NAMED, () => Object.entries(engines), SAMPLING);
}

describe("runCompareCase", () => {
  it("times what is right and says how many times as fast ours is", async () => {
    const [ours, theirs] = [fake([EXPECTED]), fake([EXPECTED])];
    const record = await compare({ rcod: ours.open, "ort webgpu": theirs.open });
    expect(record.engines).toMatchObject([
      { engine: "rcod", pass: true, relRms: 0, relRmsAfter: 0 },
      { engine: "ort webgpu", pass: true },
    ]);
    const [a = NaN, b = NaN] = record.engines.map(({ timing }) => timing?.medianMs);
    expect(record.speedup).toEqual({ webgpu: b / a });
    expect(comparePasses(record)).toBe(true);
    expect(comparePoints([record]).map(({ series }) => series)).toEqual(["rcod", "ort webgpu"]);
    expect(ours.log.at(-1)).toBe("dispose");
  });

  it.each([
    ["a wrong element", [1, -2, 3.001]],
    ["NaN", [1, NaN, 3]],
    ["too few", [1, -2]],
  ])("does not time an engine with %s", async (_, result) => {
    const wrong = fake([result]);
    const record = await compare({ rcod: fake([EXPECTED]).open, "ort webgpu": wrong.open });
    expect(record.engines[1]).toMatchObject({ pass: false });
    expect(record.engines[1]?.timing).toBeUndefined();
    expect(wrong.log).toEqual(["run", "dispose"]);
    expect(record.speedup).toEqual({});
    expect(comparePasses(record)).toBe(true); // a finding about them
    expect(compareLines(record)).toMatch(/ort webgpu +FAIL.* computes wrong: not timed/);
  });

  it("notices a result that the timed runs spoil", async () => {
    const record = await compare({ rcod: fake([EXPECTED, [1, -2, 4]]).open });
    expect(record.engines[0]).toMatchObject({ pass: false, relRms: 0 });
    expect(comparePasses(record)).toBe(false);
  });

  it("reports an engine that cannot run, and goes on", async () => {
    const broken: OpenEngine = () => Promise.reject(new Error("no such operator"));
    const record = await compare({ "ort webgpu": broken, rcod: fake([EXPECTED]).open });
    expect(record.engines.map(({ engine, error }) => [engine, error])).toEqual([
      ["ort webgpu", "no such operator"],
      ["rcod", undefined],
    ]);
  });
});

it("measures errors relative to the whole result", () => {
  expect(relativeRms([3, 4], [3, 4])).toBe(0);
  expect(relativeRms([3, 4.5], [3, 4])).toBeCloseTo(0.1);
  expect(relativeRms([3], [3, 4])).toBe(Infinity);
  expect(relativeRms([3, NaN], [3, 4])).toBeNaN();
});

describe("swapAxes", () => {
  const values = Float32Array.from({ length: 24 }, (_, i) => i);

  it("splits heads and joins them", () => {
    const heads = swapAxes(values, 4, 2, 3); // 4 tokens, 2 heads of 3
    expect(heads[(1 * 4 + 2) * 3 + 1]).toBe(values[2 * 6 + 1 * 3 + 1]); // head 1, token 2, element 1
    expect(swapAxes(heads, 2, 4, 3)).toEqual(values);
  });

  it("transposes every matrix of a batch", () => {
    const turned = swapAxes(values, 3, 4);
    expect(turned[12 + 3 * 3 + 2]).toBe(values[12 + 2 * 4 + 3]); // batch 1, row 2, column 3
    expect(swapAxes(turned, 4, 3)).toEqual(values);
  });
});

describe("ONNX files", () => {
  it("writes the wire types of protocol buffers", () => {
    const bytes = message([
      [1, 300],
      [2, -1],
      [3, "é"],
      [4, Float32Array.of(1)],
      [16, new Uint8Array([7])],
    ]);
    const fields = [
      [0x08, 0xac, 0x02],
      [0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
      [0x1a, 2, 0xc3, 0xa9],
      [0x25, 0, 0, 0x80, 0x3f],
      [0x82, 0x01, 1, 7],
    ];
    expect(Array.from(bytes)).toEqual(fields.flat());
  });

  it("writes a graph with its tensors", () => {
    const bytes = onnxModel({
      nodes: [{ op: "Relu", inputs: ["x"], output: "y" }],
      initializers: { w: { dims: [2], values: Float32Array.of(1, 2) } },
      inputs: { x: [2] },
      outputs: { y: [2] },
    });
    const w = [0x08, 2, 0x10, 1, 0x42, 1, 0x77, 0x4a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
    const text = Buffer.from(bytes).toString("latin1");
    expect(text).toContain(Buffer.from([0x2a, w.length, ...w]).toString("latin1"));
    expect(Array.from(bytes.subarray(0, 2))).toEqual([0x08, 8]); // version of the format
    expect(Array.from(bytes.subarray(-4))).toEqual([0x0a, 0, 0x10, 17]); // version of the operators
  });
});

// The same closures make the large cases; the page checks both engines against these.
it.each(TINY_CASES.map(({ name, make }) => [name, make] as const))(
  "%s has one result in every layout",
  (_, make) => {
    const { expected, onnx, fromOnnx, inputs, onnxInputs } = make();
    const count = expected().length;
    expect(expected().every(Number.isFinite)).toBe(true);
    expect(onnx.outputs["y"]?.reduce((product, size) => product * size, 1)).toBe(count);
    expect(fromOnnx(new Float32Array(count))).toHaveLength(count);
    expect(Object.keys(onnxInputs)).toEqual(Object.keys(inputs));
    for (const [name, { values }] of Object.entries(inputs)) {
      const given = onnxInputs[name]?.values as Float32Array;
      expect(given.toSorted()).toEqual(values.toSorted());
    }
  },
);
