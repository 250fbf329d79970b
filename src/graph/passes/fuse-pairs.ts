/** What most passes are made of: a node that takes over the work of the node before it. */
import type { Graph, Node, Value } from "../ir/ir.ts";
import { nodeInputs } from "../ir/ir.ts";

/** How often each value id is read, counting graph outputs. */
export function useCounts(graph: Graph): Map<number, number> {
  const counts = new Map<number, number>();
  const count = ({ id }: Value): void => void counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const node of graph.nodes) nodeInputs(node).forEach(count);
  for (const value of graph.outputs.values()) count(value);
  return counts;
}

/** The readers of value `id` where it has some and each `accepts` it; null otherwise. `counts` are `useCounts`. */
export function acceptingReaders(
  graph: Graph,
  counts: ReadonlyMap<number, number>,
  id: number,
  accepts: (reader: Node) => boolean,
): readonly Node[] | null {
  const readers = graph.nodes.filter((reader) => nodeInputs(reader).some((x) => x.id === id));
  const accepting = readers.filter(accepts);
  // A graph output counts as a read, and so does a second operand of one reader.
  return accepting.length > 0 && accepting.length === counts.get(id) ? readers : null;
}

/**
 * Replaces pairs (producer, consumer) where the consumer is the only reader of the producer's output and
 * the value carries no capture name that a pass would lose. `merge` returns the fused node (placed at the
 * consumer, where all operands exist) or null.
 */
export function fusePairs(
  graph: Graph,
  merge: (producer: Node, consumer: Node) => Node | null,
): Graph {
  const counts = useCounts(graph);
  const namedIds = new Set([...graph.named.values()].map(({ id }) => id));
  const producers = new Map<number, Node>();
  const removed = new Set<Node>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    let current = node;
    for (const input of nodeInputs(node)) {
      const producer = producers.get(input.id);
      if (producer === undefined || removed.has(producer)) continue;
      if (counts.get(input.id) !== 1 || namedIds.has(input.id)) continue;
      const fused = merge(producer, current);
      if (fused !== null) {
        removed.add(producer);
        current = fused;
        break;
      }
    }
    nodes.push(current);
    producers.set(current.output.id, current);
  }
  return { ...graph, nodes: nodes.filter((node) => !removed.has(node)) };
}
