/** What lowering makes, and what the lowering of every node needs. */
import type { Caps } from "../gpu/caps.ts";
import type { Cost, Kernel, KernelPlan } from "../kernels/kernel.ts";
import type { Graph, Node, Value, Weight } from "./ir.ts";

/** What an operand of a kernel is bound to. */
export type OperandSource =
  | { readonly kind: "value"; readonly id: number }
  | { readonly kind: "weight"; readonly weight: Weight }
  /** The bias of a layer that has none: `byteLength` bytes of zeros. */
  | { readonly kind: "zeros"; readonly byteLength: number };

/** One kernel plan with its operands. A node lowers to one or more steps. */
export interface Step {
  readonly node: Node;
  readonly kernel: string;
  readonly plan: KernelPlan;
  readonly cost: Cost;
  readonly operands: Readonly<Record<string, OperandSource>>;
}

/** Forces a kernel's variant, by kernel name; for oracle runs and measurements. */
export type VariantChoice = Readonly<Record<string, string>>;

export interface LowerContext {
  readonly graph: Graph;
  readonly caps: Caps;
  readonly variants: VariantChoice;
  readonly byteLengths: Map<number, number>;
  /** Row statistics that are there: the layer that makes the rows writes them. */
  readonly rowStatistics: Set<number>;
  /** An id for a value between the steps of one node. */
  readonly freshId: () => number;
  readonly splits: Map<number, { readonly splits: number; readonly pixels: number }>;
}

export const value = ({ id }: Value): OperandSource => ({ kind: "value", id });
export const weight = (w: Weight): OperandSource => ({ kind: "weight", weight: w });

/** The variant that `makeStep` will plan: the forced one, or the one that fits. */
export function variantOf<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  { caps, variants }: LowerContext,
): V {
  const forced = variants[kernel.name] as V | undefined;
  const fits = forced !== undefined && kernel.variants.includes(forced);
  return fits ? forced : kernel.select(problem, caps);
}

/** The step of a node that runs `kernel` on `problem`, in the variant that is forced or fits. */
export function makeStep<P, V extends string>(
  node: Node,
  context: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
): Step {
  return {
    node,
    kernel: kernel.name,
    plan: kernel.plan(problem, context.caps, variantOf(kernel, problem, context)),
    cost: kernel.cost(problem),
    operands,
  };
}
