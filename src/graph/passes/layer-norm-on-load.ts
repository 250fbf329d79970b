/**
 * Pass `layer-norm-on-load`: the linear layers that read normalised tokens apply the LayerNorm while they load them. The
 * linear layer that makes the tokens takes the statistics of its rows in its epilogue. It saves a dispatch and a map for
 * each norm. `lowering/lower-layer-norm.ts` puts the norm back as a step where a variant cannot do its share.
 */
import type { Caps } from "../../gpu/caps.ts";
import { rowPartials } from "../../kernels/contraction/tile-statistics.ts";
import type { Graph, Node, NodeOf, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, idsOf, isNodeOf, nodeInputs, rowsOf } from "../ir/ir.ts";
import { acceptingReaders, useCounts } from "./fuse-pairs.ts";

export function layerNormOnLoad(graph: Graph, caps: Caps): Graph {
  // The variants of a software adapter have no tiles whose lanes could take statistics.
  if (caps.isSoftware) return graph;
  const counts = useCounts(graph);
  const named = idsOf(graph.named);
  const nextId = freshIds(graph);
  const makers = new Map<number, NodeOf<"linear">>();
  const norms = new Map<number, NodeOf<"layerNorm">>();
  const statistics = new Map<number, Value>();
  for (const node of graph.nodes) {
    if (isNodeOf(node, "linear") && canMeasure(node)) makers.set(node.output.id, node);
    const [x] = node.inputs.x;
    if (
      !isNodeOf(node, "layerNorm") ||
      x === undefined ||
      !makers.has(x.id) ||
      named.has(node.output.id)
    )
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
    const reader = norm && isNodeOf(node, "linear") ? normalising(node, norm, statistics) : node;
    const rowStatistics = isNodeOf(node, "linear") ? statistics.get(node.output.id) : undefined;
    return [rowStatistics ? { ...reader, rowStatistics } : reader];
  });
  return { ...graph, nodes };
}

function normalising(
  reader: NodeOf<"linear">,
  { op, inputs }: NodeOf<"layerNorm">,
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

function canMeasure({ op, output, statistics }: NodeOf<"linear">): boolean {
  return !op.geglu && statistics === undefined && rowPartials(channelsOf(output)) !== null;
}

/** Whether `reader` reads the value once, as its only main input, with room for the operands of the norm. */
function canNormalise(reader: Node, id: number): boolean {
  const { inputs } = reader;
  if (!isNodeOf(reader, "linear") || inputs.norm || inputs.residual || inputs.channelAdd)
    return false;
  return inputs.x.length === 1 && nodeInputs(reader).filter((x) => x.id === id).length === 1;
}
