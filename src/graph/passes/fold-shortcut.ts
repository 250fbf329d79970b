/**
 * Pass `fold-shortcut`: the 1×1 shortcut of a resnet becomes further channels of the convolution that it is added to.
 * The kernel sums over both; neither result is stored and read again. The shortcut's weight lies behind the
 * convolution's, and the biases are added at load.
 */
import type { Graph, Node, NodeOf, Value, Weight } from "../ir/ir.ts";
import { idsOf, isNodeOf } from "../ir/ir.ts";
import { isPointwise } from "./contraction-problem.ts";
import { useCounts } from "./fuse-pairs.ts";

type ConvNode = NodeOf<"conv2d">;

export function foldShortcut(graph: Graph): Graph {
  const counts = useCounts(graph);
  const named = idsOf(graph.named);
  const convolutions = new Map<number, ConvNode>();
  const removed = new Set<Node>();
  /** The plain convolution that makes `value`, if nothing else reads the value. */
  const ownConvolution = ({ id }: Value): ConvNode | undefined =>
    counts.get(id) === 1 && !named.has(id) ? convolutions.get(id) : undefined;
  const nodes = graph.nodes.map((node) => {
    if (isPlainConvolution(node)) convolutions.set(node.output.id, node);
    const { op, inputs } = node;
    if (op.kind !== "elementwise" || op.activation !== "none") return node;
    if (op.scaleA !== 1 || op.scaleB !== 1 || inputs.x.length !== 2) return node;
    const pair = inputs.x.map(ownConvolution);
    const shortcut = pair.find((conv) => conv !== undefined && isPointwise(conv.op));
    const main = pair.find((conv) => conv !== undefined && isSameSize(conv));
    if (shortcut === undefined || main === undefined) return node;
    if (shortcut.op.weight.storage !== main.op.weight.storage) return node; // they are to be one buffer
    removed.add(shortcut).add(main);
    return merged(main, shortcut, node);
  });
  return { ...graph, nodes: nodes.filter((node) => !removed.has(node)) };
}

/** The fused node takes the place of the addition, where the operands of both convolutions exist. */
function merged(main: ConvNode, shortcut: ConvNode, { output }: Node): Node {
  const weight: Weight = {
    ...main.op.weight,
    name: `${main.op.weight.name} and shortcut`,
    layout: "shortcut-matrix",
    members: [main.op.weight, shortcut.op.weight],
  };
  const biases = [main, shortcut].flatMap(({ op }) => op.bias ?? []);
  const [first] = biases;
  const bias: Weight | null =
    first && biases.length > 1
      ? { ...first, name: `${first.name} and shortcut`, layout: "summed-vector", members: biases }
      : (first ?? null);
  return {
    ...main,
    op: { ...main.op, weight, bias },
    inputs: { ...main.inputs, shortcut: shortcut.inputs.x },
    output,
  };
}

function isPlainConvolution(node: Node): node is ConvNode {
  if (!isNodeOf(node, "conv2d")) return false;
  const { weight, activation, stride } = node.op;
  if (weight.layout !== "matrix" || activation !== "none" || stride !== 1) return false;
  return !node.inputs.channelAdd && !node.inputs.residual;
}

function isSameSize({ op, inputs, output }: ConvNode): boolean {
  const [, height, width] = inputs.x[0]?.shape ?? [];
  const [kernelHeight, kernelWidth] = op.kernelSize;
  return kernelHeight * kernelWidth > 1 && output.shape[1] === height && output.shape[2] === width;
}
