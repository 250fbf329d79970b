/** How much of a call's progress each stage is, by its work. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import type { Geometry } from "../images/geometry.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage, RunStage } from "../settings/options.ts";
import { tiledArea, unetTiles } from "../tiles/tiling.ts";

/** Share of a call's progress for each of preprocessing and colour fix, whose work is no network's. */
const FIXED_SHARE = 0.01;
/** Latent side of the small map on which the stages' work is counted. */
const UNIT_LATENT_SIDE = 8;

/** Flops of each network on the small map. */
export type UnitWork = Readonly<Record<NetworkStage, number>>;

/** Flops of each stage on a small map. Convolutions dominate, so scaling by area is close enough. */
export function measureUnitWork(configs: ModelConfigs, caps: Caps, dtype: DType): UnitWork {
  const side = UNIT_LATENT_SIDE * vaeFactor(configs.vae);
  const graphs = stageGraphs(configs, side, side, dtype);
  const flops = (graph: Graph): number =>
    planGraph(graph, caps).steps.reduce((sum, { cost }) => sum + cost.flops, 0);
  return {
    tokens: flops(graphs.tokens),
    encode: flops(graphs.encode) + (graphs.estimator ? flops(graphs.estimator) : 0),
    unet: flops(graphs.unet),
    decode: flops(graphs.decode),
  };
}

/**
 * Work of each stage as a share of the call; the shares add up to 1. The UNet runs at each of `timesteps`, the decoder for each
 * of `results`.
 */
export function workShares(
  { tokens, ...perImage }: UnitWork,
  { workHeight, workWidth }: Geometry,
  configs: ModelConfigs,
  timesteps: number,
  results: number,
  reference: boolean,
): ReadonlyMap<RunStage, number> {
  const factor = vaeFactor(configs.vae);
  const [width, height] = [workWidth / factor, workHeight / factor];
  const scale = (width * height) / UNIT_LATENT_SIDE ** 2;
  const tiles = unetTiles(width, height, configs, reference);
  const unetRuns = timesteps * (tiles ? tiledArea(tiles) / (width * height) : 1);
  const work: [RunStage, number][] = [
    ["tokens", tokens],
    ["encode", scale * perImage.encode],
    ["unet", scale * perImage.unet * unetRuns],
    ["decode", scale * perImage.decode * results],
  ];
  const total = work.reduce((sum, [, amount]) => sum + amount, 0);
  return new Map<RunStage, number>([
    ["preprocess", FIXED_SHARE],
    ...work.map(([stage, amount]): [RunStage, number] => [
      stage,
      (1 - 2 * FIXED_SHARE) * (amount / total),
    ]),
    ["color", FIXED_SHARE],
  ]);
}
