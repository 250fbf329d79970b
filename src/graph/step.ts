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
}

/** Forces a kernel's variant, by kernel name; for oracle runs and measurements. */
export type VariantChoice = Readonly<Record<string, string>>;

export interface LowerContext {
  readonly graph: Graph;
  readonly caps: Caps;
  readonly variants: VariantChoice;
  readonly byteLengths: Map<number, number>;
  readonly splits: Map<number, { readonly splits: number; readonly pixels: number }>;
}

export const value = ({ id }: Value): OperandSource => ({ kind: "value", id });
export const weight = (w: Weight): OperandSource => ({ kind: "weight", weight: w });

/** The step of a node that runs `kernel` on `problem`, in the variant that is forced or fits. */
export function makeStep<P, V extends string>(
  node: Node,
  { caps, variants }: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
): Step {
  const forced = variants[kernel.name] as V | undefined;
  const fits = forced !== undefined && kernel.variants.includes(forced);
  return {
    node,
    kernel: kernel.name,
    plan: fits ? kernel.plan(problem, caps, forced) : kernel.plan(problem, caps),
    cost: kernel.cost(problem),
    operands,
  };
}
