/**
 * Where a network in tiles is cut into segments: at every GroupNorm, for whose statistics the tiles wait for each other. And
 * what a tile keeps while it waits: of a map only what the rest of the network will look at. Pure numbers.
 */
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { paddedChannels } from "../../gpu/shape.ts";
import type { Graph, NodeOf, Op, Value } from "../../graph/ir/ir.ts";
import { channelsOf, isNodeOf, nodeInputs } from "../../graph/ir/ir.ts";
import type { GraphPlan } from "../../graph/plan.ts";
import type { Box } from "./tiling.ts";
import type { Tile } from "./vae-tiles.ts";

/** Passes left out of plans for tiles: each GroupNorm needs a statistics step of its own, which counts only some pixels. */
export const TILED_WITHOUT = ["share-statistics", "statistics-in-epilogue"] as const;

/** A map that a tile needs behind a cut. */
export interface WaitingMap extends Value {
  /** Its pixels per pixel of the tile along a side. */
  readonly scale: number;
  /** How far around the tile's core the rest of the network looks at it, in its pixels. */
  readonly reach: number;
  /** Bytes of a pixel. */
  readonly pixelBytes: number;
}

/** The end of a segment. */
export interface Cut {
  /** The step of the GroupNorm, which no tile runs. */
  readonly step: number;
  readonly norm: NodeOf<"groupNormAffine">;
  /** The step of its statistics, where these lie, and the map that they are of. */
  readonly statsStep: number;
  readonly stats: Value;
  readonly map: Value;
  /** Pixels of the map per pixel of the tile along a side. */
  readonly scale: number;
  readonly waiting: readonly WaitingMap[];
}

/** The cuts of a plan with one input, a map. */
export function cutsOf(plan: GraphPlan): readonly Cut[] {
  const { graph, steps, lifetimes } = plan;
  const [input] = graph.inputs.values();
  const scaleOf = ({ shape }: Value): number => (shape[1] as number) / (input?.shape[1] ?? 1);
  const reaches = reachesOf(graph);
  const maps = new Map<number, Value>();
  // What a node makes as tokens may be read as a map.
  for (const value of graph.nodes.flatMap((node) => [node.output, ...nodeInputs(node)]))
    if (value.shape.length === 4) maps.set(value.id, value);
  const waitingAt = (cut: number): WaitingMap[] =>
    lifetimes
      .filter(({ firstStep, lastStep }) => firstStep < cut && lastStep > cut)
      .map(({ id }) => {
        const map = maps.get(id);
        if (map === undefined) throw new Error(`internal: value ${id} that waits is no map`);
        const pixelBytes = paddedChannels(channelsOf(map)) * dtypeByteLength(graph.dtype);
        return { ...map, scale: scaleOf(map), reach: reaches.get(id) ?? 0, pixelBytes };
      });
  return steps.flatMap(({ node }, step): Cut[] => {
    if (!isNodeOf(node, "groupNormAffine")) return [];
    const [stats] = node.inputs.x;
    const statsStep = steps.findIndex((other) => other.node.output.id === stats?.id);
    const map = steps[statsStep]?.node.inputs.x[0];
    if (!stats || !map) throw new Error("internal: a GroupNorm without statistics");
    const scale = scaleOf(map);
    return [{ step, norm: node, statsStep, stats, map, scale, waiting: waitingAt(step) }];
  });
}

/** How far around a core the results look at each value, in its own pixels; an upper bound for strided layers. */
function reachesOf({ nodes, outputs }: Graph): ReadonlyMap<number, number> {
  const reaches = new Map<number, number>();
  for (const { id } of outputs.values()) reaches.set(id, 0);
  for (const node of nodes.toReversed()) {
    const reach = reaches.get(node.output.id) ?? 0;
    for (const value of nodeInputs(node)) {
      const isWindow = node.inputs.x.includes(value);
      const looked = isWindow ? reachOfInput(node.op, reach) : reach;
      reaches.set(value.id, Math.max(looked, reaches.get(value.id) ?? 0));
    }
  }
  return reaches;
}

function reachOfInput(op: Op, reach: number): number {
  if (op.kind === "upsampleNearest") return Math.ceil(reach / 2);
  if (op.kind !== "conv2d") return reach;
  const size = Math.max(...op.kernelSize) - 1;
  if (op.upsample) return Math.ceil((reach + size / 2) / 2);
  return op.stride === 1 ? reach + Math.ceil(size / 2) : op.stride * reach + size;
}

/** The counted pixels of a tile in one of its maps, which has `scale` pixels per pixel of the tile along a side. */
export function countedBox({ input, counted }: Tile, scale: number): Box {
  const at = (position: number, from: number): number => Math.round((position - from) * scale);
  return {
    x0: at(counted.x0, input.x0),
    x1: at(counted.x1, input.x0),
    y0: at(counted.y0, input.y0),
    y1: at(counted.y1, input.y0),
  };
}

/** Number of pixels in a rectangle. */
export const boxPixels = ({ x0, x1, y0, y1 }: Box): number => (x1 - x0) * (y1 - y0);

/** What a tile keeps of one of its maps: its core and what is looked at around it. */
export function keptBox(tile: Tile, { scale, reach }: WaitingMap): Box {
  const core = countedBox(tile, scale);
  const all = countedBox({ ...tile, counted: tile.input }, scale);
  return {
    x0: Math.max(0, core.x0 - reach),
    x1: Math.min(all.x1, core.x1 + reach),
    y0: Math.max(0, core.y0 - reach),
    y1: Math.min(all.y1, core.y1 + reach),
  };
}

/** Most bytes that tiles keep while they wait. `cuts` are those of one tile: maps of the others differ by their size. */
export function mostWaitingBytes(cuts: readonly Cut[], tiles: readonly Tile[]): number {
  let most = 0;
  let before: number[] = tiles.map(() => 0);
  for (const { waiting } of cuts) {
    const bytes = tiles.map((tile) =>
      waiting.reduce((sum, map) => sum + boxPixels(keptBox(tile, map)) * map.pixelBytes, 0),
    );
    // Of each tile there is either what it kept before the last GroupNorm, or what it keeps now.
    most = Math.max(
      most,
      bytes.reduce((sum, now, i) => sum + Math.max(now, before[i] ?? 0), 0),
    );
    before = bytes;
  }
  return most;
}
