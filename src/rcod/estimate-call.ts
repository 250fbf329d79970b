/** What a call will take, from its sizes and options, without running anything. */
import { checkOptions } from "../options.ts";
import type { Alternatives, Outlook } from "./estimate/advice.ts";
import { advise } from "./estimate/advice.ts";
import type { WorkOfCalls } from "./estimate/call-work.ts";
import { foreseenWork } from "./estimate/foresee.ts";
import { activationPeakBytes, lowMemoryPeakBytes } from "./estimate/peak-bytes.ts";
import type { Rates } from "./estimate/rates.ts";
import { checkMask } from "./images/realism-mask.ts";
import type { Size } from "./images/result-size.ts";
import { halfOf } from "./images/result-size.ts";
import { sizedCall } from "./regions/call-size.ts";
import { encodedSamples } from "./regions/whole-facts.ts";
import type { RunStage, UpscaleOptions } from "./settings/options.ts";
import { MIN_REGION } from "./settings/options.ts";
import { PLAN_RULES, UPSCALE_RULES } from "./settings/upscale-rules.ts";
import { regionSizes } from "./stages/call-networks.ts";
import type { StageContext } from "./stages/context.ts";
import { dtypeOf } from "./stages/context.ts";
import { timestepSettings } from "./stages/timestep-choice.ts";
import { regionCount } from "./tiles/region-plan.ts";

/** A picture's size, and the options of a call with it. */
export interface EstimateOptions extends Omit<UpscaleOptions, "output"> {
  /** Columns of the picture. */
  readonly width: number;
  /** Rows of the picture. */
  readonly height: number;
  /** As in the call. */
  readonly output?: "image" | "texture" | "regions";
}

/** What a call will take. */
export interface CallEstimate {
  /** Columns of the result. */
  readonly outWidth: number;
  /** Rows of the result. */
  readonly outHeight: number;
  /** Regions that the picture is computed in; 1 is the whole. */
  readonly regions: number;
  /**
   * Milliseconds, once shaders are compiled: learned from earlier calls of this model on this device. Absent while none is
   * known.
   */
  readonly timeMs?: number;
  /** Milliseconds of the first call after loading, which compiles shaders. Absent after it, and where none is known. */
  readonly firstRunMs?: number;
  /**
   * The most on the device at a time, weights included. Memory that larger pictures have taken before is kept, and counts: see
   * `dispose`.
   */
  readonly peakBytes: number;
  /** Floating-point operations of each stage, all its runs together; a byte moved counts as 8. */
  readonly work: Readonly<Record<RunStage, number>>;
  /** What would make the call smaller or faster, a sentence each, with what it would take then. */
  readonly advice: readonly string[];
}

/** What is known of a model's calls. */
export interface Experience {
  readonly context: StageContext;
  readonly work: WorkOfCalls;
  readonly rates: Rates;
}

const RULES = { ...UPSCALE_RULES, ...PLAN_RULES };

/** @throws as `upscale` does for the same size and options */
export function estimateCall(experience: Experience, options: EstimateOptions): CallEstimate {
  checkOptions("estimate", options, RULES);
  const { realismMask } = options;
  if (realismMask) checkMask(realismMask);
  const { width, height, output: _output, ...settings } = options;
  const picture = { width, height };
  const call = figuresOf(experience, picture, settings);
  const { outWidth, outHeight, regions, timeMs, firstRunMs, peakBytes, work } = call;
  return {
    outWidth,
    outHeight,
    regions,
    ...(timeMs !== undefined && { timeMs }),
    ...(firstRunMs !== undefined && { firstRunMs }),
    peakBytes,
    work: work.byStage,
    advice: advise(outlook(call), alternatives(experience, picture, settings, call)),
  };
}

type Figures = ReturnType<typeof figuresOf>;

const outlook = ({ work, timeMs, peakBytes, regions }: Figures): Outlook => ({
  work: work.total,
  ...(timeMs !== undefined && { timeMs }),
  peakBytes,
  regions,
});

function figuresOf(
  { context, work: works, rates }: Experience,
  picture: Size,
  options: UpscaleOptions,
) {
  const { configs, gpu, weights, programs } = context;
  const { caps } = gpu;
  const storage = (part: Parameters<typeof dtypeOf>[1]) => dtypeOf(context, part);
  const { size, geometry: whole, plan, mask } = sizedCall(context, picture, options);
  const geometry = plan ? regionSizes(configs, plan) : whole;
  const regions = regionCount(plan);
  const settings = timestepSettings(configs, options);
  const samples = plan ? encodedSamples(configs, plan, settings) : 0;
  const call = { context, options, size, geometry, mask };
  const work = foreseenWork(works, {
    ...call,
    ...(plan && { inRegions: { plan, done: 0, samples } }),
  });
  const memory = { configs, caps, dtypeOf: storage, geometry, options };
  const lowMemoryBytes = lowMemoryPeakBytes(memory);
  const { current: weightBytes = 0 } = gpu.memory.use().byPurpose["weights"] ?? {};
  const peakBytes = weights.residency
    ? lowMemoryBytes
    : weightBytes + activationPeakBytes(memory, programs.slotBytes);

  let [laterMs, firstMs, isKnown, isFirst] = [0, 0, true, false];
  const byStage: Record<string, number> = {};
  for (const [stage, { work: each, runs }] of work) {
    byStage[stage] = each * runs;
    const runMs = rates.runMs(stage, each);
    isKnown &&= runMs !== undefined;
    isFirst ||= rates.isFirst(stage) && rates.knowsFirst(stage);
    const rest = runs * (runMs ?? 0) + (runs - 1) * rates.setupMs(stage, false);
    laterMs += rest + rates.setupMs(stage, false);
    firstMs += rest + rates.setupMs(stage, rates.isFirst(stage));
  }
  return {
    outWidth: whole.outWidth,
    outHeight: whole.outHeight,
    sides: [whole.sourceWidth, whole.sourceHeight] as const,
    regions,
    timeMs: isKnown ? laterMs : undefined,
    firstRunMs: isKnown && isFirst ? firstMs : undefined,
    peakBytes,
    lowMemoryBytes,
    work: {
      byStage: byStage as Record<RunStage, number>,
      total: Object.values(byStage).reduce((sum, amount) => sum + amount, 0),
    },
  };
}

/** What else the caller could do. */
function alternatives(
  experience: Experience,
  { width, height }: Size,
  options: UpscaleOptions,
  { sides, lowMemoryBytes, regions }: Figures,
): Alternatives {
  const { context } = experience;
  const { tile, realismMask, reference, region } = options;
  const of = (other: UpscaleOptions, size = { width, height }): Outlook =>
    outlook(figuresOf(experience, size, other));
  const without = (name: "tile" | "realismMask"): Outlook => {
    const { [name]: _left, ...rest } = options;
    return of(rest);
  };
  const longest = Math.min(region ?? Infinity, Math.max(...sides) / Math.ceil(Math.sqrt(regions)));
  const side = Math.ceil(longest / 2 / 64) * 64;
  const mayCut = reference !== true && side >= MIN_REGION && side < longest && !options.inspect;
  const { caps } = context.gpu;
  return {
    ...(Math.max(width, height) > 1 && { half: of(options, halfOf({ width, height })) }),
    ...(mayCut && { region: { side, ...of({ ...options, region: side }) } }),
    ...(tile !== undefined && { untiled: without("tile") }),
    ...(realismMask && { unmasked: without("realismMask") }),
    ...(!context.weights.residency && { lowMemoryBytes }),
    couldBeF16: context.dtype === "f32" && caps.hasShaderF16 && !caps.isSoftware,
  };
}
