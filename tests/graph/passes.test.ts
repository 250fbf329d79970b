import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { GraphBuilder } from "../../src/graph/builder.ts";
import type { Graph, Op } from "../../src/graph/ir.ts";
import { optimize } from "../../src/graph/passes.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { blocks } from "./blocks.ts";

/** How many nodes of each kind a graph has. */
function kinds({ nodes }: Graph): Partial<Record<Op["kind"], number>> {
  const counts: Partial<Record<Op["kind"], number>> = {};
  for (const { op } of nodes) counts[op.kind] = (counts[op.kind] ?? 0) + 1;
  return counts;
}

/** As `planGraph` does: no name blocks fusion unless it is captured. */
const bare = (graph: Graph): Graph => ({ ...graph, named: new Map() });

describe("fused structure", () => {
  it("resnet: norm + SiLU, conv + time embedding, conv + residual", () => {
    const fused = optimize(bare(blocks.resnet("f32")));
    expect(kinds(fused)).toEqual({
      channelStats: 2,
      groupNormAffine: 2,
      affine: 2,
      conv2d: 3,
      linear: 1,
    });
    const affines = fused.nodes.filter(({ op }) => op.kind === "affine");
    expect(affines.map(({ op }) => op.kind === "affine" && op.activation)).toEqual([
      "silu",
      "silu",
    ]);
    const epilogues = fused.nodes.flatMap(({ op, inputs }) =>
      op.kind === "conv2d"
        ? [[inputs.channelAdd !== undefined, inputs.residual !== undefined]]
        : [],
    );
    expect(epilogues).toContainEqual([true, false]);
    expect(epilogues.filter(([, residual]) => residual)).toHaveLength(1);
  });

  it("transformer: every residual add and GEGLU become epilogues", () => {
    const fused = optimize(bare(blocks.transformer("f32")));
    expect(kinds(fused)).toEqual({
      channelStats: 1,
      groupNormAffine: 1,
      affine: 1,
      linear: 12,
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
      channelStats: 3,
      groupNormAffine: 2,
      affine: 2,
      conv2d: 3,
      linear: 1,
    });
    expect(
      fused.nodes.filter(({ op, inputs }) => op.kind === "conv2d" && inputs.x.length === 2),
    ).toHaveLength(1);
  });

  it("concat after a first part of broken quads stays a copy", () => {
    expect(kinds(optimize(bare(blocks.concatResnet("f32", 6, 8)))).concat).toBe(1);
  });

  it("quick_gelu moves into its linear", () => {
    expect(kinds(optimize(bare(blocks.clipLayer("f32"))))).toEqual({
      layerNorm: 2,
      linear: 6,
      attention: 1,
    });
  });

  it("a pass that is switched off leaves its nodes", () => {
    const graph = bare(blocks.concatResnet("f32", 8, 6));
    expect(kinds(optimize(graph, ["elide-concat"])).concat).toBe(1);
    expect(kinds(optimize(graph, ["fuse-norm-activation"])).elementwise).toBe(2);
    expect(kinds(optimize(graph, ["fuse-epilogue"]))).toMatchObject({
      channelAdd: 1,
      elementwise: 1,
    });
    expect(
      kinds(optimize(graph, ["elide-concat", "fuse-norm-activation", "fuse-epilogue"])),
    ).toEqual(kinds(graph));
  });
});

describe("captures", () => {
  it("block the fusion of what they name, and nothing else", () => {
    const graph = blocks.named("f32");
    const count = (captures: readonly string[]) =>
      planGraph(graph, BASELINE_CAPS, { captures }).graph.nodes.length;
    const all = count([]);
    expect(count(["conv"])).toBe(all + 1);
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
