/** What the options of a call may be, before anything else looks at them. */
import type { OptionRule, OptionRules } from "../../options.ts";
import {
  abortSignal,
  anything,
  callback,
  checkOptions,
  flag,
  integer,
  nameList,
  number,
  objectValue,
  oneOf,
} from "../../options.ts";
import type {
  InspectOptions,
  RealismMask,
  RegionsOptions,
  ResultSize,
  SeveralOptions,
  TextureOptions,
  UpscaleOptions,
} from "./options.ts";
import { MIN_REGION, MIN_TILE } from "./options.ts";

/** Seeds of 32 bits, which are all different. */
const LARGEST_SEED = 2 ** 32 - 1;

const region = integer(MIN_REGION, Infinity, " pixels of the ×4 picture");
const isShare = (value: unknown): boolean => typeof value === "number" && value >= 0 && value <= 1;

/** "rows", "middle", or a point that is nothing but one. */
const regionOrder: OptionRule = {
  must: '"rows", "middle" or a point { x, y } with both in 0 … 1',
  allows(value) {
    if (typeof value !== "object" || value === null) return value === "rows" || value === "middle";
    const { x, y, ...more } = value as Record<string, unknown>;
    return isShare(x) && isShare(y) && Object.keys(more).length === 0;
  },
  isType: false,
};

const tile = integer(MIN_TILE, Infinity, " output pixels");

/** `timestepSettings`, `callSizes` and `checkMask` know more of what they take. */
export const UPSCALE_RULES: OptionRules<UpscaleOptions> = {
  realism: anything,
  realismMask: objectValue,
  timestep: anything,
  colorFix: oneOf("adain", "wavelet", "none"),
  seed: integer(0, LARGEST_SEED),
  scale: number,
  size: objectValue,
  reduceInput: flag,
  region,
  regionOrder,
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

/** Of `UpscaleOptions.size`. */
const RESULT_SIZE_RULES: OptionRules<ResultSize> = {
  width: integer(1, Infinity, " pixels"),
  height: integer(1, Infinity, " pixels"),
  fit: oneOf("inside", "outside", "fill"),
};

const INSPECT_RULES: OptionRules<InspectOptions> = { passes: flag, captures: nameList };

const SIZES = { scale: number, size: objectValue, tile, region };

/** Of `RcodModel.plan`. */
export const PLAN_RULES = { width: integer(1), height: integer(1), ...SIZES };

/** Of `LoadOptions.prepareFor`. */
export const SIZE_RULES = { ...PLAN_RULES, reference: flag };

/** Options of every kind of call. */
export type AnyUpscaleOptions =
  | UpscaleOptions
  | TextureOptions
  | RegionsOptions
  | SeveralOptions<UpscaleOptions | TextureOptions>;

/** Whether a call has a result for each of several settings. */
export const isSeveral = ({ realism, timestep }: AnyUpscaleOptions): boolean =>
  Array.isArray(timestep ?? realism);

/** Throws TypeError or RangeError for options that there are not; see `checkOptions`. */
export function checkUpscaleOptions(options: AnyUpscaleOptions): void {
  checkOptions("upscale", options, UPSCALE_RULES);
  const { realismMask, size, inspect, output, onRegion } = options as
    | UpscaleOptions
    | RegionsOptions;
  if (isSeveral(options) && (inspect || output === "regions")) {
    const option = inspect ? "inspect" : 'output: "regions"';
    throw new RangeError(
      `${option}: is for calls with one setting, got a list of them. Make a call for each`,
    );
  }
  if (realismMask) checkOptions("realismMask", realismMask, MASK_RULES);
  if (size) checkOptions("size", size, RESULT_SIZE_RULES);
  if (inspect) checkOptions("inspect", inspect, INSPECT_RULES);
  if (output !== "regions") return;
  if (onRegion === undefined) {
    throw new TypeError(
      'onRegion: must be a function with output "regions", whose parts go nowhere else, got none. Pass one',
    );
  }
  if ("enlarged" in options && options.enlarged) {
    throw new RangeError(
      'enlarged: is a texture as large as the result, which output "regions" makes none of, got true. Leave one of them away',
    );
  }
}

/** The same for options that tell sizes. */
export function checkSizeOptions(
  what: string,
  options: Pick<UpscaleOptions, "size">,
  rules: typeof PLAN_RULES,
): void {
  checkOptions(what, options, rules);
  if (options.size) checkOptions("size", options.size, RESULT_SIZE_RULES);
}
