/** The table of cases against the model that it stands for, without a GPU. */
import { describe, expect, it } from "vitest";
import type { BenchCase } from "../../src/bench/cases.ts";
import { CASES, QUICK_CASES } from "../../src/bench/cases.ts";
import { SMALL_WORK, variantsToRun } from "../../src/bench/kernel-suite.ts";
import type { CaseShape } from "../../src/bench/workloads/case-shape.ts";
import { shrink } from "../../src/bench/workloads/case-shape.ts";
import { fitShape, workOf, workloadOf } from "../../src/bench/workloads/workload-of.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { weightKey } from "../../src/graph/ir/ir.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { epilogueParams } from "../../src/kernels/contraction/epilogue.ts";
import type { Dispatch } from "../../src/kernels/kernel.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { PLAIN_EPILOGUE } from "../support/plain-epilogue.ts";

const SOFTWARE = { ...BASELINE_CAPS, isSoftware: true };

/** Cases are kernels on their own: a norm is one, and no part of the convolutions that measure and apply it. */
const WITHOUT = [
  "stack-shifts",
  "share-statistics",
  "statistics-in-epilogue",
  "stack-norms",
  "norm-on-load",
  "layer-norm-on-load",
] as const;

/** Uniforms that say what an epilogue adds: the last of conv2d and linear. */
const EPILOGUE_WORDS = epilogueParams(PLAIN_EPILOGUE, 1).length;

/**
 * Layers read other windows of shared rows at the same cost: where they begin does not count, their distance does. Nor
 * does what an epilogue adds.
 */
function anyWindow(shape: CaseShape, params: Dispatch["params"], count: number): string {
  const words = [...new Uint32Array(params.buffer, params.byteOffset, count)];
  if (shape.kind === "conv2d" || shape.kind === "linear") words.splice(-EPILOGUE_WORDS);
  if (shape.kind === "attention" && typeof shape.stacked === "object") {
    const [keyOffset = 0, valueOffset = 0] = words.slice(7, 9);
    words.splice(7, 2, valueOffset - keyOffset);
  }
  return `${words}`;
}

/** Fields of a shader's uniform struct; the buffer is padded. */
function paramCount(code: string): number {
  return (/struct Params \{([^}]*)\}/.exec(code)?.[1] ?? "").split(",").length;
}

describe("the table of cases", async () => {
  const configs = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
  const steps = Object.values(stageGraphs(configs, 512, 512, "f16")).flatMap(
    (graph) => planGraph(graph, BASELINE_CAPS, { without: WITHOUT }).steps,
  );
  const totalFlops = steps.reduce((sum, { cost }) => sum + cost.flops, 0);

  it("has unique names", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });

  it("has a quick part with every kernel that an image takes", () => {
    const kernels = (cases: readonly BenchCase[]): string[] =>
      [...new Set(cases.map(({ shape }) => workloadOf(shape, "f32").kernel))].toSorted();
    expect(kernels(QUICK_CASES)).toEqual(kernels(CASES.filter(({ count }) => count > 0)));
    expect(QUICK_CASES).toHaveLength(9);
  });

  it.each(CASES.map((benchCase) => [benchCase.name, benchCase] as const))(
    "%s is run as often as the plan of the full-size model runs it",
    (_name, { shape, count }) => {
      const workload = workloadOf(shape, "f16");
      // Of GroupNorm the last of three kernels is counted. Equal params and grid are the same shape.
      const last = workload.plan(workload.selected).at(-1);
      const [dispatch] = last?.plan.dispatches ?? [];
      const key = ({ code, params, workgroups }: Dispatch): string =>
        `${anyWindow(shape, params, paramCount(code))} ${workgroups}`;
      const same = steps.filter(
        ({ kernel, plan }) =>
          kernel === last?.kernel &&
          key(plan.dispatches[0] as Dispatch) === key(dispatch as Dispatch),
      );
      // silu and none share their shape: the norm in front of attention is not GroupNorm + SiLU.
      const labelled = same.filter(
        ({ plan }) =>
          shape.kind !== "group-norm-silu" || plan.dispatches[0]?.label === dispatch?.label,
      );
      expect(labelled).toHaveLength(count);
    },
  );

  it("covers the arithmetic of the model", () => {
    const covered = CASES.reduce(
      (sum, { shape, count }) => sum + count * workloadOf(shape, "f16").cost.flops,
      0,
    );
    expect(covered / totalFlops).toBeGreaterThan(0.9);
    expect(covered / totalFlops).toBeLessThan(1.01);
  });

  it.each(CASES.map((benchCase) => [benchCase.name, benchCase] as const))(
    "%s plans in both precisions and both scales, in every variant that is offered",
    (_name, { shape }) => {
      for (const caps of [BASELINE_CAPS, SOFTWARE]) {
        for (const dtype of ["f32", "f16"] as const) {
          for (const maxWork of [Infinity, SMALL_WORK]) {
            const workload = workloadOf(fitShape(shape, dtype, caps, maxWork), dtype, caps);
            expect(workload.variants).toContain(workload.selected);
            for (const variant of variantsToRun(workload, "all")) {
              for (const { plan, buffers = {} } of workload.plan(variant)) {
                const known = [
                  ...workload.inputs.map(({ name }) => name),
                  ...Object.keys(workload.temporaries),
                  ...workload.weights.map(weightKey),
                  ...plan.scratch.map(({ name }) => name),
                  "y",
                ];
                for (const { name } of plan.dispatches.flatMap(({ operands }) => operands)) {
                  expect(known).toContain(buffers[name] ?? name);
                }
              }
            }
          }
        }
      }
    },
  );

  it("becomes small enough for a software adapter, and stops getting smaller", () => {
    for (const { name, shape } of CASES) {
      const work = workOf(workloadOf(fitShape(shape, "f32", SOFTWARE, SMALL_WORK), "f32"));
      expect(work, name).toBeLessThanOrEqual(SMALL_WORK);
      let [steps_, smaller] = [0, shrink(shape)];
      while (smaller !== null && steps_ < 100) [steps_, smaller] = [steps_ + 1, shrink(smaller)];
      expect(smaller, name).toBeNull();
    }
  });

  it("is cut down where a binding would not fit", () => {
    const shape = CASES.find(({ name }) => name === "conv3x3 up 256 @256²")?.shape;
    if (shape?.kind !== "conv2d") throw new Error("case missing");
    expect(fitShape(shape, "f16", BASELINE_CAPS, Infinity)).toEqual(shape); // exactly 128 MiB
    expect(fitShape(shape, "f32", BASELINE_CAPS, Infinity)).toEqual({ ...shape, size: 128 });
  });
});
