import type { LinearProblem } from "../../kernels/contraction/linear.ts";
import { linear } from "../../kernels/contraction/linear.ts";
import { rowStatisticsByteLength } from "../../kernels/contraction/tile-statistics.ts";
/** Lowering of LayerNorm: in the loads of a linear layer where maker and reader are tiled, else as a step before it. */
import { layerNorm } from "../../kernels/norm/layer-norm.ts";
import type { Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, rowsOf } from "../ir/ir.ts";
import type { LowerContext, Step } from "./step.ts";
import { variantAlsoSupporting, makeStep, value, weight } from "./step.ts";

/** A problem that also takes statistics of its rows, if the node wants them and its variant has them. */
export function withRowStatistics(
  { rowStatistics, output }: Node,
  problem: LinearProblem,
  context: LowerContext,
): { readonly problem: LinearProblem; readonly operands: Step["operands"] } {
  const measured: LinearProblem = {
    ...problem,
    epilogue: { ...problem.epilogue, statistics: "rows" },
  };
  if (
    rowStatistics === undefined ||
    variantAlsoSupporting(linear, problem, measured, context) === null
  ) {
    return { problem, operands: {} };
  }
  context.rowStatistics.add(rowStatistics.id);
  const byteLength = rowStatisticsByteLength(rowsOf(output), channelsOf(output));
  context.byteLengths.set(rowStatistics.id, byteLength);
  return { problem: measured, operands: { row_stats_out: value(rowStatistics) } };
}

/** A problem whose x is normalised: while it is loaded, or by `steps` before it. */
export function withLayerNorm(
  node: Node,
  { layerNorm: norm }: Extract<Op, { kind: "linear" }>,
  problem: LinearProblem,
  operands: Step["operands"],
  context: LowerContext,
): {
  readonly problem: LinearProblem;
  readonly operands: Step["operands"];
  readonly steps: readonly Step[];
} {
  const { x, rowStatistics } = node.inputs;
  if (norm === null || rowStatistics === undefined) return { problem, operands, steps: [] };
  const { gamma, beta, eps } = norm;
  const onLoad = { ...problem, layerNorm: { eps } };
  const vectors = { gamma: weight(gamma), beta: weight(beta) };
  if (
    context.rowStatistics.has(rowStatistics.id) &&
    variantAlsoSupporting(linear, problem, onLoad, context) !== null
  ) {
    const statistics = { ...vectors, row_stats: value(rowStatistics) };
    return { problem: onLoad, operands: { ...operands, ...statistics }, steps: [] };
  }
  const [source] = x as readonly [Value];
  const normed = { id: context.freshId(), shape: source.shape };
  context.byteLengths.set(normed.id, context.byteLengths.get(source.id) ?? 0);
  const { dtype, rows } = problem;
  const step = makeStep(
    node,
    context,
    layerNorm,
    { dtype, rows, channels: channelsOf(source), eps },
    { ...vectors, x: value(source), y: value(normed) },
  );
  return { problem, operands: { ...operands, x0: value(normed) }, steps: [step] };
}
