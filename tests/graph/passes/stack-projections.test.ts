import { describe, expect, it } from "vitest";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import type { Graph, Node } from "../../../src/graph/ir/ir.ts";
import { stackProjections } from "../../../src/graph/passes/stack-projections.ts";
import { spatialAttention } from "../../../src/rcod/networks/vae.ts";
import { blocks } from "../blocks.ts";

const root = new WeightScope();
const bare = (graph: Graph): Graph => ({ ...graph, named: new Map() });

/** The stacked layers: tensors of the weight, tensors of the bias, shape of the result. */
function stacks(graph: Graph) {
  return graph.nodes.flatMap(({ op, output }) =>
    op.kind === "linear" && op.weight.members
      ? [
          {
            weights: op.weight.members.map(({ name }) => name),
            biases: op.bias?.members?.map(({ name }) => name) ?? [],
            weightShape: op.weight.shape,
            shape: output.shape,
          },
        ]
      : [],
  );
}

const attentions = (graph: Graph): Node[] =>
  graph.nodes.filter(({ op }) => op.kind === "attention");

interface Options {
  readonly channels?: number;
  readonly numHeads?: number;
  readonly biases?: readonly [boolean, boolean, boolean];
  /** Something else that happens to k. */
  readonly also?: (g: GraphBuilder, k: ReturnType<GraphBuilder["linear"]>) => void;
}

function selfAttention({
  channels = 8,
  numHeads = 2,
  biases = [true, true, true],
  also = () => undefined,
}: Options = {}): Graph {
  const g = new GraphBuilder("f32");
  const x = g.input("x", [1, 5, channels]);
  const [q, k, v] = (["q", "k", "v"] as const).map((name, i) =>
    g.linear(x, root.at(name), channels, biases[i] as boolean),
  ) as [typeof x, typeof x, typeof x];
  also(g, k);
  g.output("y", g.attention(q, k, v, { numHeads, scale: 1 }, "attn"));
  return g.build();
}

describe("stacked", () => {
  it("Q, K and V of self-attention, with biases", () => {
    const graph = stackProjections(selfAttention());
    expect(stacks(graph)).toEqual([
      {
        weights: ["q.weight", "k.weight", "v.weight"],
        biases: ["q.bias", "k.bias", "v.bias"],
        weightShape: [24, 8],
        shape: [1, 5, 24],
      },
    ]);
    expect(graph.nodes).toHaveLength(2);
    const [attention] = attentions(graph);
    expect(attention?.op).toMatchObject({ offsets: [0, 8, 16], headDim: 4 });
    expect(attention?.inputs.x.map(({ id }) => id)).toEqual(
      Array.from({ length: 3 }, () => graph.nodes[0]?.output.id),
    );
    expect(attention?.output.shape).toEqual([1, 5, 8]);
  });

  it("K and V of all cross-attention layers, at the first of them", () => {
    const graph = stackProjections(bare(blocks.crossAttentions("f32")));
    const [first, second] = ["first", "second"].map((name) => [
      `${name}.attn2.to_k.weight`,
      `${name}.attn2.to_v.weight`,
    ]) as [string[], string[]];
    expect(stacks(graph)).toEqual([
      expect.objectContaining({ shape: [1, 9, 24], biases: [] }),
      { weights: [...first, ...second], biases: [], weightShape: [48, 12], shape: [1, 7, 48] },
      expect.objectContaining({ shape: [1, 9, 48] }),
    ]);
    expect(attentions(graph).map(({ op }) => op.kind === "attention" && op.offsets)).toEqual([
      [0, 8, 16],
      [0, 0, 8],
      [0, 16, 32],
      [0, 16, 32],
    ]);
    // Every value is made before it is read.
    const made = new Set([...graph.inputs.values()].map(({ id }) => id));
    for (const { inputs, output } of graph.nodes) {
      for (const { id } of inputs.x) expect(made).toContain(id);
      made.add(output.id);
    }
  });

  it("in stacks of at most 128 MiB", () => {
    // [4096, 4096] in f32 is 64 MiB.
    expect(stacks(stackProjections(selfAttention({ channels: 4096 })))).toEqual([
      expect.objectContaining({ weights: ["q.weight", "k.weight"], shape: [1, 5, 8192] }),
    ]);
  });
});

describe("left alone", () => {
  const unchanged = (graph: Graph): void => expect(stackProjections(graph)).toBe(graph);

  it("the one head of the VAE where three rows for each pixel exceed 128 MiB", () => {
    const image = (width: number): Graph => {
      const g = new GraphBuilder("f32");
      g.output("y", spatialAttention(g, root, g.input("x", [1, 1024, width, 8]), 2));
      return bare(g.build());
    };
    // 96 bytes a pixel.
    unchanged(image(1366));
    expect(stacks(stackProjections(image(1365)))).toEqual([
      expect.objectContaining({ weightShape: [24, 8], shape: [1, 1024 * 1365, 24] }),
    ]);
  });

  it("columns that are no whole quads", () => {
    unchanged(selfAttention({ channels: 6 }));
  });

  it("layers with bias beside layers without", () => {
    const graph = stackProjections(selfAttention({ biases: [true, false, true] }));
    expect(stacks(graph).map(({ weights }) => weights)).toEqual([["q.weight", "v.weight"]]);
    expect(attentions(graph)[0]?.op).toMatchObject({ offsets: [0, 0, 8] });
  });

  it("what something else reads too", () => {
    const graph = stackProjections(
      selfAttention({ also: (g, k) => g.output("k2", g.scale(k, 2, "twice")) }),
    );
    expect(stacks(graph).map(({ weights }) => weights)).toEqual([["q.weight", "v.weight"]]);
  });

  it("outputs and captures", () => {
    const output = stackProjections(selfAttention({ also: (g, k) => g.output("k", k) }));
    const capture = stackProjections(selfAttention({ also: (g, k) => void g.name("k", k) }));
    for (const graph of [output, capture]) {
      expect(stacks(graph).map(({ weights }) => weights)).toEqual([["q.weight", "v.weight"]]);
    }
  });
});
