/** Passes `share-statistics`, `statistics-in-epilogue` and `stack-norms`: what GroupNorms read beside the map. */
import type { Graph, Node, Value } from "../ir/ir.ts";

/** Statistics of one map are taken once. A skip connection has two readers of them: the next block and its up block. */
export function shareStatistics(graph: Graph): Graph {
  const first = new Map<number, Value>();
  const replaced = new Map<number, Value>();
  const nodes = graph.nodes.filter(({ op, inputs, output }) => {
    const [x] = inputs.x;
    if (op.kind !== "channelStats" || x === undefined) return true;
    const known = first.get(x.id);
    if (known === undefined) first.set(x.id, output);
    else replaced.set(output.id, known);
    return known === undefined;
  });
  if (replaced.size === 0) return graph;
  const read = (value: Value): Value => replaced.get(value.id) ?? value;
  return {
    ...graph,
    nodes: nodes.map((node) => ({
      ...node,
      inputs: { ...node.inputs, x: node.inputs.x.map(read) },
    })),
  };
}

/**
 * The convolution or linear layer that makes a map also takes its statistics, while the map is in registers. It need not
 * be read again.
 */
export function statisticsInEpilogue(graph: Graph): Graph {
  const makers = new Map<number, Node>();
  const statistics = new Map<Node, Value>();
  const removed = new Set<Node>();
  for (const node of graph.nodes) {
    const [x] = node.inputs.x;
    const maker = node.op.kind === "channelStats" && x ? makers.get(x.id) : undefined;
    if (maker !== undefined && !statistics.has(maker)) {
      statistics.set(maker, node.output);
      removed.add(node);
    }
    if (canMeasure(node)) makers.set(node.output.id, node);
  }
  if (removed.size === 0) return graph;
  return {
    ...graph,
    nodes: graph.nodes.flatMap((node): Node[] => {
      const value = statistics.get(node);
      if (removed.has(node)) return [];
      return [value ? { ...node, statistics: value } : node];
    }),
  };
}

/** Gamma and beta of every GroupNorm in one buffer: a kernel that merges statistics on load has only one binding for both. */
export function stackNorms(graph: Graph): Graph {
  const nodes = graph.nodes.map((node): Node => {
    const { op } = node;
    if (op.kind !== "groupNormAffine") return node;
    const { gamma, beta } = op;
    const name = `${gamma.name} + ${beta.name}`;
    const shape = [2 * (gamma.shape[0] as number)];
    return {
      ...node,
      op: { ...op, stacked: { name, shape, layout: "stacked-vector", members: [gamma, beta] } },
    };
  });
  return { ...graph, nodes };
}

/** Size or variant may still rule it out. Lowering then adds a step behind the node that takes the statistics. */
function canMeasure({ op }: Node): boolean {
  return op.kind === "conv2d" || (op.kind === "linear" && !op.geglu);
}
