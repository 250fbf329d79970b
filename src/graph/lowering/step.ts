/** What lowering makes (`Step`), and what the lowering of every node shares (`LowerContext`). */
import type { Caps } from "../../gpu/caps.ts";
import type { Cost, Kernel, KernelPlan } from "../../kernels/kernel.ts";
import type { Statistics, ChannelsPerEntry } from "../../kernels/norm/channel-stats.ts";
import { chooseVariant } from "../../kernels/variant-choice.ts";
import type { Graph, Node, NodeOf, Value, Weight } from "../ir/ir.ts";

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
  /** The variant that the caller requested, if any, and why the step runs another one. */
  readonly requested?: { readonly variant: string; readonly refusal?: string };
}

/** What is known so far while the nodes are lowered in order. */
export interface LowerContext {
  readonly graph: Graph;
  readonly caps: Caps;
  /** Bytes of values by id, of those that are not plain activations. */
  readonly byteLengths: Map<number, number>;
  /** Values of row statistics that a step writes. The others have no step that could, and their readers do without. */
  readonly rowStatistics: Set<number>;
  /** An id for a value between the steps of one node. */
  readonly freshId: () => number;
  /** Where the channel statistics of a map are, by the id of the graph's value for them. */
  readonly statistics: Map<number, PlacedStatistics>;
  /**
   * One buffer for all channel statistics that epilogues write, grown node by node. A convolution may read statistics of
   * its input and write those of its output: with one buffer it has one binding for both.
   */
  readonly epilogueStatistics: { readonly id: number; byteLength: number };
  /** By id of a value of statistics: the most channels of an entry that all GroupNorms which read it can take. */
  readonly channelsPerEntry: ReadonlyMap<number, ChannelsPerEntry>;
  /**
   * GroupNorms without a step for their scale and shift, by the id of these. All their readers may merge the statistics
   * themselves. The first reader that cannot adds the step and takes the norm off this list.
   */
  readonly pendingNorms: Map<number, NodeOf<"groupNormAffine">>;
}

/** Where statistics are, and how they count pixels. */
export interface PlacedStatistics {
  /** Id of the value that holds them. */
  readonly buffer: number;
  /** Where they are in it. */
  readonly place: Statistics;
}

/** A convolution or linear layer while it is lowered: its problem and operands so far, and the steps before it. */
export interface Draft<P> {
  readonly problem: P;
  readonly operands: Step["operands"];
  readonly steps: readonly Step[];
}

export const value = ({ id }: Pick<Value, "id">): OperandSource => ({ kind: "value", id });
export const weight = (w: Weight): OperandSource => ({ kind: "weight", weight: w });

/**
 * The variant that is chosen for `problem`, if it can also do what `extended` adds to it; else null. Variants were
 * measured on problems without such additions, so these have no say in the choice.
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

/** The step of a node that runs `kernel` on `problem`, in the requested variant if it can, else in the default one. */
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
