/**
 * Rewrites of the graph, each a pure function Graph → Graph that can be switched off by name. All of them
 * are exact up to rounding: fewer stores to the activation dtype, the same arithmetic or less.
 *
 * GroupNorm is three nodes at first: `channelStats`, `groupNormAffine` and `affine`. The passes fuse them into the
 * convolutions around them: statistics into the one before (`statistics-in-epilogue`), scale, shift and SiLU into those
 * behind (`norm-on-load`). What a kernel variant cannot do of this, lowering puts back as a step.
 */
import type { Caps } from "../../gpu/caps.ts";
import { BASELINE_CAPS } from "../../gpu/caps.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";
import type { Graph, Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, idsOf, nodeInputs } from "../ir/ir.ts";
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
  /** What may be rewritten is the same on every adapter. What is faster is not, and depends on `caps`. */
  readonly run: (graph: Graph, caps: Caps) => Graph;
}

/** In execution order. */
export const PASSES: readonly Pass[] = [
  { name: "fold-upsample", run: foldUpsample },
  { name: "stack-projections", run: stackProjections },
  { name: "elide-concat", run: elideConcat },
  { name: "fold-shortcut", run: foldShortcut }, // after elide-concat: the shortcut may read two sources
  { name: "fuse-norm-activation", run: fuseNormActivation },
  { name: "fuse-epilogue", run: fuseEpilogue },
  { name: "stack-shifts", run: stackShifts }, // after fuse-epilogue: only an epilogue reads a window
  { name: "share-statistics", run: shareStatistics }, // after elide-concat: each source has statistics of its own
  { name: "statistics-in-epilogue", run: statisticsInEpilogue },
  { name: "stack-norms", run: stackNorms },
  { name: "norm-on-load", run: normOnLoad }, // late: its choice depends on the final readers
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

/** The step of GroupNorm that applies scale and shift also applies the SiLU behind it. */
function fuseNormActivation(graph: Graph): Graph {
  return fusePairs(graph, (producer, consumer) => {
    if (producer.op.kind !== "affine" || producer.op.activation !== "none") return null;
    const activation = plainActivation(consumer.op);
    if (activation !== "silu") return null;
    return { ...producer, op: { kind: "affine", activation }, output: consumer.output };
  });
}

/**
 * conv2d and linear take over the channel add, activation, residual add or GEGLU behind them; a slice of channels
 * takes over the scale behind it.
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
    if (inputs.residual || inputs.shortcut) return null;
    const { op: next, output } = consumer;
    // The epilogue's order is fixed: channel add, activation, residual.
    if (isPlainAdd(next) && consumer.inputs.x.length === 2) {
      const [a, b] = consumer.inputs.x as readonly [Value, Value];
      if (a.id === b.id) return null;
      const residual = a.id === producer.output.id ? b : a;
      return { ...producer, inputs: { ...inputs, residual }, output };
    }
    if (op.activation !== "none") return null;
    const activation = plainActivation(next);
    if (activation !== null) return { ...producer, op: { ...op, activation }, output };
    if (inputs.channelAdd) return null;
    const { x, channelAdd } = consumer.inputs;
    if (next.kind === "channelAdd" && channelAdd && x[0]?.id === producer.output.id) {
      return { ...producer, inputs: { ...inputs, channelAdd }, output };
    }
    if (next.kind === "geglu" && op.kind === "linear") {
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
function plainActivation(op: Op): Exclude<Activation, "none"> | null {
  if (op.kind !== "elementwise" || op.scaleA !== 1 || op.scaleB !== 0) return null;
  return op.activation === "none" ? null : op.activation;
}

/** Scale of an elementwise node that does nothing else, or null. */
function plainScale(op: Op): number | null {
  if (op.kind !== "elementwise" || op.scaleB !== 0 || op.activation !== "none") return null;
  return op.scaleA;
}

function isPlainAdd(op: Op): boolean {
  if (op.kind !== "elementwise" || op.activation !== "none") return false;
  return op.scaleA === 1 && op.scaleB === 1;
}

/**
 * Pass `elide-concat`: a concatenation whose readers can all take two sources is not made. The first source must have
 * whole quads; else the copy stays.
 */
function elideConcat(graph: Graph): Graph {
  const kept = idsOf(graph.outputs, graph.named);
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
  const statsOf = new Map<number, readonly Value[]>();
  for (const node of graph.nodes) {
    const [first] = node.inputs.x;
    const sources = first && replaced.get(first.id);
    if (replaced.has(node.output.id)) continue;
    if (node.op.kind === "groupNormAffine" && first && statsOf.has(first.id)) {
      nodes.push({ ...node, inputs: { x: statsOf.get(first.id) ?? [] } });
    } else if (!sources) {
      nodes.push(node);
    } else if (node.op.kind === "channelStats") {
      const stats = sources.map((source): Value => {
        const output = {
          id: nextId(),
          shape: [node.output.shape[0] as number, channelsOf(source)],
        };
        nodes.push({ ...node, inputs: { x: [source] }, output });
        return output;
      });
      statsOf.set(node.output.id, stats);
    } else {
      nodes.push({
        ...node,
        inputs: { ...node.inputs, x: [...sources, ...node.inputs.x.slice(1)] },
      });
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
