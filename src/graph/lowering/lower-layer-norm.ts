/**
 * Lowering of LayerNorm that pass `layer-norm-on-load` has moved into a linear layer. It stays there if the layer that
 * makes the rows and the layer that reads them are tiled; else it is a step before the reader.
 */
import type { LinearProblem } from "../../kernels/contraction/linear.ts";
import { linear } from "../../kernels/contraction/linear.ts";
import { rowStatisticsByteLength } from "../../kernels/contraction/tile-statistics.ts";
import { layerNorm } from "../../kernels/norm/layer-norm.ts";
import type { Node, Value } from "../ir/ir.ts";
import { channelsOf, rowsOf } from "../ir/ir.ts";
import type { LinearOp } from "../passes/contraction-problem.ts";
import type { Draft, LowerContext } from "./step.ts";
import { makeStep, value, variantAlsoSupporting, weight } from "./step.ts";

/** A draft that also takes statistics of its rows, if the node wants them and its variant can. */
export function withRowStatistics(
  { rowStatistics, output }: Node,
  draft: Draft<LinearProblem>,
  context: LowerContext,
): Draft<LinearProblem> {
  const { problem, operands, steps } = draft;
  const measured: LinearProblem = {
    ...problem,
    epilogue: { ...problem.epilogue, statistics: "rows" },
  };
  if (
    rowStatistics === undefined ||
    variantAlsoSupporting(linear, problem, measured, context) === null
  ) {
    return draft;
  }
  context.rowStatistics.add(rowStatistics.id);
  const byteLength = rowStatisticsByteLength(rowsOf(output), channelsOf(output));
  context.byteLengths.set(rowStatistics.id, byteLength);
  return {
    problem: measured,
    operands: { ...operands, row_stats_out: value(rowStatistics) },
    steps,
  };
}

/** A draft whose x is normalised: while it is loaded, or by a step before it. */
export function withLayerNorm(
  node: Node,
  { layerNorm: norm }: LinearOp,
  draft: Draft<LinearProblem>,
  context: LowerContext,
): Draft<LinearProblem> {
  const { problem, operands, steps } = draft;
  const { x, rowStatistics } = node.inputs;
  if (norm === null || rowStatistics === undefined) return draft;
  const { gamma, beta, eps } = norm;
  const onLoad = { ...problem, layerNorm: { eps } };
  const vectors = { gamma: weight(gamma), beta: weight(beta) };
  if (
    context.rowStatistics.has(rowStatistics.id) &&
    variantAlsoSupporting(linear, problem, onLoad, context) !== null
  ) {
    const statistics = { ...vectors, row_stats: value(rowStatistics) };
    return { problem: onLoad, operands: { ...operands, ...statistics }, steps };
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
  return { problem, operands: { ...operands, x0: value(normed) }, steps: [...steps, step] };
}
