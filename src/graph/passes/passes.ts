/**
 * Rewrites of the graph, each a pure function Graph → Graph that can be switched off by name. All of them
 * are exact up to rounding: fewer stores to the activation dtype, the same arithmetic or less.
 */
import type { Caps } from "../../gpu/caps.ts";
import { BASELINE_CAPS } from "../../gpu/caps.ts";
import type { Graph, Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, nodeInputs } from "../ir/ir.ts";
import { foldShortcut } from "./fold-shortcut.ts";
import { foldUpsample } from "./fold-upsample.ts";
import { fusePairs } from "./fuse-pairs.ts";
import { layerNormOnLoad } from "./layer-norm-on-load.ts";
import { normOnLoad } from "./norm-on-load.ts";
import { stackProjections, stackShifts } from "./stack-projections.ts";
import { shareStatistics, stackNorms, statisticsInEpilogue } from "./statistics.ts";

/** The rewrites of a graph, by name; docs/architecture.md says what each does. */
export type PassName =
  | "fold-upsample"
  | "stack-projections"
  | "elide-concat"
  | "fold-shortcut"
  | "fuse-norm-activation"
  | "fuse-epilogue"
  | "share-statistics"
  | "statistics-in-epilogue"
  | "stack-shifts"
  | "stack-norms"
  | "norm-on-load"
  | "layer-norm-on-load";

interface Pass {
  readonly name: PassName;
  /** `caps`: what pays is not the same on every adapter; what may be rewritten is. */
  readonly run: (graph: Graph, caps: Caps) => Graph;
}

/** In execution order. */
export const PASSES: readonly Pass[] = [
  { name: "fold-upsample", run: foldUpsample },
  { name: "stack-projections", run: stackProjections },
  { name: "elide-concat", run: elideConcat },
  { name: "fold-shortcut", run: foldShortcut }, // after elide-concat: the shortcut may read two parts
  { name: "fuse-norm-activation", run: fuseNormActivation },
  { name: "fuse-epilogue", run: fuseEpilogue },
  { name: "stack-shifts", run: stackShifts }, // after fuse-epilogue: only an epilogue reads a window
  { name: "share-statistics", run: shareStatistics }, // after elide-concat: parts have statistics of their own
  { name: "statistics-in-epilogue", run: statisticsInEpilogue },
  { name: "stack-norms", run: stackNorms },
  { name: "norm-on-load", run: normOnLoad }, // last: the readers are what they will be
  { name: "layer-norm-on-load", run: layerNormOnLoad },
];

/** Runs every pass except those in `without`, for a device described by `caps`. */
export function optimize(
  graph: Graph,
  without: readonly PassName[] = [],
  caps: Caps = BASELINE_CAPS,
): Graph {
  return PASSES.reduce((g, pass) => (without.includes(pass.name) ? g : pass.run(g, caps)), graph);
}

/** GroupNorm followed by an activation: the activation moves into the apply kernel. */
function fuseNormActivation(graph: Graph): Graph {
  return fusePairs(graph, (producer, consumer) => {
    if (producer.op.kind !== "affine" || producer.op.activation !== "none") return null;
    const activation = plainActivation(consumer.op);
    if (activation !== "silu") return null;
    return { ...producer, op: { kind: "affine", activation }, output: consumer.output };
  });
}

/**
 * conv2d and linear take over a following channel add, activation, residual add, or GEGLU; a slice of channels
 * takes over a scale.
 */
function fuseEpilogue(graph: Graph): Graph {
  return fusePairs(graph, (producer, consumer) => {
    const { op, inputs } = producer;
    if (op.kind === "sliceChannels") {
      const scale = plainScale(consumer.op);
      if (scale === null || op.scale !== 1 || op.clamp !== null) return null;
      return { ...producer, op: { ...op, scale }, output: consumer.output };
    }
    if (op.kind !== "conv2d" && op.kind !== "linear") return null;
    if (op.kind === "linear" && op.geglu) return null;
    const fresh = inputs.residual === undefined && inputs.shortcut === undefined;
    const next = consumer.op;
    const output = consumer.output;
    // The epilogue's order is fixed: channel add, activation, residual.
    if (next.kind === "channelAdd" && consumer.inputs.x[0]?.id === producer.output.id) {
      if (!fresh || op.activation !== "none" || inputs.channelAdd || !consumer.inputs.channelAdd)
        return null;
      return { ...producer, inputs: { ...inputs, channelAdd: consumer.inputs.channelAdd }, output };
    }
    const activation = plainActivation(next);
    if (activation !== null && fresh && op.activation === "none") {
      return { ...producer, op: { ...op, activation }, output };
    }
    if (
      next.kind === "elementwise" &&
      fresh &&
      isPlainAdd(next) &&
      consumer.inputs.x.length === 2
    ) {
      const [a, b] = consumer.inputs.x as readonly [Value, Value];
      if (a.id === b.id) return null;
      const residual = a.id === producer.output.id ? b : a;
      return { ...producer, inputs: { ...inputs, residual }, output };
    }
    if (
      next.kind === "geglu" &&
      op.kind === "linear" &&
      fresh &&
      op.activation === "none" &&
      !inputs.channelAdd
    ) {
      return {
        ...producer,
        op: {
          ...op,
          geglu: true,
          weight: { ...op.weight, layout: "geglu-matrix" },
          bias: op.bias && { ...op.bias, layout: "geglu-vector" },
        },
        output,
      };
    }
    return null;
  });
}

/** Activation of an elementwise node that does nothing else, or null. */
function plainActivation(op: Op): "silu" | "gelu" | "quick_gelu" | "relu" | null {
  if (op.kind !== "elementwise" || op.scaleA !== 1 || op.scaleB !== 0) return null;
  return op.activation === "none" ? null : op.activation;
}

/** Scale of an elementwise node that does nothing else, or null. */
function plainScale(op: Op): number | null {
  if (op.kind !== "elementwise" || op.scaleB !== 0 || op.activation !== "none") return null;
  return op.scaleA;
}

function isPlainAdd(op: Extract<Op, { kind: "elementwise" }>): boolean {
  return op.scaleA === 1 && op.scaleB === 1 && op.activation === "none";
}

/**
 * A concatenation whose readers can all take two sources is not materialised. Only when the first part is
 * made of whole quads; else the copy stays.
 */
function elideConcat(graph: Graph): Graph {
  const kept = new Set([...graph.outputs.values(), ...graph.named.values()].map(({ id }) => id));
  const replaced = new Map<number, readonly [Value, Value]>();
  for (const node of graph.nodes) {
    if (node.op.kind !== "concat" || kept.has(node.output.id)) continue;
    const [a, b] = node.inputs.x as readonly [Value, Value];
    if (channelsOf(a) % 4 !== 0 || replaced.has(a.id) || replaced.has(b.id)) continue;
    const readers = graph.nodes.filter((reader) =>
      nodeInputs(reader).some(({ id }) => id === node.output.id),
    );
    const isPooled = readers.some(({ output }) =>
      graph.nodes.some(
        ({ op, inputs }) => op.kind === "channelMean" && inputs.x[0]?.id === output.id,
      ),
    );
    if (!isPooled && readers.every((reader) => acceptsTwoSources(reader, node.output.id))) {
      replaced.set(node.output.id, [a, b]);
    }
  }
  if (replaced.size === 0) return graph;
  const nodes: Node[] = [];
  const nextId = freshIds(graph);
  const statsOf = new Map<number, readonly [Value, Value]>();
  for (const node of graph.nodes) {
    const [first] = node.inputs.x;
    const parts = first && replaced.get(first.id);
    if (replaced.has(node.output.id)) continue;
    if (node.op.kind === "groupNormAffine" && first && statsOf.has(first.id)) {
      nodes.push({ ...node, inputs: { x: statsOf.get(first.id) as readonly Value[] } });
    } else if (!parts) {
      nodes.push(node);
    } else if (node.op.kind === "channelStats") {
      const stats = parts.map((part): Value => {
        const output: Value = {
          id: nextId(),
          shape: [node.output.shape[0] as number, channelsOf(part)],
        };
        nodes.push({ ...node, inputs: { x: [part] }, output });
        return output;
      });
      statsOf.set(node.output.id, stats as unknown as readonly [Value, Value]);
    } else {
      nodes.push({ ...node, inputs: { ...node.inputs, x: [...parts, ...node.inputs.x.slice(1)] } });
    }
  }
  return { ...graph, nodes };
}

function acceptsTwoSources(node: Node, id: number): boolean {
  const { kind } = node.op;
  if (node.inputs.residual?.id === id || node.inputs.channelAdd?.id === id) return false;
  if (node.inputs.x[0]?.id !== id || node.inputs.x.slice(1).some((x) => x.id === id)) return false;
  return kind === "conv2d" || kind === "linear" || kind === "channelStats" || kind === "affine";
}
