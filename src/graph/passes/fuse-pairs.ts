/** What most passes share: who reads a value, and a node that takes over the work of the node before it. */
import type { Graph, Node, Value } from "../ir/ir.ts";
import { idsOf, nodeInputs } from "../ir/ir.ts";

/** How often each value id is read, counting graph outputs. */
export function useCounts(graph: Graph): Map<number, number> {
  const counts = new Map<number, number>();
  const count = ({ id }: Value): void => void counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const node of graph.nodes) nodeInputs(node).forEach(count);
  for (const value of graph.outputs.values()) count(value);
  return counts;
}

/** The readers of value `id`, if there are some and each `accepts` it; else null. `counts` are those of `useCounts`. */
export function acceptingReaders(
  graph: Graph,
  counts: ReadonlyMap<number, number>,
  id: number,
  accepts: (reader: Node) => boolean,
): readonly Node[] | null {
  const readers = graph.nodes.filter((reader) => nodeInputs(reader).some((x) => x.id === id));
  const accepting = readers.filter(accepts);
  // `counts` also has reads as graph output, and as second operand of one reader: with these the numbers differ.
  return accepting.length > 0 && accepting.length === counts.get(id) ? readers : null;
}

/**
 * Fuses pairs of nodes. A pair qualifies when the consumer alone reads the producer's output, and no capture names that
 * value. `merge` returns the fused node, or null to leave the pair. It takes the consumer's place, where all operands
 * exist.
 */
export function fusePairs(
  graph: Graph,
  merge: (producer: Node, consumer: Node) => Node | null,
): Graph {
  const counts = useCounts(graph);
  const named = idsOf(graph.named);
  const producers = new Map<number, Node>();
  const removed = new Set<Node>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    let current = node;
    for (const input of nodeInputs(node)) {
      const producer = producers.get(input.id);
      if (producer === undefined || removed.has(producer)) continue;
      if (counts.get(input.id) !== 1 || named.has(input.id)) continue;
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
