/** What a call should take: its work, region by region and tile by tile, at the pace of this device. */
import type { Gpu } from "../../gpu/device.ts";
import type { Geometry } from "../images/geometry.ts";
import type { Inspector } from "../inspect/inspector.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { RegionPlan } from "../tiles/region-plan.ts";
import { orderedRegions, readRectangle, regionCount } from "../tiles/region-plan.ts";
import { unetTiles } from "../tiles/tiling.ts";
import type { CallWork, WorkOfCalls } from "./call-work.ts";
import { runsOfMask } from "./call-work.ts";
import { Forecast } from "./forecast.ts";
import type { Rates } from "./rates.ts";

/** A call, as far as its time depends on it. */
export interface ForeseenCall {
  readonly context: {
    readonly gpu: Gpu;
    readonly configs: ModelConfigs;
    /** What is looked into takes longer. */
    readonly inspector?: Inspector;
  };
  readonly options: UpscaleOptions;
  readonly size: { readonly width: number; readonly height: number };
  /** Of a region, or of the whole picture. */
  readonly geometry: Geometry;
  /** One for each result. */
  readonly settings?: { readonly bases: readonly unknown[] };
  /** Of the whole picture, in latents. */
  readonly mask: 0 | 1 | Float32Array;
  /** How many are finished, and how many are looked at before. */
  readonly inRegions?: {
    readonly plan: RegionPlan;
    readonly done: number;
    readonly samples: number;
  };
}

export function foresee(work: WorkOfCalls, rates: Rates, call: ForeseenCall): Forecast {
  const { gpu, inspector } = call.context;
  return new Forecast(foreseenWork(work, call), rates, {
    waitedMs: () => gpu.pipelines.waitedMs,
    done: call.inRegions?.done ?? 0,
    teaches: inspector === undefined,
  });
}

export function foreseenWork(work: WorkOfCalls, call: ForeseenCall): CallWork {
  const { geometry, options, inRegions } = call;
  const { plan, samples = 0 } = inRegions ?? {};
  const regions = regionCount(plan ?? null);
  const results = call.settings?.bases.length ?? 1;
  const runs = results * unetRuns(call);
  return work.of({ geometry, options, unetRuns: runs, results, regions, samples });
}

/** How often the UNet runs on a tile, on average. */
function unetRuns({
  context,
  geometry,
  mask,
  options,
  size,
  inRegions: regions,
}: ForeseenCall): number {
  const { realismMask } = options;
  if (regions) {
    if (realismMask === undefined) return 1;
    const { data, width, height } = realismMask;
    const [across, down] = [width / size.width, height / size.height];
    const parts = orderedRegions(regions.plan, "rows").map((place) => {
      const { x, y, ...read } = readRectangle(regions.plan, place);
      return { x: x * across, y: y * down, width: read.width * across, height: read.height * down };
    });
    return runsOfMask(data, width, 255, parts);
  }
  if (typeof mask === "number") return 1;
  const factor = vaeFactor(context.configs.vae);
  const [width, height] = [geometry.workWidth / factor, geometry.workHeight / factor];
  const isReference = options.reference === true;
  const { xStarts, yStarts, tileWidth, tileHeight } = unetTiles(
    width,
    height,
    context.configs,
    isReference,
  ) ?? { xStarts: [0], yStarts: [0], tileWidth: width, tileHeight: height };
  const parts = yStarts.flatMap((y) =>
    xStarts.map((x) => ({ x, y, width: tileWidth, height: tileHeight })),
  );
  return runsOfMask(mask, width, 1, parts);
}
