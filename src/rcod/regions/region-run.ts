/**
 * Computes a picture in regions: each is upscaled as a picture of its own, with what all have of the whole, and blended into
 * the result. Memory on the device depends on the region and not on the picture.
 */
import type { Geometry } from "../images/geometry.ts";
import { readRectangle as readPixels } from "../images/image-reader.ts";
import { latentMask } from "../images/realism-mask.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { RawImage, UpscaleOptions, UpscaleReport } from "../settings/options.ts";
import { callGeometry } from "../stages/call-networks.ts";
import type { StageClock } from "../stages/clock.ts";
import type { StageContext } from "../stages/context.ts";
import { releaseEncoded } from "../stages/context.ts";
import type { WholeTokens } from "../stages/encode.ts";
import { encodeImage } from "../stages/encode.ts";
import { STATIONS } from "../stages/fault-counters.ts";
import { makePixels } from "../stages/pixels.ts";
import { predictLatents } from "../stages/predict.ts";
import type { NumbersReport } from "../stages/repair.ts";
import { repair } from "../stages/repair.ts";
import type { ChosenTimesteps } from "../stages/timestep-choice.ts";
import { timestepShares } from "../stages/timestep-choice.ts";
import type { FinishedPart } from "../tiles/region-blend.ts";
import { RegionBlend } from "../tiles/region-blend.ts";
import type { RegionPlace, RegionPlan } from "../tiles/region-plan.ts";
import {
  axisPart,
  madeRectangle,
  orderedRegions,
  readRectangle,
  regionCount,
} from "../tiles/region-plan.ts";
import type { RegionPicture, WholeFacts } from "./whole-facts.ts";
import { restoreWhole, wholeFacts } from "./whole-facts.ts";

/** How far a call in regions is; all on the host, so that it outlives the device. */
export class RegionState {
  /** What it belongs to. */
  readonly key: string;
  readonly results: readonly ResultState[];
  /** Numbers of the finished regions, row by row. */
  readonly done = new Set<number>();
  facts: WholeFacts | undefined;

  constructor(key: string, plan: RegionPlan, results: number) {
    this.key = key;
    this.results = Array.from({ length: results }, () => ({ blend: new RegionBlend(plan) }));
  }
}

/** How far one of the results is. */
export interface ResultState {
  readonly blend: RegionBlend;
  /** Of `output: "image"`. */
  image?: RawImage;
}

/** What is told of all regions together, of each result. */
export type RegionsReport = ChosenTimesteps &
  NumbersReport &
  Pick<UpscaleReport, "timingsMs" | "regions">;

/**
 * Computes the regions that `state` lacks. `take` gets every finished part of a result; the next region waits for it.
 */
export async function runRegions(
  context: StageContext,
  picture: RegionPicture,
  options: UpscaleOptions,
  state: RegionState,
  take: (result: number, part: FinishedPart) => Promise<void>,
  clock: StageClock,
): Promise<RegionsReport[]> {
  const { gpu, programs } = context;
  const { reader, plan } = picture;
  const { signal, regionOrder = "middle" } = options;
  const columns = plan.columns.length;
  const places = orderedRegions(plan, regionOrder).filter(
    ({ row, column }) => !state.done.has(row * columns + column),
  );
  const count = regionCount(plan);
  const read = (place: RegionPlace | undefined): Promise<RawImage> | undefined => {
    if (place === undefined) return undefined;
    const pixels = Promise.resolve(readPixels(reader, readRectangle(plan, place), signal));
    pixels.catch(() => undefined); // told when its turn comes
    return pixels;
  };
  const enter = clock.enterOptions(signal);
  let numbers: NumbersReport = {};
  let tokens: WholeTokens | undefined;
  let ahead: Promise<RawImage> | undefined;
  try {
    for (const [i, place] of places.entries()) {
      signal?.throwIfAborted();
      const image = await (ahead ?? read(place));
      if (image === undefined) throw new Error("internal: a region without pixels");
      ahead = read(places[i + 1]);
      for (;;) {
        programs.faults.clear(STATIONS);
        const isFirst = state.facts === undefined;
        if (state.facts === undefined) {
          const whole = await wholeFacts(context, picture, options, clock);
          state.facts = whole.facts;
          tokens = whole.tokens;
        }
        tokens ??= await restoreWhole(context, state.facts, options, clock);
        clock.region = madeRectangle(plan, place);
        const made = await upscaleRegion(context, picture, place, image, options, clock, {
          ...state.facts,
          tokens,
        });
        const told = await repair(context, await made.counts, enter);
        clock.region = undefined;
        if (typeof told === "string") {
          // A part runs in f32 from now on, or the module with faults is looked for.
          gpu.memory.release(tokens.buffer);
          tokens = undefined;
          if (isFirst) state.facts = undefined;
          continue;
        }
        await gpu.scopes.settled();
        numbers = told;
        clock.pause();
        state.done.add(place.row * columns + place.column);
        for (const [result, { blend }] of state.results.entries()) {
          const pixels = made.images[result] as RawImage;
          for (const part of blend.add(place, pixels)) await take(result, part);
        }
        break;
      }
    }
  } finally {
    programs.search = undefined;
    if (tokens) gpu.memory.release(tokens.buffer);
  }
  const chosen = state.facts?.chosen;
  if (chosen === undefined) throw new Error("internal: regions without a timestep");
  const ofAll = { ...numbers, timingsMs: clock.finish(), regions: count };
  return chosen.map((one) => ({ ...one, ...ofAll }));
}

/** The pixels that one region makes of each result, and the faults of its networks. */
async function upscaleRegion(
  context: StageContext,
  { plan, reader }: RegionPicture,
  place: RegionPlace,
  image: RawImage,
  options: UpscaleOptions,
  clock: StageClock,
  { tokens, isFlat, chosen }: WholeFacts & { readonly tokens: WholeTokens },
) {
  const { configs } = context;
  const geometry = regionGeometry(configs, plan, place);
  const { realismMask, seed } = options;
  const own: UpscaleOptions =
    seed === undefined ? options : { ...options, seed: regionSeed(seed, plan, place) };
  const encoded = await encodeImage(context, image, geometry, own, clock, tokens);
  try {
    const { x, y } = readRectangle(plan, place);
    const { upscale } = configs.rcod;
    // The whole picture, from where the region sees it.
    const whole = {
      x: geometry.picture.x - upscale * x,
      y: geometry.picture.y - upscale * y,
      width: upscale * reader.width,
      height: upscale * reader.height,
    };
    const mask = realismMask
      ? latentMask(realismMask, { ...geometry, picture: whole }, vaeFactor(configs.vae))
      : 0;
    const results = chosen.map((one) => timestepShares(one, mask));
    const predicted = await predictLatents(context, encoded, results, own, clock);
    const finishing = [{ ...encoded, isFlat }, image, own, "image", clock] as const;
    const [pixels, counts] = await makePixels(context, predicted, ...finishing);
    const images = pixels.flatMap((one) => ("image" in one ? one.image : []));
    return { images, counts };
  } finally {
    releaseEncoded(context.gpu, encoded);
  }
}

/** A region as a picture of its own, of which it makes a part of the result. */
function regionGeometry(configs: ModelConfigs, plan: RegionPlan, place: RegionPlace): Geometry {
  const { upscale } = configs.rcod;
  const own = callGeometry(configs, readRectangle(plan, place), false);
  const across = axisPart(plan.columns, place.column, upscale);
  const down = axisPart(plan.rows, place.row, upscale);
  return {
    ...own,
    finish: [...own.finish, { kind: "reduce", across, down }],
    outWidth: across.outSize,
    outHeight: down.outSize,
  };
}

/** Another one for each region: equal noise would repeat over the picture. */
const regionSeed = (seed: number, { columns }: RegionPlan, place: RegionPlace): number =>
  (seed + place.row * columns.length + place.column) % 2 ** 32;
