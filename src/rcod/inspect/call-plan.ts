/** What a call takes on the device, planned without running anything: to draw it, or to know whether it fits. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import { growSlots } from "../../graph/memory-plan.ts";
import { planGraph } from "../../graph/plan.ts";
import type { Geometry } from "../images/geometry.ts";
import { estimatorGraph } from "../networks/degradation.ts";
import { decoderGraph, encoderGraph, unetGraph } from "../networks/graphs.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import { clipTokens, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage } from "../settings/options.ts";
import { tileCountOf, unetTiles } from "../tiles/tiling.ts";
import { unetBatch } from "../tiles/unet-batch.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import type { VaeKind } from "../tiles/vae-tiles.ts";
import { exactVaeTiles } from "../tiles/vae-tiles.ts";
import type { GraphSummary, PlannedStep, PlannedValue } from "./graph-summary.ts";
import { plannedSteps, plannedValues, summarizeGraph } from "./graph-summary.ts";

/** One network of a call. */
export interface NetworkPlan extends GraphSummary {
  /** The stage that it belongs to. */
  readonly stage: NetworkStage;
  /** "tokens", "encode", "unet", "decode"; "mem", "degradation" and "modulation" where the model has them. */
  readonly name: string;
  /**
   * How often it runs in all: 1, or the number of tiles and regions; of batches of small tiles. With tiles, everything here is of one run on the largest tile. For a
   * tiled VAE it is an upper estimate: half of that network runs once, on the whole map.
   */
  readonly runs: number;
  /** In execution order. */
  readonly steps: readonly PlannedStep[];
  /** All values and scratch buffers. */
  readonly values: readonly PlannedValue[];
}

/** What a call takes, network by network. */
export interface CallPlan {
  /** Columns of the result. */
  readonly outWidth: number;
  /** Rows of the result. */
  readonly outHeight: number;
  /** Size that the networks see at once. */
  readonly workWidth: number;
  /** Rows that the networks see. */
  readonly workHeight: number;
  /** Regions that the picture is computed in; 1 is the whole. The sizes above are of one. */
  readonly regions: number;
  /** In the order in which they run. */
  readonly networks: readonly NetworkPlan[];
  /** Slots that the networks share one after another: slot i is as large as the largest slot i. */
  readonly poolSlotBytes: readonly number[];
}

/** A network of a call. */
interface NetworkRuns extends Pick<NetworkPlan, "stage" | "name" | "runs"> {
  readonly graph: Graph;
}

/**
 * Plans the networks for an image of this size: `size` and the first geometry are those of the whole, the second is that of a
 * region where there are several. `tile` as in the options of a call.
 */
export function planCall(
  configs: ModelConfigs,
  size: { readonly width: number; readonly height: number },
  { outWidth, outHeight }: Geometry,
  { workWidth, workHeight }: Geometry,
  regions: number,
  dtype: DType,
  caps: Caps,
  tile?: number,
): CallPlan {
  const { clip, degradation } = configs;
  const factor = vaeFactor(configs.vae);
  const whole = stageGraphs(configs, workHeight, workWidth, dtype);
  const network = (
    stage: NetworkStage,
    name: string,
    graph: Graph | undefined,
    runs = 1,
  ): NetworkRuns[] => (graph ? [{ stage, name, graph, runs }] : []);
  /** The VAE whole, or on its largest tile, margins included. */
  const vae = (kind: VaeKind): NetworkRuns[] => {
    const options = tile === undefined ? {} : { tile };
    const side = chooseVaeTile(configs.vae, caps, dtype, kind, workHeight, workWidth, options);
    if (side === null) return network(kind, kind, whole[kind]);
    const scale = kind === "encode" ? 1 : 1 / factor;
    const map = { width: workWidth * scale, height: workHeight * scale };
    const tiles = exactVaeTiles(configs.vae, kind, map, side);
    const width = Math.max(...tiles.map(({ input }) => input.x1 - input.x0));
    const height = Math.max(...tiles.map(({ input }) => input.y1 - input.y0));
    const graphOf = kind === "encode" ? encoderGraph : decoderGraph;
    return network(kind, kind, graphOf(configs.vae, height, width, dtype), tiles.length);
  };
  const tiling = unetTiles(workWidth / factor, workHeight / factor, configs, false);
  const { tileHeight, tileWidth } = tiling ?? { tileHeight: 1, tileWidth: 1 };
  const tiles = tileCountOf(tiling);
  const batch = unetBatch(configs.unet, caps, dtype, tileHeight, tileWidth, tiles, 1);
  const unet = tiling
    ? unetGraph(configs.unet, tileHeight, tileWidth, clipTokens(clip), dtype, batch)
    : whole.unet;
  const estimator = degradation ? estimatorGraph(degradation, size.height, size.width) : undefined;
  const networks = [
    ...network("tokens", "tokens", whole.tokens),
    ...network("encode", "degradation", estimator),
    ...network("encode", "modulation", whole.modulation),
    ...vae("encode"),
    ...network("encode", "mem", whole.mem),
    ...network("unet", "unet", unet, tiles / batch),
    ...vae("decode"),
  ].map(({ graph, ...names }): NetworkPlan => {
    const plan = planGraph(graph, caps);
    const [steps, values] = [plannedSteps(plan), plannedValues(plan)];
    const runs = names.stage === "tokens" ? names.runs : names.runs * regions;
    return { ...names, runs, ...summarizeGraph(plan), steps, values };
  });
  const poolSlotBytes: number[] = [];
  for (const { slotBytes } of networks) growSlots(poolSlotBytes, slotBytes);
  return { outWidth, outHeight, workWidth, workHeight, regions, networks, poolSlotBytes };
}
