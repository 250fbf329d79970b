/** Kernels from outside in a graph: bound by name, planned and run like ours. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import { roundToDtype } from "../../src/gpu/dtype.ts";
import { ShapeError, quadCount } from "../../src/gpu/shape.ts";
import {
  DeviceWeights,
  GraphBuilder,
  Program,
  WeightScope,
  packActivation,
  planGraph,
} from "../../src/graph/index.ts";
import type { Graph, KernelOperands } from "../../src/graph/index.ts";
import type { Kernel } from "../../src/kernels/index.ts";
import { dispatch, foldWorkgroups, reads, u32, writes } from "../../src/kernels/index.ts";
import { expectClose } from "../support/expect-close.ts";
import { useGpu } from "../support/gpu.ts";
import { uniformArray } from "../support/random.ts";
import { pointwise } from "../support/tolerance.ts";
import { tensorOf } from "./support.ts";

const setup = useGpu();

interface GainProblem {
  readonly dtype: DType;
  readonly rows: number;
  readonly channels: number;
}

/** y[row, c] = (x[row, c] + 2) · gain[c], in two dispatches with a scratch buffer between them. */
const gain: Kernel<GainProblem, "quad"> = {
  name: "gain",
  variants: ["quad"],
  check({ rows }) {
    if (rows > 1000) throw new ShapeError(`gain: may have 1000 rows, got ${rows}`);
  },
  select: () => "quad",
  plan(problem, caps) {
    this.check(problem);
    const quads = problem.rows * quadCount(problem.channels);
    const params = [u32("quads", quads), u32("row_quads", quadCount(problem.channels))];
    const step = (from: string, to: string, value: string, more: string[] = []) =>
      dispatch(
        `gain ${to}`,
        {
          caps,
          dtype: problem.dtype,
          operands: [reads(from), ...more.map((name) => reads(name, "vec4<f32>")), writes(to)],
          params,
        },
        `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * 64u + local;
  if (i < params.quads) { ${to}[i] = pack(${value}); }
}`,
        foldWorkgroups(Math.ceil(quads / 64)),
      );
    return {
      variant: "quad",
      scratch: [{ name: "raised", byteLength: quads * (problem.dtype === "f32" ? 16 : 8) }],
      dispatches: [
        step("x", "raised", "unpack(x[i]) + 2.0"),
        step("raised", "y", "unpack(raised[i]) * gain[i % params.row_quads]", ["gain"]),
      ],
    };
  },
  cost: () => ({ flops: 1, bytesRead: 1, bytesWritten: 1 }),
};

const [ROWS, CHANNELS] = [35, 6];
const weight = new WeightScope("scale").weight("gain", [CHANNELS], "vector");

/** silu → gain → add of the input. */
function graphOf(dtype: DType, rows = ROWS, change: Partial<KernelOperands> = {}): Graph {
  const g = new GraphBuilder(dtype);
  const x = g.input("x", [1, rows, CHANNELS]);
  const active = g.activation(x, "silu", "act");
  const operands = { inputs: { x: active }, weights: { gain: weight }, output: "y", ...change };
  const problem = { dtype, rows, channels: CHANNELS };
  const scaled = g.kernel(gain, problem, operands, x.shape, "scale");
  g.output("y", g.add(scaled, x, "sum"));
  return g.build();
}

describe("a kernel from outside", () => {
  it.each(["f32", "f16"] as const)("runs between ours, %s", async (dtype) => {
    const { gpu } = setup;
    const x = uniformArray(ROWS * CHANNELS, 1, 3).map((v) => roundToDtype(v, dtype));
    const gains = uniformArray(CHANNELS, 2, 2).map(Math.fround);
    const plan = planGraph(graphOf(dtype), gpu.caps);
    expect(plan.weights).toEqual([weight]);
    const source = { tensor: () => tensorOf(gains, [CHANNELS]), lora: () => null };
    const weights = new DeviceWeights(gpu, source, { dtype });
    await weights.load(plan.weights);
    const program = await Program.create(gpu, plan, weights);
    await program.run({ x: packActivation(Float32Array.from(x), CHANNELS, dtype) });
    const { shape, data } = await program.read("y");
    program.dispose();
    weights.dispose();
    const expected = x.map((v, i) => {
      const active = roundToDtype(v / (1 + Math.exp(-v)), dtype);
      const raised = roundToDtype(active + 2, dtype);
      return roundToDtype(raised * (gains[i % CHANNELS] as number), dtype) + v;
    });
    expectClose(data, expected, shape, pointwise(dtype));
  });

  it.each([
    [
      "an operand that nobody binds",
      { weights: {} },
      'gain: operand "gain" must be bound, got y, x.',
    ],
    [
      "an operand that it does not have",
      { weights: { gain: weight, bias: weight } },
      "gain: every operand must be used, got bias too. Check the names (scale)",
    ],
    [
      "writing what others read",
      { inputs: { y: { id: 0, shape: [1, ROWS, CHANNELS] } }, output: "x" },
      'gain: only the output "x" and scratch may be written, got "y". Read it instead (scale)',
    ],
  ] as const)("is refused with %s", (_, change, message) => {
    const plan = (): unknown => planGraph(graphOf("f32", ROWS, change), BASELINE_CAPS);
    expect(plan).toThrow(ShapeError);
    expect(plan).toThrow(message);
  });

  it("names the module when it refuses its problem", () => {
    expect(() => planGraph(graphOf("f32", 1001), BASELINE_CAPS)).toThrow(
      "gain: may have 1000 rows, got 1001 (scale)",
    );
    const g = new GraphBuilder("f32");
    const operands = { inputs: { x: g.input("x", [1, 4]) }, output: "y" };
    expect(() =>
      g.kernel(gain, { dtype: "f32", rows: 1, channels: 4 }, operands, [0], "m"),
    ).toThrow("gain: output needs sizes ≥ 1, got [0] (m)");
  });
});
