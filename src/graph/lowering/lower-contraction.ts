/** Lowering of conv2d and linear. */
import { quadCount } from "../../gpu/shape.ts";
import { conv2d, conv2dTiledRows } from "../../kernels/contraction/conv2d.ts";
import type { LinearProblem } from "../../kernels/contraction/linear.ts";
import { linear, linearTiledRows } from "../../kernels/contraction/linear.ts";
import { packedColumnQuads } from "../../kernels/contraction/pack-weight.ts";
import type { TiledRows } from "../../kernels/contraction/tile-statistics.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Node, Value, Weight } from "../ir/ir.ts";
import { channelsOf } from "../ir/ir.ts";
import type { ConvOp, LinearOp } from "../passes/contraction-problem.ts";
import {
  conv2dProblem,
  isPointwise,
  linearProblem,
  pointwiseProblem,
} from "../passes/contraction-problem.ts";
import { withMergedNorm } from "./lower-group-norm.ts";
import { withLayerNorm, withRowStatistics } from "./lower-layer-norm.ts";
import { withStatistics } from "./lower-statistics.ts";
import type { LowerContext, OperandSource, Step } from "./step.ts";
import { value, weight } from "./step.ts";

export function lowerConv2d(node: Node, op: ConvOp, context: LowerContext): Step[] {
  const { dtype } = context.graph;
  const operands = operandsOf(node, op, quadCount(channelsOf(node.output)));
  if (isPointwise(op)) {
    const problem = pointwiseProblem(node, op, dtype);
    return withNormAndStatistics(
      node,
      context,
      linear,
      problem,
      operands,
      linearTiledRows(problem),
    );
  }
  const problem = conv2dProblem(node, op, dtype);
  return withNormAndStatistics(node, context, conv2d, problem, operands, conv2dTiledRows(problem));
}

export function lowerLinear(node: Node, op: LinearOp, context: LowerContext): Step[] {
  const problem = linearProblem(node, op, context.graph.dtype);
  const operands = operandsOf(node, op, packedColumnQuads(problem.outChannels, op.geglu));
  const normed = withLayerNorm(node, op, problem, operands, context);
  const measured = withRowStatistics(node, normed.problem, context);
  const steps = withNormAndStatistics(
    node,
    context,
    linear,
    measured.problem,
    { ...normed.operands, ...measured.operands },
    linearTiledRows(problem),
  );
  return [...normed.steps, ...steps];
}

/** GroupNorm of what is read, on load, and statistics of what is written. */
function withNormAndStatistics<
  P extends Pick<LinearProblem, "inChannels" | "mergedNorm" | "epilogue">,
  V extends string,
>(
  node: Node,
  context: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
  tiled: TiledRows,
): Step[] {
  const normed = withMergedNorm(node, context, kernel, problem, operands);
  const steps = withStatistics(node, context, kernel, normed.problem, normed.operands, tiled);
  return [...normed.steps, ...steps];
}

function operandsOf(
  { inputs, output }: Node,
  op: ConvOp | LinearOp,
  columnQuads: number,
): Step["operands"] {
  const numbered = (name: string, sources: readonly Value[] = []) =>
    Object.fromEntries(sources.map((source, i) => [`${name}${i}`, value(source)]));
  return {
    ...numbered("x", inputs.x),
    weight: weight(op.weight),
    bias: biasSource(op.bias, columnQuads * 16),
    ...(inputs.channelAdd && { channel_add: value(inputs.channelAdd) }),
    ...(inputs.residual && { residual: value(inputs.residual) }),
    ...numbered("shortcut", inputs.shortcut),
    ...(inputs.norm && { norm: value(inputs.norm) }),
    y: value(output),
  };
}

function biasSource(bias: Weight | null, byteLength: number): OperandSource {
  return bias ? weight(bias) : { kind: "zeros", byteLength };
}
