/** Sizes of a call: what its networks get of a picture, as a whole or in regions, and what comes out. */
import type { Geometry } from "../images/geometry.ts";
import { latentMask } from "../images/realism-mask.ts";
import type { Size } from "../images/result-size.ts";
import { callSizes } from "../images/result-size.ts";
import type { CallPlan } from "../inspect/call-plan.ts";
import { planCall } from "../inspect/call-plan.ts";
import { vaeFactor } from "../settings/config.ts";
import type { UpscaleOptions, UpscaleReport } from "../settings/options.ts";
import { callPlaces, regionSizes } from "../stages/call-networks.ts";
import type { StageContext } from "../stages/context.ts";
import { dtypeOf } from "../stages/context.ts";
import type { RegionPlan } from "../tiles/region-plan.ts";
import { regionCount } from "../tiles/region-plan.ts";

/** What of a call depends on how much of its picture the networks get. */
export interface SizedCall {
  /** That much. */
  readonly size: Size;
  readonly result: Size;
  /** Of the whole. */
  readonly geometry: Geometry;
  /** Null for a picture that is computed as a whole. */
  readonly plan: RegionPlan | null;
  /** Of the whole; regions cut their own. */
  readonly mask: ReturnType<typeof latentMask>;
}

/** Those of a call with a picture of this size, if it is not halved. Throws `RangeError` or `ShapeError` for what there is not. */
export function sizedCall(
  context: StageContext,
  picture: Size,
  options: UpscaleOptions,
): SizedCall {
  const { input, result } = callSizes(picture, options, context.configs.rcod.upscale);
  return sizedFor(context, input, result, options);
}

/** Those of a call whose networks get a picture of `input`. */
export function sizedFor(
  context: StageContext,
  { width, height }: Size,
  result: Size,
  options: UpscaleOptions,
): SizedCall {
  const { configs, gpu } = context;
  const { realismMask } = options;
  const size = { width, height };
  const places = [gpu.caps, dtypeOf(context, "vae"), size, result, options] as const;
  const { geometry, plan } = callPlaces(configs, ...places);
  const mask = realismMask && !plan ? latentMask(realismMask, geometry, vaeFactor(configs.vae)) : 0;
  return { size, result, geometry, plan, mask };
}

/** What a call takes, network by network. */
export function plannedCall(
  context: StageContext,
  picture: Size,
  options: UpscaleOptions,
): CallPlan {
  const { configs, gpu, dtype } = context;
  const { size, geometry, plan } = sizedCall(context, picture, options);
  const own = plan ? regionSizes(configs, plan) : geometry;
  return planCall(configs, size, geometry, own, regionCount(plan), dtype, gpu.caps, options.tile);
}

/** Tells of a picture that was halved to be computed. */
export function halvingNote(
  { width, height }: Size,
  used: Size,
  notes: readonly string[] = [],
): Pick<UpscaleReport, "notes"> {
  if (used.width === width && used.height === height) return {};
  const note =
    `The picture was computed from ${used.width}×${used.height} instead of ${width}×${height} pixels, which at this size of the ` +
    "result loses nothing that can be seen. With reduceInput: false it is computed from all";
  return { notes: [...notes, note] };
}
