import type { Graph, Node, Op, Value, Weight } from "../ir/ir.ts";
/**
 * The 1×1 shortcut of a resnet becomes further channels of the convolution that it is added to: one sum over
 * both, without storing either and reading it again. Its weight lies behind the convolution's, the biases add.
 */
import { useCounts } from "./fuse-pairs.ts";

type ConvNode = Node & { readonly op: Extract<Op, { kind: "conv2d" }> };

export function foldShortcut(graph: Graph): Graph {
  const counts = useCounts(graph);
  const named = new Set([...graph.named.values()].map(({ id }) => id));
  const convolutions = new Map<number, ConvNode>();
  const removed = new Set<Node>();
  /** The plain convolution that `value` comes from, where nothing else reads it. */
  const ownConvolution = ({ id }: Value): ConvNode | undefined =>
    counts.get(id) === 1 && !named.has(id) ? convolutions.get(id) : undefined;
  const nodes = graph.nodes.map((node) => {
    if (isPlainConvolution(node)) convolutions.set(node.output.id, node);
    const { op, inputs } = node;
    if (op.kind !== "elementwise" || op.activation !== "none") return node;
    if (op.scaleA !== 1 || op.scaleB !== 1 || inputs.x.length !== 2) return node;
    const pair = inputs.x.map(ownConvolution);
    const shortcut = pair.find((conv) => conv !== undefined && isPointwise(conv));
    const main = pair.find((conv) => conv !== undefined && isSameSize(conv));
    if (shortcut === undefined || main === undefined) return node;
    removed.add(shortcut).add(main);
    return merged(main, shortcut, node);
  });
  return { ...graph, nodes: nodes.filter((node) => !removed.has(node)) };
}

/** At the place of the addition, where the operands of both exist. */
function merged(main: ConvNode, shortcut: ConvNode, { output }: Node): Node {
  const weight: Weight = {
    name: `${main.op.weight.name} and shortcut`,
    shape: main.op.weight.shape,
    layout: "shortcut-matrix",
    parts: [main.op.weight, shortcut.op.weight],
  };
  const biases = [main, shortcut].flatMap(({ op }) => op.bias ?? []);
  const [first] = biases;
  const bias: Weight | null =
    first && biases.length > 1
      ? { ...first, name: `${first.name} and shortcut`, layout: "summed-vector", parts: biases }
      : (first ?? null);
  return {
    ...main,
    op: { ...main.op, weight, bias },
    inputs: { ...main.inputs, shortcut: shortcut.inputs.x },
    output,
  };
}

function isPlainConvolution(node: Node): node is ConvNode {
  const { op, inputs } = node;
  return (
    op.kind === "conv2d" &&
    op.weight.layout === "matrix" &&
    op.activation === "none" &&
    op.stride === 1 &&
    !inputs.channelAdd &&
    !inputs.residual
  );
}

function isPointwise({ op }: ConvNode): boolean {
  return op.kernelSize.every((size) => size === 1) && op.padding.every((side) => side === 0);
}

function isSameSize({ op, inputs, output }: ConvNode): boolean {
  const [, height, width] = inputs.x[0]?.shape ?? [];
  const [kernelHeight, kernelWidth] = op.kernelSize;
  return kernelHeight * kernelWidth > 1 && output.shape[1] === height && output.shape[2] === width;
}
