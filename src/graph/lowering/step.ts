/** What lowering makes, and what the lowering of every node needs. */
import type { Caps } from "../../gpu/caps.ts";
import type { Cost, Kernel, KernelPlan } from "../../kernels/kernel.ts";
import type { Statistics, ChannelsPerEntry } from "../../kernels/norm/channel-stats.ts";
import { chooseVariant } from "../../kernels/variant-choice.ts";
import type { Graph, Node, Value, Weight } from "../ir/ir.ts";

/** What an operand of a kernel is bound to. */
export type OperandSource =
  | { readonly kind: "value"; readonly id: number }
  | { readonly kind: "weight"; readonly weight: Weight }
  /** The bias of a layer that has none: `byteLength` bytes of zeros. */
  | { readonly kind: "zeros"; readonly byteLength: number };

/** One kernel plan with its operands. A node lowers to one or more steps. */
export interface Step {
  /** The node that it is part of. */
  readonly node: Node;
  /** Name of the kernel. */
  readonly kernel: string;
  /** Its dispatches. */
  readonly plan: KernelPlan;
  /** Its work. */
  readonly cost: Cost;
  /** What each operand is bound to, by the kernel's name for it. */
  readonly operands: Readonly<Record<string, OperandSource>>;
  /** What `kernel` was planned for: plain data, typed by the kernel. */
  readonly problem?: unknown;
  /** Where a variant was asked for: its name, and why the step runs another one. */
  readonly requested?: { readonly variant: string; readonly refusal?: string };
}

export interface LowerContext {
  readonly graph: Graph;
  readonly caps: Caps;
  readonly byteLengths: Map<number, number>;
  /** Row statistics that are there: the layer that makes the rows writes them. */
  readonly rowStatistics: Set<number>;
  /** An id for a value between the steps of one node. */
  readonly freshId: () => number;
  /** Where the statistics that a value stands for are, and how they count pixels. */
  readonly statistics: Map<number, PlacedStatistics>;
  /** The buffer of all statistics that epilogues write: one, so that a kernel which reads some and writes others binds it. */
  readonly epilogueStatistics: { readonly id: number; byteLength: number };
  /** Of statistics: the channels that an entry may have, for the norms that read them. */
  readonly channelsPerEntry: ReadonlyMap<number, ChannelsPerEntry>;
  /** GroupNorms whose scale and shift are no step yet: all their readers may merge the statistics themselves. */
  readonly pendingNorms: Map<number, Node>;
}

export interface PlacedStatistics {
  /** Id of the value that holds them. */
  readonly buffer: number;
  /** Where they are in it. */
  readonly place: Statistics;
}

export const value = ({ id }: Pick<Value, "id">): OperandSource => ({ kind: "value", id });
export const weight = (w: Weight): OperandSource => ({ kind: "weight", weight: w });

/**
 * The variant that is chosen for `problem`, if it can also do what `extended` adds to it; else null. It is chosen
 * without, as it was measured.
 */
export function variantAlsoSupporting<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  extended: P,
  { caps }: LowerContext,
): V | null {
  const { variant } = chooseVariant(kernel, problem, caps);
  return (kernel.refusal?.(extended, caps, variant) ?? null) === null ? variant : null;
}

/** The step of a node that runs `kernel` on `problem`, in the variant that is asked for or fits. */
export function makeStep<P, V extends string>(
  node: Node,
  { caps }: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
): Step {
  const { variant, requested, refusal } = chooseVariant(kernel, problem, caps);
  return {
    node,
    kernel: kernel.name,
    plan: kernel.plan(problem, caps, variant),
    cost: kernel.cost(problem),
    operands,
    problem,
    ...(requested !== undefined && {
      requested: { variant: requested, ...(refusal !== undefined && { refusal }) },
    }),
  };
}
