/** A call in regions: what it may ask, its pixels, and how one goes on that a lost device has ended. */
import { DeviceLostError } from "../../gpu/errors.ts";
import type { Geometry } from "../images/geometry.ts";
import type { Size } from "../images/result-size.ts";
import type { Output } from "../images/textures.ts";
import type { ImageReader, UpscaleOptions } from "../settings/options.ts";
import type { StageClock } from "../stages/clock.ts";
import type { StageContext } from "../stages/context.ts";
import { readLost } from "../stages/repair.ts";
import type { TimestepSettings } from "../stages/timestep-choice.ts";
import type { FinishedPart } from "../tiles/region-blend.ts";
import type { RegionPlan } from "../tiles/region-plan.ts";
import type { RegionsReport } from "./region-run.ts";
import { RegionState, runRegions } from "./region-run.ts";
import type { RegionPixels } from "./region-sink.ts";
import { onRegionOf, regionSink } from "./region-sink.ts";

/** A call in regions: how the picture is cut, and what is done. */
export interface Regions {
  readonly plan: RegionPlan;
  readonly state: RegionState;
}

/** What is known of a call when its picture comes. */
interface AcceptedRegions {
  readonly options: UpscaleOptions;
  readonly output: Output;
  readonly settings: TimestepSettings;
  readonly geometry: Geometry;
}

/** Computes what `regions` lacks; gives the pixels of each result as `output` asks for them. */
export async function upscaleInRegions(
  context: StageContext,
  { options, output, settings, geometry }: AcceptedRegions,
  { plan, state }: Regions,
  reader: ImageReader,
  clock: StageClock,
): Promise<(RegionPixels & RegionsReport)[]> {
  const { outWidth: width, outHeight: height } = geometry;
  const { channels, colorSpace } = reader;
  const form = { width, height, channels, ...(colorSpace && { colorSpace }) };
  const sinks = state.results.map((result, i) =>
    regionSink(context.gpu, output, form, onRegionOf(options, i), result),
  );
  const { signal, regionOrder = output === "regions" ? "rows" : "middle" } = options;
  let isTaken = false;
  try {
    await readLost(context, clock.enterOptions(signal));
    const picture = { reader, plan, settings };
    const take = async (result: number, part: FinishedPart): Promise<void> =>
      sinks[result]?.take(part);
    const ordered = { ...options, regionOrder };
    const reports = await runRegions(context, picture, ordered, state, take, clock);
    const pixels = await Promise.all(sinks.map((sink) => sink.finish()));
    signal?.throwIfAborted();
    isTaken = true;
    return reports.map((report, i) => ({ ...(pixels[i] as RegionPixels), ...report }));
  } finally {
    if (!isTaken) for (const sink of sinks) sink.drop();
  }
}

/** Throws `RangeError` for what there is of whole pictures only. */
export function checkRegionOptions({ inspect, enlarged, reference }: UpscaleOptions): void {
  const asked = { inspect: inspect !== undefined, enlarged, reference };
  for (const [option, isAsked] of Object.entries(asked)) {
    if (isAsked !== true) continue;
    throw new RangeError(
      `${option}: is for pictures that are computed as a whole, and this one is computed in regions. ` +
        "Leave it out, or take a smaller picture",
    );
  }
}

/** What was finished of a call that it goes on with, or nothing. Throws `RangeError` where `resume` is of another call. */
export function regionState(
  plan: RegionPlan,
  size: Size,
  output: Output,
  { bases }: TimestepSettings,
  { resume, ...options }: UpscaleOptions,
): RegionState {
  const { realism, realismMask, timestep, colorFix, seed, depth } = options;
  const mask = realismMask && [realismMask.width, realismMask.height, realismMask.realism];
  const same = { plan, size, output, realism, mask, timestep, colorFix, seed, depth };
  const key = JSON.stringify(same);
  if (resume === undefined) return new RegionState(key, plan, bases.length);
  if (resume instanceof RegionState && resume.key === key) return resume;
  throw new RangeError(
    "resume: must be of a DeviceLostError that has ended the same call with the same options, got something else. " +
      "Make the call without it",
  );
}

/** A loss tells what is finished. Textures are lost with their device. */
export function resumable(error: unknown, output: Output, state: RegionState | undefined): unknown {
  const isLost = error instanceof DeviceLostError && state !== undefined;
  if (!isLost || output === "texture" || state.done.size === 0) return error;
  return error.withResume(state);
}
