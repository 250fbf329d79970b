/**
 * Lowering of conv2d and linear. A node may ask for more than its product: a norm of what it reads and statistics of
 * what it writes. Each of them is done by the kernel where its variant can, else by a step before or behind it.
 */
import { quadCount } from "../../gpu/shape.ts";
import { conv2d, conv2dTiledRows } from "../../kernels/contraction/conv2d.ts";
import { linear, linearTiledRows } from "../../kernels/contraction/linear.ts";
import { packedColumnQuads } from "../../kernels/contraction/pack-weight.ts";
import type { Node, Value } from "../ir/ir.ts";
import { channelsOf } from "../ir/ir.ts";
import type { ConvOp, LinearOp } from "../passes/contraction-problem.ts";
import { conv2dProblem, isPointwise, linearProblem } from "../passes/contraction-problem.ts";
import { withMergedNorm } from "./lower-group-norm.ts";
import { withLayerNorm, withRowStatistics } from "./lower-layer-norm.ts";
import { withStatistics } from "./lower-statistics.ts";
import type { LowerContext, Step } from "./step.ts";
import { value, weight } from "./step.ts";

export function lowerConv2d(node: Node, op: ConvOp, context: LowerContext): readonly Step[] {
  const { dtype } = context.graph;
  const operands = operandsOf(node, op, quadCount(channelsOf(node.output)));
  if (isPointwise(op)) {
    const problem = linearProblem(node, op, dtype);
    const draft = withMergedNorm(node, context, linear, { problem, operands, steps: [] });
    return withStatistics(node, context, linear, draft, linearTiledRows(problem));
  }
  const problem = conv2dProblem(node, op, dtype);
  const draft = withMergedNorm(node, context, conv2d, { problem, operands, steps: [] });
  return withStatistics(node, context, conv2d, draft, conv2dTiledRows(problem));
}

export function lowerLinear(node: Node, op: LinearOp, context: LowerContext): readonly Step[] {
  const problem = linearProblem(node, op, context.graph.dtype);
  const operands = operandsOf(node, op, packedColumnQuads(problem.outChannels, op.geglu));
  const normed = withLayerNorm(node, op, { problem, operands, steps: [] }, context);
  const measured = withRowStatistics(node, normed, context);
  const draft = withMergedNorm(node, context, linear, measured);
  return withStatistics(node, context, linear, draft, linearTiledRows(problem));
}

function operandsOf(
  { inputs, output }: Node,
  { weight: matrix, bias }: ConvOp | LinearOp,
  columnQuads: number,
): Step["operands"] {
  const numbered = (name: string, sources: readonly Value[] = []) =>
    Object.fromEntries(sources.map((source, i) => [`${name}${i}`, value(source)]));
  return {
    ...numbered("x", inputs.x),
    weight: weight(matrix),
    bias: bias ? weight(bias) : { kind: "zeros", byteLength: columnQuads * 16 },
    ...(inputs.channelAdd && { channel_add: value(inputs.channelAdd) }),
    ...(inputs.residual && { residual: value(inputs.residual) }),
    ...numbered("shortcut", inputs.shortcut),
    ...(inputs.norm && { norm: value(inputs.norm) }),
    y: value(output),
  };
}
