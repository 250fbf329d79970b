/**
 * LayerNorm moves into the loads of the linear layers that read the normalised tokens; the statistics of the rows come
 * from the epilogue of the linear layer that makes them: a dispatch and a map less for each norm.
 */
import type { Caps } from "../../gpu/caps.ts";
import { rowPartials } from "../../kernels/contraction/tile-statistics.ts";
import type { Graph, Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, nodeInputs, rowsOf } from "../ir/ir.ts";
import { acceptingReaders, useCounts } from "./fuse-pairs.ts";

type LinearNode = Node & { readonly op: Extract<Op, { kind: "linear" }> };
type NormNode = Node & { readonly op: Extract<Op, { kind: "layerNorm" }> };

export function layerNormOnLoad(graph: Graph, caps: Caps): Graph {
  // The variants of a software adapter have no tiles whose lanes could take statistics.
  if (caps.isSoftware) return graph;
  const counts = useCounts(graph);
  const named = new Set([...graph.named.values()].map(({ id }) => id));
  const nextId = freshIds(graph);
  const makers = new Map<number, LinearNode>();
  const norms = new Map<number, NormNode>();
  const statistics = new Map<number, Value>();
  for (const node of graph.nodes) {
    if (isLinear(node) && canMeasure(node)) makers.set(node.output.id, node);
    const [x] = node.inputs.x;
    if (!isNorm(node) || x === undefined || !makers.has(x.id) || named.has(node.output.id))
      continue;
    const { id } = node.output;
    if (!acceptingReaders(graph, counts, id, (reader) => canNormalise(reader, id))) continue;
    norms.set(id, node);
    if (!statistics.has(x.id)) statistics.set(x.id, { id: nextId(), shape: [rowsOf(x), 2] });
  }
  if (norms.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (norms.has(node.output.id)) return [];
    const norm = norms.get(node.inputs.x[0]?.id ?? -1);
    const reader = norm && isLinear(node) ? normalising(node, norm, statistics) : node;
    const rowStatistics = isLinear(node) ? statistics.get(node.output.id) : undefined;
    return [rowStatistics ? { ...reader, rowStatistics } : reader];
  });
  return { ...graph, nodes };
}

function normalising(
  reader: LinearNode,
  { op, inputs }: NormNode,
  statistics: ReadonlyMap<number, Value>,
): Node {
  const [read] = reader.inputs.x as readonly [Value];
  const [source] = inputs.x as readonly [Value];
  const { gamma, beta, eps } = op;
  return {
    ...reader,
    op: { ...reader.op, layerNorm: { gamma, beta, eps } },
    inputs: {
      ...reader.inputs,
      x: [{ id: source.id, shape: read.shape }],
      rowStatistics: statistics.get(source.id) as Value,
    },
  };
}

function canMeasure({ op, output, statistics }: LinearNode): boolean {
  return !op.geglu && statistics === undefined && rowPartials(channelsOf(output)) !== null;
}

/** Whether `reader` reads the value once, as its only main input, with room for the operands of the norm. */
function canNormalise(reader: Node, id: number): boolean {
  const { inputs } = reader;
  if (!isLinear(reader) || inputs.norm || inputs.residual || inputs.channelAdd) return false;
  return inputs.x.length === 1 && nodeInputs(reader).filter((x) => x.id === id).length === 1;
}

function isLinear(node: Node): node is LinearNode {
  return node.op.kind === "linear";
}

function isNorm(node: Node): node is NormNode {
  return node.op.kind === "layerNorm";
}
