/** Everything about running a graph that can be known without a GPU: fused, lowered, laid out in memory. */
import type { Caps } from "../gpu/caps.ts";
import { ShapeError } from "../gpu/shape.ts";
import type { Graph, Value, Weight } from "./ir/ir.ts";
import { graphWeights } from "./ir/ir.ts";
import type { LoweredGraph, Step } from "./lowering/lower.ts";
import { lower } from "./lowering/lower.ts";
import type { Lifetime, MemoryPlan } from "./memory-plan.ts";
import { planMemory } from "./memory-plan.ts";
import type { PassName } from "./passes/passes.ts";
import { optimize } from "./passes/passes.ts";

/** Where the queries or keys of an attention node are: a range of the channels of a value. */
export interface AttentionOperand {
  /** The value that holds it, possibly with others. */
  readonly value: Value;
  /** Its first channel there. */
  readonly offset: number;
  /** Its channels, of all heads. */
  readonly channels: number;
  /** Heads among which the channels are divided. */
  readonly numHeads: number;
}

/** How a graph is planned. */
export interface PlanOptions {
  /** Module paths whose outputs stay readable after a run, e.g. `down_blocks.0.resnets.0`. */
  readonly captures?: readonly string[];
  /** Module paths of attention nodes whose queries and keys stay readable, as results `<path>.q` and `<path>.k`. */
  readonly attentions?: readonly string[];
  /** Passes to leave out. */
  readonly without?: readonly PassName[];
  /** Counts values that cannot be stored as they are: see `FAULTS`. Needs `ProgramOptions.faults`. Default false. */
  readonly countsFaults?: boolean;
}

/** A graph lowered for a device: kernels, memory and weights, all without a GPU. */
export interface GraphPlan {
  /** The graph after all passes. */
  readonly graph: Graph;
  /** In execution order. */
  readonly steps: readonly Step[];
  /** Bytes of every value, by id. */
  readonly byteLengths: ReadonlyMap<number, number>;
  /** Values that must stay readable after the run, by name: outputs and captures. */
  readonly results: ReadonlyMap<string, Value>;
  /** The operands of `attentions` by result name. Other layers may have their channels in the same values. */
  readonly attentionOperands: ReadonlyMap<string, AttentionOperand>;
  /** Where values lie. */
  readonly memory: MemoryPlan;
  /** From when to when each value is needed, in steps. */
  readonly lifetimes: readonly Lifetime[];
  /** Ids in `memory.slotOf` of a step's scratch buffers, by step index and name. */
  readonly scratchIds: readonly Readonly<Record<string, number>>[];
  /** What must be loaded before a run. */
  readonly weights: readonly Weight[];
}

/** Plans `graph` for a device described by `given`. Throws `ShapeError` for an unknown capture. */
export function planGraph(graph: Graph, given: Caps, options: PlanOptions = {}): GraphPlan {
  const caps = options.countsFaults === true ? { ...given, countsFaults: true } : given;
  const captured = new Map<string, Value>();
  for (const path of options.captures ?? []) {
    const value = graph.named.get(path);
    if (value === undefined) {
      const known = [...graph.named.keys()];
      throw new ShapeError(
        `graph: nothing is named "${path}". Captures: ${known.slice(0, 12).join(", ")}${known.length > 12 ? " …" : ""}`,
      );
    }
    captured.set(path, value);
  }
  // Only captured names block fusion.
  const optimized = optimize({ ...graph, named: captured }, options.without, caps);
  const lowered = lower(optimized, caps);
  const attentionOperands = attentionOperandsOf(optimized, options.attentions ?? []);
  const results = new Map<string, Value>([
    ...optimized.outputs,
    ...captured,
    ...[...attentionOperands].map(([name, { value }]) => [name, value] as const),
  ]);
  const { lifetimes, scratchIds } = lifetimesOf(lowered, results);
  return {
    graph: optimized,
    steps: lowered.steps,
    byteLengths: lowered.byteLengths,
    results,
    attentionOperands,
    memory: planMemory(lifetimes),
    lifetimes,
    scratchIds,
    weights: graphWeights(optimized),
  };
}

/** Finds the operands after the passes. Captures, which come before, would keep their layers from being stacked. */
function attentionOperandsOf(
  { nodes }: Graph,
  paths: readonly string[],
): Map<string, AttentionOperand> {
  const operands = new Map<string, AttentionOperand>();
  for (const path of paths) {
    const node = nodes.find(({ op, path: at }) => op.kind === "attention" && at === path);
    if (node?.op.kind !== "attention") {
      throw new ShapeError(`graph: no attention is named "${path}"`);
    }
    const { numHeads, headDim, offsets } = node.op;
    (["q", "k"] as const).forEach((name, i) => {
      const value = node.inputs.x[i] as Value;
      const channels = numHeads * headDim;
      operands.set(`${path}.${name}`, { value, offset: offsets[i] as number, channels, numHeads });
    });
  }
  return operands;
}

function lifetimesOf(
  { graph, steps, byteLengths }: LoweredGraph,
  results: ReadonlyMap<string, Value>,
): { lifetimes: Lifetime[]; scratchIds: Record<string, number>[] } {
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  for (const { id } of graph.inputs.values()) first.set(id, 0);
  steps.forEach((step, index) => {
    for (const operand of Object.values(step.operands)) {
      if (operand.kind !== "value") continue;
      if (!first.has(operand.id)) first.set(operand.id, index);
      last.set(operand.id, index);
    }
  });
  for (const { id } of results.values()) last.set(id, steps.length);
  const lifetimes: Lifetime[] = [];
  for (const [id, firstStep] of first) {
    lifetimes.push({
      id,
      byteLength: byteLengths.get(id) ?? 0,
      firstStep,
      lastStep: last.get(id) ?? firstStep,
    });
  }
  // Scratch lives within its step; negative ids keep it apart from graph values.
  let nextId = -1;
  const scratchIds = steps.map((step, index) => {
    const ids: Record<string, number> = {};
    for (const { name, byteLength } of step.plan.scratch) {
      ids[name] = nextId;
      lifetimes.push({ id: nextId--, byteLength, firstStep: index, lastStep: index });
    }
    return ids;
  });
  return { lifetimes, scratchIds };
}
