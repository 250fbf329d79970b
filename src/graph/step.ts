/** What lowering makes, and what the lowering of every node needs. */
import type { Caps } from "../gpu/caps.ts";
import type { Cost, Kernel, KernelPlan } from "../kernels/kernel.ts";
import { finishesTiles } from "../kernels/tile-statistics.ts";
import { chooseVariant } from "../kernels/variant-choice.ts";
import type { Graph, Node, Value, Weight } from "./ir.ts";

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
  readonly asked?: { readonly variant: string; readonly refusal?: string };
}

export interface LowerContext {
  readonly graph: Graph;
  readonly caps: Caps;
  readonly byteLengths: Map<number, number>;
  /** Row statistics that are there: the layer that makes the rows writes them. */
  readonly rowStatistics: Set<number>;
  /** An id for a value between the steps of one node. */
  readonly freshId: () => number;
  readonly splits: Map<number, { readonly splits: number; readonly pixels: number }>;
}

export const value = ({ id }: Value): OperandSource => ({ kind: "value", id });
export const weight = (w: Weight): OperandSource => ({ kind: "weight", weight: w });

/** The variant that `makeStep` will plan: the one that is asked for, or the one that fits. */
function variantOf<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  { caps }: LowerContext,
): V {
  return chooseVariant(kernel, problem, caps).variant;
}

/**
 * Whether `problem` runs in tiles by choice, and as such can also do what `extended` adds to it: the variant is
 * chosen without, as it was measured.
 */
export function canExtendTiled<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  extended: P,
  context: LowerContext,
): boolean {
  const variant = variantOf(kernel, problem, context);
  return finishesTiles(variant) && !kernel.refusal?.(extended, context.caps, variant);
}

/** The step of a node that runs `kernel` on `problem`, in the variant that is asked for or fits. */
export function makeStep<P, V extends string>(
  node: Node,
  { caps }: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
): Step {
  const { variant, asked, refusal } = chooseVariant(kernel, problem, caps);
  return {
    node,
    kernel: kernel.name,
    plan: kernel.plan(problem, caps, variant),
    cost: kernel.cost(problem),
    operands,
    problem,
    ...(asked !== undefined && {
      asked: { variant: asked, ...(refusal !== undefined && { refusal }) },
    }),
  };
}
