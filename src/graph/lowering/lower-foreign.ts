/** Lowering of kernels that an embedder brings. Their operands are bound by name, so the names are checked here. */
import { ShapeError } from "../../gpu/shape.ts";
import type { ForeignOp, Node } from "../ir/ir.ts";
import type { LowerContext, OperandSource, Step } from "./step.ts";
import { makeStep, value, weight } from "./step.ts";

/** The step of a foreign kernel. Throws `ShapeError` unless its dispatches use just the operands that it is given. */
export function lowerForeign(node: Node, op: ForeignOp, context: LowerContext): Step {
  const operands: Record<string, OperandSource> = { [op.outputName]: value(node.output) };
  op.inputNames.forEach((name, i) => {
    const input = node.inputs.x[i];
    if (input) operands[name] = value(input);
  });
  for (const [name, parameter] of Object.entries(op.weights)) operands[name] = weight(parameter);
  const step = makeStep(node, context, op.kernel, op.problem, operands);
  checkOperands(step, op.outputName);
  return step;
}

function checkOperands({ kernel, plan, operands }: Step, outputName: string): void {
  const scratch = new Set(plan.scratch.map(({ name }) => name));
  const used = plan.dispatches.flatMap((dispatch) => dispatch.operands);
  const bound = Object.keys(operands);
  for (const { name, access } of used) {
    if (!Object.hasOwn(operands, name) && !scratch.has(name)) {
      throw new ShapeError(
        `${kernel}: operand "${name}" must be bound, got ${bound.join(", ")}. Name it among inputs or weights`,
      );
    }
    // Others may read the same value or weight, before or after.
    if (access === "read_write" && name !== outputName && !scratch.has(name)) {
      throw new ShapeError(
        `${kernel}: only the output "${outputName}" and scratch may be written, got "${name}". Read it instead`,
      );
    }
  }
  const unused = bound.filter((name) => !used.some((operand) => operand.name === name));
  if (unused.length > 0) {
    throw new ShapeError(
      `${kernel}: every operand must be used, got ${unused.join(", ")} too. Check the names`,
    );
  }
}
