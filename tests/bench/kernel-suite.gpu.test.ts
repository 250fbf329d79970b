/** The benchmark on a device: its reference agrees with the kernels, a wrong kernel is found, a case runs. */
import { describe, expect, it } from "vitest";
import { readPoints, samplePoints } from "../../src/bench/check.ts";
import {
  casePasses,
  imageEstimateMs,
  runKernelSuite,
  runWorkload,
  variantsToRun,
} from "../../src/bench/kernel-suite.ts";
import type { CaseShape } from "../../src/bench/workloads/case-shape.ts";
import { elementReader, fillPlan } from "../../src/bench/workloads/test-data.ts";
import { workloadOf } from "../../src/bench/workloads/workload-of.ts";
import type { Workload } from "../../src/bench/workloads/workload.ts";
import { wallClock } from "../../src/gpu/clock.ts";
import { runPlan } from "../../src/graph/execution/run-plan.ts";
import type { Dispatch } from "../../src/kernels/kernel.ts";
import { useGpu } from "../support/gpu.ts";

const setup = useGpu();

const QUICK = { minMs: 0.01, samples: 3, maxSeriesMs: 60_000 };
const ROOFLINE = { copyGbps: 1, fmaGflops: 1 };

const CONV: CaseShape = {
  kind: "conv2d",
  size: 6,
  from: 8,
  to: 12,
  stride: 1,
  padding: [1, 1, 1, 1],
};
const LINEAR: CaseShape = { kind: "linear", rows: 9, from: [12], to: 20, epilogue: "residual" };
const ATTENTION: CaseShape = {
  kind: "attention",
  queryTokens: 20,
  keyTokens: 33,
  numHeads: 2,
  headDim: 16,
};
const SHORTCUT: CaseShape = { ...CONV, shortcut: [8, 6] };
const UPSAMPLING: CaseShape = { ...CONV, upsample: true };
const SELF_ATTENTION: CaseShape = { ...ATTENTION, queryTokens: 33, stacked: "qkv" };
const CROSS_ATTENTION: CaseShape = { ...ATTENTION, stacked: { kvChannels: 144 } };
const ADD: CaseShape = { kind: "add", rows: 7, channels: 6 };

const SHAPES: readonly (readonly [string, CaseShape])[] = [
  ["conv2d", CONV],
  [
    "conv2d of few channels",
    { kind: "conv2d", size: 9, from: 3, to: 5, stride: 1, padding: [1, 1, 1, 1] },
  ],
  ["conv2d s2", { kind: "conv2d", size: 8, from: 4, to: 8, stride: 2, padding: [0, 1, 0, 1] }],
  ["conv2d + shortcut", SHORTCUT],
  ["conv2d + shortcut of one source", { ...CONV, shortcut: [6] }],
  ["conv2d up", UPSAMPLING],
  ["linear", LINEAR],
  ["linear of two sources", { kind: "linear", rows: 5, from: [8, 6], to: 8, epilogue: "bias" }],
  ["linear geglu", { kind: "linear", rows: 9, from: [12], to: 8, epilogue: "geglu" }],
  ["linear quick_gelu", { kind: "linear", rows: 4, from: [16], to: 8, epilogue: "quick_gelu" }],
  ["attention", ATTENTION],
  ["attention over stacked q, k and v", SELF_ATTENTION],
  ["attention over a window of stacked k and v", CROSS_ATTENTION],
  ["groupnorm + silu", { kind: "group-norm-silu", size: 9, channels: 16, numGroups: 4, eps: 1e-5 }],
  ["layernorm", { kind: "layer-norm", rows: 5, channels: 20 }],
  ["add", ADD],
  ["upsample", { kind: "upsample", size: 3, channels: 8 }],
];

/** Also run in the variant that the device selects; each costs a second of compiling on SwiftShader. */
const WITH_SELECTED: ReadonlySet<string> = new Set([
  "conv2d",
  "conv2d + shortcut",
  "conv2d up",
  "linear",
  "attention",
  "attention over a window of stacked k and v",
]);

describe.each(["f32", "f16"] as const)("in %s", (dtype) => {
  it.each(SHAPES)("the reference agrees with %s", async (name, shape) => {
    const { gpu, caps } = setup;
    const workload = workloadOf(shape, dtype, caps);
    const simplest = workload.variants[0] ?? "";
    const variants =
      dtype === "f32" && WITH_SELECTED.has(name) ? variantsToRun(workload) : [simplest];
    const records = await runWorkload(gpu, workload, variants, 1, {
      clock: wallClock(gpu),
      roofline: ROOFLINE,
      sampling: QUICK,
    });
    for (const { variant, check, timing } of records) {
      expect(check, `${variant}: ${JSON.stringify(check)}`).toMatchObject({ pass: true });
      expect(timing?.samples).toBeGreaterThanOrEqual(3);
      expect(timing?.medianMs).toBeGreaterThan(0);
    }
  });
});

describe("the check", () => {
  /** `workload` with its naive shader changed. */
  function broken(workload: Workload, change: (dispatch: Dispatch) => Dispatch): Workload {
    return {
      ...workload,
      plan: (variant) =>
        workload.plan(variant).map((bound) => ({
          ...bound,
          plan: { ...bound.plan, dispatches: bound.plan.dispatches.map(change) },
        })),
    };
  }
  const replace = (from: string, to: string) => (dispatch: Dispatch) => {
    expect(dispatch.code).toContain(from);
    return { ...dispatch, code: dispatch.code.replace(from, to) };
  };
  const MISTAKES: readonly (readonly [string, CaseShape, (dispatch: Dispatch) => Dispatch])[] = [
    ["a bias that is left out", CONV, replace("sum + bias[nq]", "sum")],
    ["a tap that is left out", CONV, replace("tap < params.taps", "tap + 1u < params.taps")],
    ["a column of the weight that is wrong", CONV, replace("weight[w + 1u]", "weight[w + 2u]")],
    [
      "a shortcut that reads its first source alone",
      SHORTCUT,
      replace("params.shortcut_quads0 + params.shortcut_quads1", "params.shortcut_quads0"),
    ],
    [
      "a shortcut that reads other pixels",
      SHORTCUT,
      replace("load_shortcut(source.pixel, k)", "load_shortcut(source.pixel / 2u, k)"),
    ],
    ["phases that share their taps", UPSAMPLING, replace("group.z * params.taps", "0u")],
    [
      "phases that share their borders",
      UPSAMPLING,
      replace("params.pad_top - i32(phase >> 1u)", "params.pad_top"),
    ],
    [
      "a window of the keys that is another layer's",
      CROSS_ATTENTION,
      replace("params.key_offset", "0u"),
    ],
    [
      "values that are read where keys are",
      SELF_ATTENTION,
      replace("params.value_offset", "params.key_offset"),
    ],
    [
      "sums that lose their lower bits",
      LINEAR,
      replace(
        "var v = sum + bias[nq];",
        "var v = bitcast<vec4<f32>>(bitcast<vec4<u32>>(sum + bias[nq]) & vec4<u32>(0xffffe000u));",
      ),
    ],
    [
      "a last key that is left out",
      ATTENTION,
      replace("var j = 0u; j < params.key_tokens", "var j = 0u; j + 1u < params.key_tokens"),
    ],
    [
      "a last quad that is never written",
      ADD,
      replace("i >= params.quads", "i + 1u >= params.quads"),
    ],
  ];

  it.each(MISTAKES)("finds %s, and does not time it", async (_name, shape, change) => {
    const { gpu } = setup;
    const workload = workloadOf(shape, "f32", gpu.caps);
    const variant = workload.variants[0] ?? "";
    const [record] = await runWorkload(gpu, broken(workload, change), [variant], 1, {
      clock: wallClock(gpu),
      roofline: ROOFLINE,
      sampling: QUICK,
    });
    expect(record?.check.pass).toBe(false);
    expect(record?.check.worst).toBeDefined();
    expect(record?.timing).toBeUndefined();
  });
});

describe("test data", () => {
  it.each(["f32", "f16"] as const)(
    "is the same on the device and on the host in %s",
    async (dtype) => {
      const { gpu, caps } = setup;
      const tensor = { name: "x", dtype, rows: 37, channels: 7, scale: 2, seed: 9 };
      const output = { dtype, rows: 37, channels: 7, groupChannels: 1 };
      const buffer = gpu.memory.create("x", 37 * 8 * 4, "activations");
      try {
        await runPlan(gpu, fillPlan(tensor, caps), { y: buffer });
        const points = samplePoints(output);
        const read = elementReader(tensor);
        expect(await readPoints(gpu, buffer, output, points)).toEqual(
          points.map(({ row, channel }) => read(row * 7 + channel)),
        );
      } finally {
        gpu.memory.release(buffer);
      }
    },
  );
});

describe("runKernelSuite", () => {
  it("runs a case from the check to the rates and frees its buffers", async () => {
    const { gpu } = setup;
    const before = gpu.memory.use().currentBytes;
    const started: string[] = [];
    const { settings, cases } = await runKernelSuite(
      gpu,
      {
        dtype: "f32",
        filter: "tiny",
        minMs: 0.5,
        samples: 4,
        cases: [
          { name: "tiny add", count: 3, shape: { kind: "add", rows: 16, channels: 8 } },
          { name: "other", count: 1, shape: { kind: "add", rows: 16, channels: 8 } },
        ],
        rooflineSizes: { copyBytes: 65_536, fmaWorkgroups: 2, fmaSteps: 8 },
      },
      {
        onStart: ({ clock }) => void started.push(clock),
        onCase: (record) => void started.push(record.case),
      },
    );
    expect(started).toEqual([settings.clock, "tiny add"]);
    expect(settings.roofline.copyGbps).toBeGreaterThan(0);
    expect(settings.roofline.fmaGflops).toBeGreaterThan(0);
    expect(cases).toHaveLength(1);
    const [record] = cases;
    expect(record).toMatchObject({
      case: "tiny add",
      kernel: "elementwise",
      count: 3,
      dtype: "f32",
    });
    expect(record && casePasses(record)).toBe(true);
    const [variant] = record?.variants ?? [];
    expect(variant).toMatchObject({ variant: "quad", selected: true });
    expect(variant?.timing?.repeats).toBeGreaterThanOrEqual(1);
    expect(variant?.firstRunMs).toBeGreaterThan(0);
    expect(variant?.gbps).toBeGreaterThan(0);
    expect(variant?.rooflinePercent).toBeGreaterThan(0);
    expect(imageEstimateMs(cases)).toBeCloseTo(3 * (variant?.timing?.medianMs ?? NaN));
    expect(gpu.memory.use().currentBytes).toBe(before);
  });

  it("reports a case that does not fit instead of ending the run", async () => {
    const { gpu } = setup;
    const huge: CaseShape = { kind: "layer-norm", rows: 64, channels: 2 ** 26 };
    const { cases } = await runKernelSuite(gpu, {
      dtype: "f32",
      minMs: 0.1,
      samples: 3,
      cases: [{ name: "huge", count: 1, shape: huge }],
      rooflineSizes: { copyBytes: 65_536, fmaWorkgroups: 2, fmaSteps: 8 },
    });
    expect(cases[0]?.error).toMatch(/needs \d+ bytes, this adapter allows/);
    expect(cases[0] && casePasses(cases[0])).toBe(false);
  });
});
