import { describe, expect, it } from "vitest";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import type { Graph, Value } from "../../../src/graph/ir/ir.ts";
import { foldShortcut } from "../../../src/graph/passes/fold-shortcut.ts";

const root = new WeightScope();

interface Options {
  readonly kernelSize?: number;
  readonly padding?: number;
  readonly shortcutSize?: number;
  readonly biases?: readonly [main: boolean, shortcut: boolean];
  readonly also?: (g: GraphBuilder, main: Value, shortcut: Value) => void;
}

/** conv(a) + shortcut(x), in this order of the addends or the other. */
function residual(
  {
    kernelSize = 3,
    padding = 1,
    shortcutSize = 1,
    biases = [true, true],
    also = () => undefined,
  }: Options = {},
  isShortcutFirst = true,
): Graph {
  const g = new GraphBuilder("f32");
  const [a, x] = [g.input("a", [1, 5, 6, 8]), g.input("x", [1, 5, 6, 3])];
  const main = g.conv2d(a, root.at("conv2"), {
    outChannels: 8,
    kernelSize,
    stride: 1,
    padding,
    bias: biases[0],
  });
  const shortcut = g.conv2d(x, root.at("shortcut"), {
    outChannels: 8,
    kernelSize: shortcutSize,
    stride: 1,
    padding: (shortcutSize - 1) / 2,
    bias: biases[1],
  });
  also(g, main, shortcut);
  g.output("y", isShortcutFirst ? g.add(shortcut, main, "add") : g.add(main, shortcut, "add"));
  return g.build();
}

describe("a 1×1 convolution that is added to another", () => {
  it.each([true, false])("becomes part of it (as first addend: %s)", (isFirst) => {
    const graph = residual({}, isFirst);
    const { nodes } = foldShortcut(graph);
    expect(nodes).toHaveLength(1);
    expect(nodes[0]).toMatchObject({
      op: {
        kernelSize: [3, 3],
        weight: {
          layout: "shortcut-matrix",
          shape: [8, 8, 3, 3],
          members: [
            { name: "conv2.weight", layout: "matrix" },
            { name: "shortcut.weight", shape: [8, 3, 1, 1], layout: "matrix" },
          ],
        },
        bias: {
          layout: "summed-vector",
          shape: [8],
          members: [{ name: "conv2.bias" }, { name: "shortcut.bias" }],
        },
      },
      inputs: { x: [graph.inputs.get("a")], shortcut: [graph.inputs.get("x")] },
      output: graph.outputs.get("y"),
    });
  });

  it.each([
    [[true, false], "conv2.bias"],
    [[false, true], "shortcut.bias"],
  ] as const)("keeps the only bias there is (%j)", (biases, name) => {
    const [node] = foldShortcut(residual({ biases })).nodes;
    expect(node?.op).toMatchObject({ bias: { name, layout: "vector" } });
  });

  it("may go without bias", () => {
    const [node] = foldShortcut(residual({ biases: [false, false] })).nodes;
    expect(node?.op).toMatchObject({ bias: null });
  });
});

describe("left alone", () => {
  const unchanged = (options: Options): void => {
    const graph = residual(options);
    expect(foldShortcut(graph).nodes).toEqual(graph.nodes);
  };

  it("two 1×1 convolutions, and two 3×3", () => {
    unchanged({ kernelSize: 1, padding: 0 });
    unchanged({ shortcutSize: 3 });
  });

  it("what something else reads too", () => {
    unchanged({ also: (g, main) => g.output("twice", g.scale(main, 2, "twice")) });
    unchanged({ also: (g, _main, shortcut) => g.output("twice", g.scale(shortcut, 2, "twice")) });
  });

  it("outputs and captures", () => {
    unchanged({ also: (g, main) => g.output("main", main) });
    unchanged({ also: (g, _main, shortcut) => void g.name("shortcut", shortcut) });
  });

  it("a scaled sum", () => {
    const g = new GraphBuilder("f32");
    const x = g.input("x", [1, 5, 6, 8]);
    const conv = { outChannels: 8, stride: 1, bias: true };
    const main = g.conv2d(x, root.at("a"), { ...conv, kernelSize: 3, padding: 1 });
    const shortcut = g.conv2d(x, root.at("b"), { ...conv, kernelSize: 1, padding: 0 });
    g.output("y", g.combine(main, 1, shortcut, 0.5, "add"));
    const graph = g.build();
    expect(foldShortcut(graph).nodes).toEqual(graph.nodes);
  });
});
