/** A planned graph in figures: its work, its steps, and which value lies where and when. */
import type { GraphPlan } from "../../graph/plan.ts";

/** What a graph takes. */
export interface GraphSummary {
  readonly flops: number;
  readonly dispatches: number;
  /** Distinct shaders. */
  readonly pipelines: number;
  /** Bytes of the activation slots, largest first. */
  readonly slotBytes: readonly number[];
  readonly activationBytes: number;
  /** Largest sum of live values at any step. */
  readonly peakLiveBytes: number;
  /** Largest value that one binding holds. */
  readonly largestBindingBytes: number;
}

/** A step of a graph, in order. */
export interface PlannedStep {
  /** The module path. */
  readonly label: string;
  /** Name of its kernel. */
  readonly kernel: string;
  /** The variant that is chosen. */
  readonly variant: string;
  /** Dispatches of it. */
  readonly dispatches: number;
  /** Floating-point operations of it. */
  readonly flops: number;
  /** Read and written, each operand once. */
  readonly bytes: number;
}

/** A value in its slot. */
export interface PlannedValue {
  /** The input's name, the path of the module that makes it, or the path and name of a kernel's scratch. */
  readonly label: string;
  /** Bytes of it. */
  readonly byteLength: number;
  /** Index in `slotBytes`. */
  readonly slot: number;
  /** Steps between which it must survive, inclusive; one past the last step for results. */
  readonly firstStep: number;
  /** The last step that reads it; see `firstStep`. */
  readonly lastStep: number;
}

export function summarizeGraph({ steps, memory }: GraphPlan): GraphSummary {
  const dispatches = steps.flatMap((step) => step.plan.dispatches);
  return {
    flops: steps.reduce((sum, { cost }) => sum + cost.flops, 0),
    dispatches: dispatches.length,
    pipelines: new Set(dispatches.map(({ code }) => code)).size,
    slotBytes: memory.slotByteLengths,
    activationBytes: memory.totalBytes,
    peakLiveBytes: memory.peakLiveBytes,
    largestBindingBytes: Math.max(...memory.slotByteLengths),
  };
}

export function plannedSteps({ steps }: GraphPlan): PlannedStep[] {
  return steps.map(({ node, kernel, plan, cost }) => ({
    label: node.path,
    kernel,
    variant: plan.variant,
    dispatches: plan.dispatches.length,
    flops: cost.flops,
    bytes: cost.bytesRead + cost.bytesWritten,
  }));
}

/** All values and scratch buffers, in the order in which they come to life. */
export function plannedValues(plan: GraphPlan): PlannedValue[] {
  const labels = valueLabels(plan);
  return plan.lifetimes
    .map(({ id, byteLength, firstStep, lastStep }) => ({
      label: labels.get(id) ?? "",
      byteLength,
      slot: plan.memory.slotOf.get(id) ?? -1,
      firstStep,
      lastStep,
    }))
    .toSorted((a, b) => a.firstStep - b.firstStep);
}

function valueLabels({ graph, steps, scratchIds }: GraphPlan): ReadonlyMap<number, string> {
  const labels = new Map<number, string>();
  for (const { output, path } of graph.nodes) labels.set(output.id, path);
  for (const [name, { id }] of graph.inputs) labels.set(id, name);
  scratchIds.forEach((ids, index) => {
    for (const [name, id] of Object.entries(ids))
      labels.set(id, `${steps[index]?.node.path ?? ""} ${name}`);
  });
  // What lowering adds: statistics, and rows that are normalised in a step of their own.
  for (const { node, operands } of steps)
    for (const [name, source] of Object.entries(operands))
      if (source.kind === "value" && !labels.has(source.id))
        labels.set(source.id, `${node.path} ${name}`);
  return labels;
}
