/** Lowering of the first step of GroupNorm: statistics of their own, or from the kernel that makes the map. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Epilogue } from "../../kernels/contraction/epilogue.ts";
import type { TiledRows } from "../../kernels/contraction/tile-statistics.ts";
import { tileCounts } from "../../kernels/contraction/tile-statistics.ts";
import type { Cost, Kernel, KernelPlan } from "../../kernels/kernel.ts";
import type { PixelRegion, StatisticsRun } from "../../kernels/norm/channel-stats.ts";
import {
  channelStats,
  channelStatsByteLength,
  chooseSplits,
  regionPixels,
} from "../../kernels/norm/channel-stats.ts";
import type { Graph, Node, Value } from "../ir/ir.ts";
import { channelsOf, rowsOf } from "../ir/ir.ts";
import type { LowerContext, PlacedStatistics, Step } from "./step.ts";
import { extendableVariant, makeStep, value } from "./step.ts";

/** The statistics step of a GroupNorm over `region` (default: the whole map) of a map of `shape`. */
export function statsPlan(
  shape: readonly number[],
  dtype: DType,
  caps: Caps,
  region?: PixelRegion,
): {
  readonly plan: KernelPlan;
  readonly cost: Cost;
  readonly splits: number;
  readonly pixels: number;
} {
  const [batch = 1, height = 1, width = 1, channels = 1] = shape;
  const counted = region ?? { y0: 0, y1: height, x0: 0, x1: width };
  const pixels = regionPixels(counted);
  const splits = chooseSplits(pixels, channels, caps);
  const problem = { dtype, batch, height, width, channels, region: counted, splits };
  return {
    plan: channelStats.plan(problem, caps),
    cost: channelStats.cost(problem),
    splits,
    pixels,
  };
}

/** Statistics of the map `x`, into `output`. */
export function statsStep(node: Node, x: Value, output: Value, context: LowerContext): Step {
  const { splits, pixels, ...step } = statsPlan(x.shape, context.graph.dtype, context.caps);
  const batch = x.shape[0] ?? 1;
  context.byteLengths.set(output.id, channelStatsByteLength(batch, splits, channelsOf(output)));
  const place = { splits, pixels, tiles: null, run: 1, first: 0 } as const;
  context.statistics.set(output.id, { buffer: output.id, place });
  const operands = { x: value(x), stats: value(output) };
  return { node, kernel: "channelStats", operands, ...step };
}

/**
 * A convolution or linear layer whose node wants statistics of its output: in its epilogue, where the variant has
 * one for them, or as a step behind it.
 */
export function withStatistics<P extends { readonly epilogue: Epilogue }, V extends string>(
  node: Node,
  context: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
  tiled: TiledRows,
): Step[] {
  const { statistics, output } = node;
  if (statistics === undefined) return [makeStep(node, context, kernel, problem, operands)];
  const run = context.runs.get(statistics.id) ?? 1;
  const { shared } = context;
  const first = shared.byteLength / 4;
  const measured = {
    ...problem,
    epilogue: {
      ...problem.epilogue,
      statistics: "channels" as const,
      statisticsRun: run,
      statisticsFirst: first,
    },
  };
  const variant = extendableVariant(kernel, problem, measured, context);
  const counts = variant === null ? null : tileCounts(variant, tiled);
  if (counts === null) {
    return [
      makeStep(node, context, kernel, problem, operands),
      statsStep(node, asMap(output), statistics, context),
    ];
  }
  shared.byteLength += ceilTo(
    32,
    channelStatsByteLength(1, counts.splits, channelsOf(output), run),
  );
  context.statistics.set(statistics.id, { buffer: shared.id, place: { ...counts, run, first } });
  return [makeStep(node, context, kernel, measured, { ...operands, stats: value(shared) })];
}

/** Tokens as the pixels that they are, in one column. */
function asMap(output: Value): Value {
  const [batch = 1] = output.shape;
  if (output.shape.length === 4) return output;
  return { id: output.id, shape: [batch, rowsOf(output) / batch, 1, channelsOf(output)] };
}

const ceilTo = (unit: number, bytes: number): number => Math.ceil(bytes / unit) * unit;

/** For each value of statistics the longest run of channels that no group of its readers cuts. */
export function statisticsRuns({ nodes }: Graph): Map<number, StatisticsRun> {
  const runs = new Map<number, StatisticsRun>();
  for (const { op, inputs, output } of nodes) {
    const group = op.kind === "groupNormAffine" ? channelsOf(output) / op.numGroups : 1;
    const run = ([4, 2] as const).find((length) => group % length === 0) ?? 1;
    for (const { id } of inputs.x) runs.set(id, Math.min(run, runs.get(id) ?? 4) as StatisticsRun);
  }
  return runs;
}

/** Where the statistics in `stats` are. */
export function knownStatistics(
  stats: Value,
  { statistics }: LowerContext,
  { path }: Node,
): PlacedStatistics {
  const known = statistics.get(stats.id);
  if (known === undefined) throw new Error(`internal: no statistics for ${path}`);
  return known;
}
