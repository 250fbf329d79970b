/** What the options of a call may be, before anything else looks at them. */
import type { OptionRules } from "../../options.ts";
import {
  abortSignal,
  anything,
  callback,
  checkOptions,
  flag,
  integer,
  nameList,
  objectValue,
  oneOf,
} from "../../options.ts";
import type {
  InspectOptions,
  RealismMask,
  RegionsOptions,
  TextureOptions,
  UpscaleOptions,
} from "./options.ts";
import { MIN_REGION, MIN_TILE } from "./options.ts";

/** Seeds of 32 bits, which are all different. */
const LARGEST_SEED = 2 ** 32 - 1;

const region = integer(MIN_REGION, Infinity, " pixels of the ×4 picture");
const tile = integer(MIN_TILE, Infinity, " output pixels");

/** `timestepSettings` and `checkMask` know more of what they take. */
export const UPSCALE_RULES: OptionRules<UpscaleOptions> = {
  realism: anything,
  realismMask: objectValue,
  timestep: anything,
  colorFix: oneOf("adain", "wavelet", "none"),
  seed: integer(0, LARGEST_SEED),
  scale: anything,
  size: objectValue,
  region,
  regionOrder: anything,
  onRegion: callback,
  resume: objectValue,
  tile,
  reference: flag,
  reuse: flag,
  depth: oneOf(8, 16),
  output: oneOf("image", "texture", "regions"),
  enlarged: flag,
  inspect: objectValue,
  signal: abortSignal,
  onProgress: callback,
};

const MASK_RULES: OptionRules<RealismMask> = {
  data: anything,
  width: anything,
  height: anything,
  realism: anything,
};

const INSPECT_RULES: OptionRules<InspectOptions> = { passes: flag, captures: nameList };

/** Of `RcodModel.plan`. */
export const PLAN_RULES = { width: integer(1), height: integer(1), tile, region };

/** Of `LoadOptions.prepareFor`. */
export const SIZE_RULES = { ...PLAN_RULES, reference: flag };

/** Throws TypeError or RangeError for options that there are not; see `checkOptions`. */
export function checkUpscaleOptions(
  options: UpscaleOptions | TextureOptions | RegionsOptions,
): void {
  checkOptions("upscale", options, UPSCALE_RULES);
  const { realismMask, inspect } = options;
  if (realismMask) checkOptions("realismMask", realismMask, MASK_RULES);
  if (inspect) checkOptions("inspect", inspect, INSPECT_RULES);
}
