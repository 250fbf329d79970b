/**
 * Passes `stack-projections` and `stack-shifts`: linear layers over one input become one. Each reader takes its window
 * of the common rows by offset and stride, without copies. The weights are stacked along the output axis at load.
 * Stacked are:
 *
 * - Q, K and V of self-attention,
 * - K and V of all cross-attention layers, which see the same visual tokens,
 * - the projections of the time embedding that every resnet adds to its channels.
 */
import { dtypeByteLength } from "../../gpu/dtype.ts";
import type { Graph, Node, NodeOf, Value, Weight } from "../ir/ir.ts";
import { channelsOf, freshIds, idsOf, isNodeOf, nodeInputs, rowsOf } from "../ir/ir.ts";
import { weightByteLength } from "../weights/weight-layout.ts";

/**
 * The most bytes of a stacked weight: what every WebGPU device can bind. It is no device's own limit, because the layouts
 * of weights must be the same on all devices. Where layouts depend on the size of the image, a model loads both.
 */
const MAX_BYTES = 128 * 1024 * 1024;

type LinearNode = NodeOf<"linear">;

/** A kind of node that can read a window of a stack. */
interface Reader {
  /** Whether `node` reads the value `id` as such a window, and in no other way. */
  readonly reads: (node: Node, id: number) => boolean;
  readonly throughWindows: (node: Node, windows: ReadonlyMap<number, Window>) => Node;
  /** The most bytes of a stack's rows; no limit by default. */
  readonly mostBytes?: number;
}

/**
 * Stacks what only attention reads. The VAE's attention has one head over all pixels of the image. There three matrices in
 * one binding reach the limit of a binding at a third of the image size, so that beyond it they stay apart.
 */
export function stackProjections(graph: Graph): Graph {
  const throughWindows: Reader["throughWindows"] = (node, windows) =>
    isNodeOf(node, "attention") ? attending(node, windows) : node;
  const multiHead: Reader = {
    reads: (node) => isNodeOf(node, "attention") && node.op.numHeads > 1,
    throughWindows,
  };
  const oneHead: Reader = {
    reads: (node) => isNodeOf(node, "attention") && node.op.numHeads === 1,
    throughWindows,
    mostBytes: MAX_BYTES,
  };
  return stackLinears(stackLinears(graph, multiHead), oneHead);
}

/** Stacks what convolutions add to their channels. Runs after the addition has become an epilogue. */
export function stackShifts(graph: Graph): Graph {
  return stackLinears(graph, {
    reads: (node, id) =>
      isNodeOf(node, "conv2d", "linear") &&
      node.inputs.channelAdd?.id === id &&
      nodeInputs(node).filter((x) => x.id === id).length === 1,
    throughWindows: (node, windows) =>
      isNodeOf(node, "conv2d", "linear") ? shifted(node, windows) : node,
  });
}

function stackLinears(graph: Graph, reader: Reader): Graph {
  const windows = new Map<number, Window>();
  const stacks = new Map<Node, Node>();
  const removed = new Set<Node>();
  const nextId = freshIds(graph);
  for (const group of groups(graph, reader)) {
    const [first] = group as [LinearNode];
    const channels = group.reduce((sum, { output }) => sum + channelsOf(output), 0);
    const output: Value = {
      id: nextId(),
      shape: [...first.output.shape.slice(0, -1), channels],
    };
    let offset = 0;
    for (const node of group) {
      windows.set(node.output.id, { id: output.id, channels, offset });
      offset += channelsOf(node.output);
      removed.add(node);
    }
    const weight = stacked(
      group.map(({ op }) => op.weight),
      "stacked-matrix",
    );
    const biases = group.flatMap(({ op }) => op.bias ?? []);
    const bias = biases.length > 0 ? stacked(biases, "stacked-vector") : null;
    stacks.set(first, { ...first, op: { ...first.op, weight, bias }, output });
  }
  if (stacks.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const stack = stacks.get(node);
    if (stack) return [stack];
    if (removed.has(node)) return [];
    return [reader.throughWindows(node, windows)];
  });
  return { ...graph, nodes };
}

/** Where a former value lies in a stacked one. */
interface Window {
  readonly id: number;
  readonly channels: number;
  readonly offset: number;
}

function attending(node: NodeOf<"attention">, windows: ReadonlyMap<number, Window>): Node {
  const offsets = [...node.op.offsets] as [number, number, number];
  const x = node.inputs.x.map((value, index): Value => {
    const window = windows.get(value.id);
    if (window === undefined) return value;
    offsets[index] = window.offset;
    return { id: window.id, shape: [...value.shape.slice(0, -1), window.channels] };
  });
  return { ...node, op: { ...node.op, offsets }, inputs: { ...node.inputs, x } };
}

function shifted(node: NodeOf<"conv2d" | "linear">, windows: ReadonlyMap<number, Window>): Node {
  const { channelAdd } = node.inputs;
  const window = channelAdd && windows.get(channelAdd.id);
  if (channelAdd === undefined || window === undefined) return node;
  return {
    ...node,
    op: { ...node.op, channelAddOffset: window.offset },
    inputs: {
      ...node.inputs,
      channelAdd: { id: window.id, shape: [...channelAdd.shape.slice(0, -1), window.channels] },
    },
  };
}

/** Layers to stack, in the order of the graph, two or more each. */
function groups(graph: Graph, { reads, mostBytes = Infinity }: Reader): LinearNode[][] {
  const kept = idsOf(graph.outputs, graph.named);
  const readers = new Map<number, Node[]>();
  for (const node of graph.nodes) {
    for (const { id } of nodeInputs(node)) readers.set(id, [...(readers.get(id) ?? []), node]);
  }
  const open = new Map<string, LinearNode[]>();
  const all: LinearNode[][] = [];
  for (const node of graph.nodes) {
    if (!isPlainLinear(node) || kept.has(node.output.id)) continue;
    if (channelsOf(node.output) % 4 !== 0) continue; // windows are whole quads
    const { id } = node.output;
    if (!(readers.get(id) ?? []).every((reader) => reads(reader, id))) continue;
    const [x] = node.inputs.x as readonly [Value];
    const key = `${x.id} [${x.shape}] ${node.op.bias !== null} ${node.op.weight.storage}`;
    const group = open.get(key);
    if (group && weightBytes([...group, node], graph) <= MAX_BYTES) {
      group.push(node);
    } else {
      const fresh = [node];
      open.set(key, fresh);
      all.push(fresh);
    }
  }
  return all.filter((group) => group.length > 1 && rowBytes(group, graph) <= mostBytes);
}

function isPlainLinear(node: Node): node is LinearNode {
  if (!isNodeOf(node, "linear")) return false;
  const { op, inputs } = node;
  if (op.activation !== "none" || op.geglu || op.weight.layout !== "matrix") return false;
  return inputs.x.length === 1 && !inputs.residual && !inputs.channelAdd;
}

function weightBytes(group: readonly LinearNode[], { dtype }: Graph): number {
  return group.reduce((sum, { op }) => sum + weightByteLength(op.weight, dtype), 0);
}

/** Bytes of the rows that a stack makes. */
function rowBytes(group: readonly LinearNode[], { dtype }: Graph): number {
  return group.reduce(
    (sum, { output }) => sum + rowsOf(output) * channelsOf(output) * dtypeByteLength(dtype),
    0,
  );
}

function stacked(members: readonly Weight[], layout: "stacked-matrix" | "stacked-vector"): Weight {
  const [first] = members as readonly [Weight];
  const rows = members.reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0);
  const name = `${first.name} and ${members.length - 1} more`;
  return { ...first, name, shape: [rows, ...first.shape.slice(1)], layout, members };
}
