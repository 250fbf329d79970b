/** Single operations, each as a graph of one or two nodes. */
import type { GraphBuilder } from "../../graph/ir/builder.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";
import { timestepEmbedding } from "../../rcod/networks/unet.ts";
import type { OutputResult } from "../runner/compare.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { caseWeights, compareResults, runGraph } from "../runner/run-case.ts";

const ROOT = new WeightScope();

/** The parameters of a case, whose matrices `storage` may say to be integers. */
function weightsOf({ golden }: CaseRun): WeightScope {
  const storage = golden.parameters.get("storage");
  return storage === "int8" || storage === "int4" ? new WeightScope("", () => storage) : ROOT;
}

/** Runs `build` on the inputs named in `names` and compares its value with output `y`. */
const runOp = (
  run: CaseRun,
  names: readonly string[],
  build: (g: GraphBuilder, ...inputs: Value[]) => Value,
): Promise<readonly OutputResult[]> =>
  runGraph(run, caseWeights(run.golden), names, (g, ...inputs) =>
    g.output("y", build(g, ...inputs)),
  );

/** Whether a layer has a bias: by its stored tensors, or by a `bias` parameter for recipe weights. */
function hasBias({ golden }: CaseRun, name = "bias"): boolean {
  if (golden.has(`weights/${name}`)) return true;
  return golden.parameters.get("weights") === "recipe" && golden.parameters.flag("bias", true);
}

/** Channels of output `y`: axis 1 of a map, the last axis of a sequence. */
function outChannels({ golden }: CaseRun): number {
  const shape = golden.shape("outputs/y");
  return (shape.length === 4 ? shape[1] : shape[shape.length - 1]) as number;
}

const conv2d: CaseRunner = (run) => {
  const { parameters } = run.golden;
  const [left = 0, right = 0, top = 0, bottom = 0] = parameters.numbers(
    "pad_left_right_top_bottom",
  );
  return runOp(run, ["x"], (g, x) =>
    g.conv2d(x, weightsOf(run), {
      outChannels: outChannels(run),
      kernelSize: parameters.number("kernel"),
      stride: parameters.number("stride"),
      padding: [top, bottom, left, right],
      bias: hasBias(run),
    }),
  );
};

const linear: CaseRunner = (run) =>
  runOp(run, ["x"], (g, x) => g.linear(x, weightsOf(run), outChannels(run), hasBias(run)));

const geglu: CaseRunner = (run) =>
  runOp(run, ["x"], (g, x) =>
    g.geglu(g.linear(x, ROOT.at("proj"), 2 * outChannels(run), hasBias(run, "proj.bias")), "geglu"),
  );

/** The activation alone, on [value | gate]. A whole GEGLU has it in the projection's epilogue. */
const gate: CaseRunner = (run) => runOp(run, ["x"], (g, x) => g.geglu(x, "geglu"));

const channelAdd: CaseRunner = (run) =>
  runOp(run, ["x", "v"], (g, x, v) => g.channelAdd(x, v, "channelAdd"));

const activation =
  (kind: Activation): CaseRunner =>
  (run) =>
    runOp(run, ["x"], (g, x) => g.activation(x, kind, kind));

const groupNorm =
  (withSilu: boolean): CaseRunner =>
  (run) => {
    const { parameters } = run.golden;
    const options = { numGroups: parameters.number("groups"), eps: parameters.number("eps") };
    return runOp(run, ["x"], (g, x) => {
      const y = g.groupNorm(x, ROOT, options);
      return withSilu ? g.activation(y, "silu", "silu") : y;
    });
  };

const layerNorm: CaseRunner = (run) =>
  runOp(run, ["x"], (g, x) => g.layerNorm(x, ROOT, run.golden.parameters.number("eps")));

const attention: CaseRunner = (run) => {
  const { parameters } = run.golden;
  const numHeads = parameters.number("heads");
  const headDim = outChannels(run) / numHeads;
  const scale = parameters.number("scale", headDim ** -0.5);
  return runOp(run, ["q", "k", "v"], (g, q, k, v) =>
    g.attention(q, k, v, { numHeads, scale }, "attention"),
  );
};

const nearest: CaseRunner = (run) => {
  const [, , height = 1, width = 1] = run.golden.shape("outputs/y");
  return runOp(run, ["x"], (g, x) => g.upsampleNearest(x, height, width, "nearest"));
};

/**
 * The sinusoidal embedding is made on the CPU in doubles; a device round trip adds the storage's rounding. The
 * golden is fp32, whose rounding of t·freq is the stored `fp32_vs_fp64` error, so the limit of the table holds.
 */
const timesteps: CaseRunner = async ({ golden, session }) => {
  const { parameters } = golden;
  const t = await golden.input("t");
  const dim = parameters.number("dim");
  const config = {
    flipSinToCos: parameters.flag("flip_sin_to_cos", true),
    freqShift: parameters.number("freq_shift", 0),
  };
  const embeddings = new Float32Array(t.data.length * dim);
  t.data.forEach((step, row) => embeddings.set(timestepEmbedding(step, config, dim), row * dim));
  const results = await session.run({
    weights: caseWeights(golden),
    build: (g) =>
      g.output("y", g.scale(g.input("embedding", [t.data.length, dim]), 1, "timesteps")),
    inputs: { embedding: embeddings },
  });
  return compareResults(golden, session.dtype, results);
};

const timestepMlp: CaseRunner = (run) => {
  const [hidden = 1] = run.golden.has("weights/linear_1.weight")
    ? run.golden.shape("weights/linear_1.weight")
    : [outChannels(run)];
  return runOp(run, ["x"], (g, x) => {
    const h = g.activation(g.linear(x, ROOT.at("linear_1"), hidden, true), "silu", "silu");
    return g.linear(h, ROOT.at("linear_2"), outChannels(run), true);
  });
};

/** By the `op` of a case. */
export const OP_CASES: Readonly<Record<string, CaseRunner>> = {
  conv2d,
  linear,
  GEGLU: geglu,
  geglu: gate,
  channel_add: channelAdd,
  silu: activation("silu"),
  gelu: activation("gelu"),
  gelu_erf: activation("gelu"),
  quick_gelu: activation("quick_gelu"),
  relu: activation("relu"),
  group_norm: groupNorm(false),
  "group_norm+silu": groupNorm(true),
  layer_norm: layerNorm,
  attention,
  nearest,
  timesteps,
  TimestepEmbedding: timestepMlp,
};
