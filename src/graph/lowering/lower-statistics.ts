/** Lowering of `channelStats`, the first node of a GroupNorm: by the kernel that makes the map, or as a step of its own. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Epilogue } from "../../kernels/contraction/epilogue.ts";
import type { TiledRows } from "../../kernels/contraction/tile-statistics.ts";
import { tileCounts } from "../../kernels/contraction/tile-statistics.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type {
  ChannelsPerEntry,
  PixelRegion,
  Statistics,
} from "../../kernels/norm/channel-stats.ts";
import {
  channelStats,
  channelStatsByteLength,
  choosePartials,
  regionPixels,
} from "../../kernels/norm/channel-stats.ts";
import type { Graph, Node, Value } from "../ir/ir.ts";
import { channelsOf, rowsOf } from "../ir/ir.ts";
import type { Draft, LowerContext, PlacedStatistics, Step } from "./step.ts";
import { makeStep, value, variantAlsoSupporting } from "./step.ts";

/** The statistics step of a GroupNorm over `region` (default: the whole map) of a map of `shape`. */
export function statsPlan(
  shape: readonly number[],
  dtype: DType,
  caps: Caps,
  region?: PixelRegion,
): Pick<Step, "plan" | "cost"> & Pick<Statistics, "partials" | "pixels"> {
  const [batch = 1, height = 1, width = 1, channels = 1] = shape;
  const counted = region ?? { y0: 0, y1: height, x0: 0, x1: width };
  const pixels = regionPixels(counted);
  const partials = choosePartials(pixels, channels, caps);
  const problem = { dtype, batch, height, width, channels, region: counted, partials };
  return {
    plan: channelStats.plan(problem, caps),
    cost: channelStats.cost(problem),
    partials,
    pixels,
  };
}

/** Statistics of the map `x`, into `output`. */
export function statsStep(node: Node, x: Value, output: Value, context: LowerContext): Step {
  const { partials, pixels, ...step } = statsPlan(x.shape, context.graph.dtype, context.caps);
  const batch = x.shape[0] ?? 1;
  context.byteLengths.set(output.id, channelStatsByteLength(batch, partials, channelsOf(output)));
  const place = { partials, pixels, tiles: null, channelsPerEntry: 1, first: 0 } as const;
  context.statistics.set(output.id, { buffer: output.id, place });
  const operands = { x: value(x), stats: value(output) };
  return { node, kernel: "channelStats", operands, ...step };
}

/**
 * The steps of a draft, and with them the statistics of its output if the node wants them: from its epilogue if the
 * variant can, else by a step behind it.
 */
export function withStatistics<P extends { readonly epilogue: Epilogue }, V extends string>(
  node: Node,
  context: LowerContext,
  kernel: Kernel<P, V>,
  { problem, operands, steps }: Draft<P>,
  tiled: TiledRows,
): readonly Step[] {
  const { statistics, output } = node;
  if (statistics === undefined) {
    return [...steps, makeStep(node, context, kernel, problem, operands)];
  }
  const channelsPerEntry = context.channelsPerEntry.get(statistics.id) ?? 1;
  const { epilogueStatistics } = context;
  const first = epilogueStatistics.byteLength / 4;
  const measured: P = {
    ...problem,
    epilogue: {
      ...problem.epilogue,
      statistics: "channels",
      channelsPerEntry,
      statisticsFirst: first,
    },
  };
  const variant = variantAlsoSupporting(kernel, problem, measured, context);
  const counts = variant === null ? null : tileCounts(variant, tiled);
  if (counts === null) {
    const step = makeStep(node, context, kernel, problem, operands);
    return [...steps, step, statsStep(node, asMap(output), statistics, context)];
  }
  epilogueStatistics.byteLength += ceilTo(
    32,
    channelStatsByteLength(1, counts.partials, channelsOf(output), channelsPerEntry),
  );
  context.statistics.set(statistics.id, {
    buffer: epilogueStatistics.id,
    place: { ...counts, channelsPerEntry, first },
  });
  const both = { ...operands, stats: value(epilogueStatistics) };
  return [...steps, makeStep(node, context, kernel, measured, both)];
}

/** Tokens are pixels: as a map they are one column. */
function asMap(output: Value): Value {
  const [batch = 1] = output.shape;
  if (output.shape.length === 4) return output;
  return { id: output.id, shape: [batch, rowsOf(output) / batch, 1, channelsOf(output)] };
}

const ceilTo = (unit: number, bytes: number): number => Math.ceil(bytes / unit) * unit;

/** For each value of statistics the most channels of an entry, such that no group of a reader begins within an entry. */
export function channelsPerEntryOf({ nodes }: Graph): Map<number, ChannelsPerEntry> {
  const most = new Map<number, ChannelsPerEntry>();
  for (const { op, inputs, output } of nodes) {
    const groupChannels = op.kind === "groupNormAffine" ? channelsOf(output) / op.numGroups : 1;
    const fitting = ([4, 2] as const).find((channels) => groupChannels % channels === 0) ?? 1;
    for (const { id } of inputs.x)
      most.set(id, Math.min(fitting, most.get(id) ?? 4) as ChannelsPerEntry);
  }
  return most;
}

/** Where the statistics are that the graph's value `stats` stands for. */
export function knownStatistics(
  stats: Value,
  { statistics }: LowerContext,
  { path }: Node,
): PlacedStatistics {
  const known = statistics.get(stats.id);
  if (known === undefined) throw new Error(`internal: no statistics for ${path}`);
  return known;
}
