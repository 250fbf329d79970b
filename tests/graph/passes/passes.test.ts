import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import type { Graph, Op } from "../../../src/graph/ir/ir.ts";
import { PASSES, optimize } from "../../../src/graph/passes/passes.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { blocks } from "../blocks.ts";

/** How many nodes of each kind a graph has. */
function kinds({ nodes }: Graph): Partial<Record<Op["kind"], number>> {
  const counts: Partial<Record<Op["kind"], number>> = {};
  for (const { op } of nodes) counts[op.kind] = (counts[op.kind] ?? 0) + 1;
  return counts;
}

/** As `planGraph` does: no name blocks fusion unless it is captured. */
const bare = (graph: Graph): Graph => ({ ...graph, named: new Map() });

describe("fused structure", () => {
  it("resnet: norm + SiLU, conv + time embedding, conv + shortcut", () => {
    const fused = optimize(bare(blocks.resnet("f32")));
    expect(kinds(fused)).toEqual({
      channelStats: 1, // of the input; those of conv1's map are its own work
      groupNormAffine: 2,
      conv2d: 2,
      linear: 1,
    });
    const onLoad = fused.nodes.filter(({ inputs }) => inputs.norm);
    expect(onLoad.map(({ op }) => op.kind === "conv2d" && op.inputActivation)).toEqual([
      "silu",
      "silu",
    ]);
    const epilogues = fused.nodes.flatMap(({ op, inputs }) =>
      op.kind === "conv2d" ? [Object.keys(inputs).filter((name) => name !== "x")] : [],
    );
    expect(epilogues).toEqual([
      ["channelAdd", "norm"],
      ["shortcut", "norm"],
    ]);
    const residual = optimize(bare(blocks.resnet("f32")), ["fold-shortcut"]);
    expect(kinds(residual).conv2d).toBe(3);
    expect(residual.nodes.filter(({ inputs }) => inputs.residual)).toHaveLength(1);
  });

  it("transformer: every residual add and GEGLU become epilogues", () => {
    const fused = optimize(bare(blocks.transformer("f32")));
    expect(kinds(fused)).toEqual({
      channelStats: 1,
      groupNormAffine: 1,
      linear: 9,
      layerNorm: 3,
      attention: 2,
    });
    const geglu = fused.nodes.filter(({ op }) => op.kind === "linear" && op.geglu);
    expect(
      geglu.map(({ op }) => op.kind === "linear" && [op.weight.layout, op.bias?.layout]),
    ).toEqual([["geglu-matrix", "geglu-vector"]]);
    expect(fused.nodes.filter(({ inputs }) => inputs.residual)).toHaveLength(4);
  });

  it("concat of whole quads disappears, the statistics split", () => {
    const fused = optimize(bare(blocks.concatResnet("f32", 8, 6)));
    expect(kinds(fused)).toEqual({
      channelStats: 2,
      groupNormAffine: 2,
      conv2d: 2,
      linear: 1,
    });
    expect(fused.nodes.filter(({ inputs }) => inputs.shortcut?.length === 2)).toHaveLength(1);
  });

  it("concat after a first part of broken quads stays a copy", () => {
    expect(kinds(optimize(bare(blocks.concatResnet("f32", 6, 8)))).concat).toBe(1);
  });

  it("the projections of one time embedding become one", () => {
    const { nodes } = optimize(bare(blocks.resnets("f32")));
    const linears = nodes.filter(({ op }) => op.kind === "linear");
    expect(linears.map(({ output }) => output.shape)).toEqual([[1, 28]]);
    const shifted = nodes.filter(({ inputs }) => inputs.channelAdd);
    expect(shifted.map(({ op }) => op.kind === "conv2d" && op.channelAddOffset)).toEqual([0, 12]);
    expect(shifted.map(({ inputs }) => inputs.channelAdd)).toEqual([
      linears[0]?.output,
      linears[0]?.output,
    ]);
  });

  it("the scale of the latents goes into the slice that they are", () => {
    const g = new GraphBuilder("f32");
    const moments = g.input("moments", [1, 2, 2, 8]);
    g.output("mean", g.scale(g.sliceChannels(moments, 0, 4, null, "mean"), 0.5, "latents"));
    g.output("clamped", g.scale(g.sliceChannels(moments, 4, 4, [0, 1], "c"), 0.5, "scale"));
    const { nodes } = optimize(g.build());
    expect(nodes.map(({ op }) => (op.kind === "sliceChannels" ? op.scale : op.kind))).toEqual([
      0.5,
      1,
      "elementwise",
    ]);
  });

  it("upsampling by exactly 2 goes into its convolution", () => {
    const fused = optimize(bare(blocks.upsample("f32", 8, 10)));
    expect(kinds(fused)).toEqual({ conv2d: 1 });
    const [conv] = fused.nodes;
    expect(conv?.op).toMatchObject({
      upsample: true,
      activation: "silu",
      weight: { name: "conv.weight", shape: [8, 6, 3, 3], layout: "upsample-matrix" },
    });
    expect(conv?.inputs.x[0]?.shape).toEqual([1, 4, 5, 6]);
    expect(conv?.inputs.residual).toBeDefined();
  });

  it.each([
    [7, 10],
    [8, 9],
    [4, 5],
    [16, 20],
  ])("upsampling 4 × 5 to %i × %i keeps its plain form", (height, width) => {
    const fused = optimize(bare(blocks.upsample("f32", height, width)));
    expect(kinds(fused)).toEqual({ upsampleNearest: 1, conv2d: 1 });
    expect(fused.nodes[1]?.op).toMatchObject({ upsample: false, weight: { layout: "matrix" } });
  });

  it("quick_gelu moves into its linear", () => {
    expect(kinds(optimize(bare(blocks.clipLayer("f32"))))).toEqual({
      layerNorm: 2,
      linear: 4,
      attention: 1,
    });
  });

  it("a pass that is switched off leaves its nodes", () => {
    const graph = bare(blocks.concatResnet("f32", 8, 6));
    expect(kinds(optimize(graph, ["elide-concat"])).concat).toBe(1);
    expect(kinds(optimize(graph, ["fold-shortcut"])).conv2d).toBe(3);
    expect(kinds(optimize(bare(blocks.clipLayer("f32")), ["stack-projections"])).linear).toBe(6);
    const up = bare(blocks.upsample("f32", 8, 10));
    expect(kinds(optimize(up, ["fold-upsample"]))).toEqual({ upsampleNearest: 1, conv2d: 1 });
    expect(kinds(optimize(graph, ["fuse-norm-activation"])).elementwise).toBe(2);
    expect(kinds(optimize(graph, ["norm-on-load"])).affine).toBe(2);
    expect(kinds(optimize(bare(blocks.resnets("f32")), ["stack-shifts"])).linear).toBe(2);
    expect(kinds(optimize(graph, ["fuse-epilogue"])).channelAdd).toBe(1);
    expect(kinds(optimize(graph, ["fuse-epilogue", "fold-shortcut"])).elementwise).toBe(1);
    expect(
      kinds(
        optimize(
          graph,
          PASSES.map(({ name }) => name),
        ),
      ),
    ).toEqual(kinds(graph));
  });
});

describe("statistics", () => {
  /** A map that is normalised by the next block and, as a skip connection, by an up block. */
  function skip(): Graph {
    const g = new GraphBuilder("f32");
    const w = new WeightScope();
    const norm = (x: ReturnType<GraphBuilder["add"]>, name: string) =>
      g.groupNorm(x, w.at(name), { numGroups: 2, eps: 1e-5 });
    const conv = { outChannels: 8, kernelSize: 3, stride: 1, padding: 1, bias: true };
    const x = g.conv2d(g.input("x", [1, 4, 4, 4]), w.at("in"), conv);
    const h = g.conv2d(norm(x, "norm1"), w.at("conv1"), conv);
    g.output("y", g.conv2d(norm(g.concat(h, x, "cat"), "norm2"), w.at("conv2"), conv));
    return g.build();
  }

  it("of a skip connection are taken once, and by the convolution that makes it", () => {
    expect(
      kinds(optimize(skip(), ["share-statistics", "statistics-in-epilogue"])).channelStats,
    ).toBe(3);
    expect(kinds(optimize(skip(), ["statistics-in-epilogue"])).channelStats).toBe(2);
    const fused = optimize(skip());
    expect(kinds(fused).channelStats).toBeUndefined();
    const [made, next] = fused.nodes.flatMap(({ statistics }) => statistics ?? []);
    const norms = fused.nodes.filter(({ op }) => op.kind === "groupNormAffine");
    expect(norms.map(({ inputs }) => inputs.x)).toEqual([[made], [next, made]]);
  });

  it("become a step behind a convolution whose variant or map gives none", () => {
    const stepsOf = (height: number, variants = {}) =>
      planGraph(blocks.resnet("f32", height, 8), { ...BASELINE_CAPS, variants }).steps.map(
        ({ kernel }) => kernel,
      );
    expect(stepsOf(8).filter((kernel) => kernel === "channelStats")).toHaveLength(1);
    expect(stepsOf(9).filter((kernel) => kernel === "channelStats")).toHaveLength(2);
    const naive = stepsOf(8, { conv2d: "naive" });
    expect(naive.slice(naive.indexOf("conv2d"), naive.indexOf("conv2d") + 2)).toEqual([
      "conv2d",
      "channelStats",
    ]);
  });
});

describe("where all eight bindings are taken, statistics are a step", () => {
  it.each([
    ["conv2d", 3, 1],
    ["linear", 1, 0],
  ])("of %s", (kernel, kernelSize, padding) => {
    const g = new GraphBuilder("f32");
    const norm = { numGroups: 2, eps: 1e-5 };
    const both = g.concat(g.input("a", [1, 8, 8, 8]), g.input("b", [1, 8, 8, 8]), "concat");
    const x = g.groupNorm(both, new WeightScope("n"), norm);
    const conv = { outChannels: 64, kernelSize, stride: 1, padding, bias: true };
    const h = g.conv2d(x, new WeightScope("c"), conv);
    const shifted = g.channelAdd(h, g.input("shift", [1, 64]), "shift");
    const sum = g.add(shifted, g.input("residual", [1, 8, 8, 64]), "sum");
    g.output("y", g.groupNorm(sum, new WeightScope("n2"), norm));
    const made = planGraph(g.build(), BASELINE_CAPS).steps.map((step) => step.kernel);
    expect(made.slice(made.indexOf(kernel))).toEqual([
      kernel,
      "channelStats",
      "groupNormAffine",
      "affineActivation",
    ]);
  });
});

describe("layer-norm-on-load", () => {
  const stepsOf = (graph: Graph, options = {}, caps = BASELINE_CAPS): readonly string[] =>
    planGraph(graph, caps, options).steps.map(({ kernel }) => kernel);
  const norms = (...plan: Parameters<typeof stepsOf>): number =>
    stepsOf(...plan).filter((kernel) => kernel === "layerNorm").length;

  it("leaves no norm in a transformer of whole tiles, on a GPU", () => {
    const graph = blocks.wideTransformer("f32");
    expect(norms(graph)).toBe(0);
    expect(norms(graph, { without: ["layer-norm-on-load"] })).toBe(3);
    expect(norms(graph, {}, { ...BASELINE_CAPS, isSoftware: true })).toBe(3);
    expect(norms(blocks.transformer("f32"))).toBe(3); // 16 channels
    // Parameters of the norms stay parameters of the graph.
    const names = (options: object) =>
      planGraph(graph, BASELINE_CAPS, options).weights.map(({ name }) => name);
    expect(names({}).toSorted()).toEqual(names({ without: ["layer-norm-on-load"] }).toSorted());
  });

  it("becomes a step before a reader, or behind a maker, whose variant has no tiles", () => {
    const naive = { ...BASELINE_CAPS, variants: { linear: "naive" } };
    expect(norms(blocks.wideTransformer("f32"), {}, naive)).toBe(3);
    // One class of readers alone: it runs as chosen, and the others keep the norm in their loads.
    const reader = { ...BASELINE_CAPS, variants: { "linear 64→512 geglu @64": "naive" } };
    expect(norms(blocks.wideTransformer("f32"), {}, reader)).toBe(1);
    const asked = planGraph(blocks.wideTransformer("f32"), reader).steps.filter((s) => s.requested);
    expect(asked.map(({ plan }) => plan.variant)).toEqual(["naive"]);
  });
});

describe("norm-on-load", () => {
  const affines = (graph: Graph, caps = BASELINE_CAPS): number =>
    kinds(optimize(bare(graph), [], caps)).affine ?? 0;

  it("leaves maps between 32 × 32 pixels and 96 MiB stored: there the SiLU of every tap costs more", () => {
    const tiled = { ...BASELINE_CAPS, variants: { conv2d: "tiled" } };
    expect(affines(blocks.resnet("f32", 32, 32), tiled)).toBe(0);
    expect(affines(blocks.resnet("f32", 32, 33), tiled)).toBe(2);
    // norm1 has 8 channels, norm2 12.
    expect(affines(blocks.resnet("f32", 1024, 2048), tiled)).toBe(1);
    expect(affines(blocks.resnet("f32", 1024, 3072), tiled)).toBe(0);
    expect(affines(blocks.resnet("f16", 1024, 3072), tiled)).toBe(2);
  });

  it("takes maps of any size that run as patch, which loads an element once for all taps", () => {
    const planned = (height: number, width: number, variants = {}) => {
      const caps = { ...BASELINE_CAPS, variants };
      const { steps } = planGraph(blocks.resnet("f32", height, width), caps);
      return steps.map(({ kernel, plan }) => (kernel === "conv2d" ? plan.variant : kernel));
    };
    const stored = ["affineActivation", "linear", "tiled", "affineActivation", "tiled"];
    const shown = (...plan: Parameters<typeof planned>) =>
      planned(...plan).filter((name) => !/Stats|groupNorm/.test(name));
    expect(shown(96, 96)).toEqual(["linear", "patch", "patch"]);
    expect(planned(96, 96).filter((name) => name === "channelStats")).toHaveLength(1); // of the input
    expect(shown(90, 125)).toEqual(["linear", "patch", "patch"]);
    expect(shown(9, 1200)).toEqual(stored); // almost half of each patch hangs over the border
    expect(shown(96, 96, { conv2d: "tiled" })).toEqual(stored); // as measured, perhaps
  });

  it("stays off on a software adapter, which has no dispatches to save", () => {
    const software = { ...BASELINE_CAPS, isSoftware: true };
    expect(affines(blocks.resnet("f32"), software)).toBe(2);
    expect(affines(blocks.transformer("f32"), software)).toBe(1);
  });

  it("a normalised map that something else reads is stored", () => {
    const g = new GraphBuilder("f32");
    const norm = g.groupNorm(g.input("x", [1, 3, 3, 8]), new WeightScope("n"), {
      numGroups: 2,
      eps: 1e-5,
    });
    const conv = g.linear(norm, new WeightScope("conv"), 8, false);
    g.output("y", g.add(norm, conv, "add"));
    expect(affines(g.build())).toBe(1);
  });

  it("two readers both normalise; of two images neither does", () => {
    const build = (batch: number): Graph => {
      const g = new GraphBuilder("f32");
      const x = g.input("x", [batch, 3, 3, 8]);
      const norm = g.groupNorm(x, new WeightScope("n"), { numGroups: 2, eps: 1e-5 });
      g.output("q", g.linear(norm, new WeightScope("q"), 8, false));
      g.output("k", g.linear(norm, new WeightScope("k"), 8, false));
      return g.build();
    };
    expect(affines(build(1))).toBe(0);
    expect(optimize(build(1)).nodes.filter(({ inputs }) => inputs.norm)).toHaveLength(2);
    expect(affines(build(2))).toBe(1);
  });
});

describe("statistics that readers merge", () => {
  const planned = (graph: Graph, variants = {}, options = {}) => {
    const { steps } = planGraph(graph, { ...BASELINE_CAPS, variants }, options);
    return steps.map(({ kernel, plan, operands }) => ({ kernel, plan, operands }));
  };
  const affines = (...plan: Parameters<typeof planned>): number =>
    planned(...plan).filter(({ kernel }) => kernel === "groupNormAffine").length;

  it("take no step between two convolutions of tiles, and lie in the buffer of the reader's own", () => {
    const steps = planned(blocks.deepResnets("f32", 8, 8));
    // The first norm is of the input, which a step of its own measures.
    expect(steps.map(({ kernel }) => kernel)).toEqual([
      "channelStats",
      "groupNormAffine",
      "conv2d",
      "conv2d",
      "conv2d",
      "conv2d",
    ]);
    const convolutions = steps.filter(({ kernel }) => kernel === "conv2d");
    const buffers = convolutions.map(({ operands }) => operands["stats"]);
    expect(buffers[0]).toEqual({ kind: "value", id: expect.any(Number) as number });
    expect(new Set(buffers.map((buffer) => JSON.stringify(buffer))).size).toBe(1);
    for (const { plan } of convolutions.slice(1)) {
      expect(plan.dispatches[0]?.label).toMatch("merged norm");
      expect(plan.dispatches[0]?.operands.filter(({ name }) => name === "stats")).toHaveLength(1);
    }
  });

  it("take a step where reader or maker is no tile, or the vectors are apart", () => {
    const graph = blocks.deepResnets("f32", 8, 8);
    expect(affines(graph)).toBe(1);
    expect(affines(graph, { conv2d: "naive" })).toBe(4);
    expect(affines(graph, { "conv2d 3x3 12→12 @64": "naive" })).toBe(3);
    expect(affines(graph, { "conv2d 3x3 8→12 @64": "naive" })).toBe(2);
    expect(affines(graph, {}, { without: ["stack-norms"] })).toBe(4);
    expect(affines(blocks.deepResnets("f32", 8, 9))).toBe(4); // broken tiles take no statistics
  });

  it("take a step from 8192 of them on", () => {
    const patch = { conv2d: "patch" };
    // 12 channels of groups of 6, in pairs: 6 a patch of 8 × 16.
    expect(affines(blocks.deepResnets("f32", 8 * 32, 16 * 42), patch)).toBe(1);
    expect(affines(blocks.deepResnets("f32", 8 * 32, 16 * 43), patch)).toBe(4);
  });
});

describe("captures", () => {
  it("block the fusion of what they name, and nothing else", () => {
    const graph = blocks.named("f32");
    const count = (captures: readonly string[]) =>
      planGraph(graph, BASELINE_CAPS, { captures }).graph.nodes.length;
    const all = count([]);
    expect(count(["conv"])).toBe(all + 2); // its activation, and statistics that no convolution makes
    expect(count(["norm"])).toBe(all + 1);
    expect(count(["cat"])).toBe(all + 1);
    expect(
      planGraph(graph, BASELINE_CAPS, { captures: ["cat"] }).graph.nodes.some(
        ({ op }) => op.kind === "concat",
      ),
    ).toBe(true);
    expect(planGraph(graph, BASELINE_CAPS).graph.nodes.some(({ op }) => op.kind === "concat")).toBe(
      false,
    );
  });

  it("an unknown name lists the known ones", () => {
    expect(() => planGraph(blocks.named("f32"), BASELINE_CAPS, { captures: ["conv_"] })).toThrow(
      'graph: nothing is named "conv_". Captures: conv, norm, cat',
    );
  });
});

it("a concatenation whose mean is taken stays, because a mean has one source", () => {
  const g = new GraphBuilder("f32");
  const [a, b] = [g.input("a", [1, 3, 3, 8]), g.input("b", [1, 3, 3, 4])];
  g.output("y", g.globalAveragePool(g.concat(a, b, "cat"), "pool"));
  expect(kinds(optimize(g.build()))).toEqual({ concat: 1, channelStats: 1, channelMean: 1 });
});
