/** What a call takes on the device, planned without running anything: to draw it, or to know whether it fits. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import type { Geometry } from "../images/geometry.ts";
import { estimatorGraph } from "../networks/degradation.ts";
import { decoderGraph, encoderGraph, unetGraph } from "../networks/graphs.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import type { VaeConfig } from "../settings/config.ts";
import { clipTokens, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage } from "../settings/options.ts";
import { latentTiling } from "../tiles/tiling.ts";
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
   * How often it runs: 1, or the number of tiles. With tiles, everything here is of one run on the largest tile. For a
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
  /** Size that the networks see. */
  readonly workWidth: number;
  /** Rows that the networks see. */
  readonly workHeight: number;
  /** In the order in which they run. */
  readonly networks: readonly NetworkPlan[];
  /** Slots that the networks share one after another: slot i is as large as the largest slot i. */
  readonly poolSlotBytes: readonly number[];
}

/** A network of a call. */
interface NetworkRuns extends Pick<NetworkPlan, "stage" | "name" | "runs"> {
  readonly graph: Graph;
}

/** Plans the networks for an image of this size. `tile` as in the options of a call. */
export function planCall(
  configs: ModelConfigs,
  size: { readonly width: number; readonly height: number },
  geometry: Geometry,
  dtype: DType,
  caps: Caps,
  tile?: number,
): CallPlan {
  const { workWidth, workHeight, outWidth, outHeight } = geometry;
  const whole = stageGraphs(configs, workHeight, workWidth, dtype);
  const once = (stage: NetworkStage, name: string, graph: Graph | undefined): NetworkRuns[] =>
    graph ? [{ stage, name, graph, runs: 1 }] : [];
  const vae = (kind: VaeKind): NetworkRuns => {
    const options = tile === undefined ? {} : { tile };
    const side = chooseVaeTile(configs.vae, caps, dtype, kind, workHeight, workWidth, options);
    return side
      ? vaeTile(configs.vae, kind, workHeight, workWidth, side, dtype)
      : { stage: kind, name: kind, graph: whole[kind], runs: 1 };
  };
  const { degradation } = configs;
  const estimator = degradation ? estimatorGraph(degradation, size.height, size.width) : undefined;
  const networks = [
    ...once("tokens", "tokens", whole.tokens),
    ...once("encode", "degradation", estimator),
    ...once("encode", "modulation", whole.modulation),
    vae("encode"),
    ...once("encode", "mem", whole.mem),
    unetTile(configs, geometry, dtype) ?? {
      stage: "unet",
      name: "unet",
      graph: whole.unet,
      runs: 1,
    },
    vae("decode"),
  ].map(({ graph, ...network }: NetworkRuns): NetworkPlan => {
    const plan = planGraph(graph, caps);
    const [steps, values] = [plannedSteps(plan), plannedValues(plan)];
    return { ...network, ...summarizeGraph(plan), steps, values };
  });
  const poolSlotBytes: number[] = [];
  for (const { slotBytes } of networks) {
    slotBytes.forEach((bytes, i) => (poolSlotBytes[i] = Math.max(poolSlotBytes[i] ?? 0, bytes)));
  }
  return { outWidth, outHeight, workWidth, workHeight, networks, poolSlotBytes };
}

/** The UNet on its tiles, or null where it runs on the whole map. */
function unetTile(
  { unet, vae, clip, rcod }: ModelConfigs,
  { workWidth, workHeight }: Geometry,
  dtype: DType,
): NetworkRuns | null {
  const factor = vaeFactor(vae);
  const { tile, overlap } = rcod.latentTiles;
  const tiling = latentTiling(workWidth / factor, workHeight / factor, tile, overlap);
  return (
    tiling && {
      stage: "unet",
      name: "unet",
      graph: unetGraph(unet, tiling.tile, tiling.tile, clipTokens(clip), dtype),
      runs: tiling.xStarts.length * tiling.yStarts.length,
    }
  );
}

/** The VAE on its largest tile, margins included. */
function vaeTile(
  vae: VaeConfig,
  kind: VaeKind,
  workHeight: number,
  workWidth: number,
  side: number,
  dtype: DType,
): NetworkRuns {
  const factor = vaeFactor(vae);
  const map =
    kind === "encode"
      ? { width: workWidth, height: workHeight }
      : { width: workWidth / factor, height: workHeight / factor };
  const tiles = exactVaeTiles(vae, kind, map, side);
  const width = Math.max(...tiles.map(({ input }) => input.x1 - input.x0));
  const height = Math.max(...tiles.map(({ input }) => input.y1 - input.y0));
  const graphOf = kind === "encode" ? encoderGraph : decoderGraph;
  const graph = graphOf(vae, height, width, dtype);
  return { stage: kind, name: kind, graph, runs: tiles.length };
}
