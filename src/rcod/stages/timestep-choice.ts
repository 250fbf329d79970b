import { parseRealism } from "../images/geometry.ts";
import { timestepOfMetric } from "../networks/mem.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { predictsMetric } from "../settings/model-configs.ts";
import type { RealismSetting, UpscaleOptions, UpscaleReport } from "../settings/options.ts";
import type { TimestepShare } from "../tiles/latent-blend.ts";
import type { Encoded, StageContext } from "./context.ts";
/** From realism settings to the timesteps of a call. */
import { predictMetric } from "./encode.ts";

/** A timestep, or "auto" where it depends on the encoded image. */
export type TimestepSetting = number | "auto";

/** Settings of a call: everywhere, and where the mask is. */
export interface TimestepSettings {
  readonly base: TimestepSetting;
  readonly masked: TimestepSetting | undefined;
}

/** The settings that `options` ask for. Throws `RangeError` for what the model cannot do. */
export function timestepSettings(
  configs: ModelConfigs,
  { realism, timestep, realismMask }: UpscaleOptions,
): TimestepSettings {
  return {
    base:
      timestep === undefined
        ? settingOf(configs, realism ?? "fidelity")
        : parseRealism({ timestep }),
    masked: realismMask && settingOf(configs, realismMask.realism),
  };
}

function settingOf(configs: ModelConfigs, realism: RealismSetting): TimestepSetting {
  const { timesteps } = configs.rcod;
  if (realism === "auto") {
    if (predictsMetric(configs)) return "auto";
    const needed = configs.degradation ? "the file mem_checkpoint" : "mem/";
    throw new RangeError(
      `realism: "auto" needs a model with ${needed}, got one without. ` +
        'Choose "fidelity", "neutral", "realism" or a number in 0 … 1',
    );
  }
  return typeof realism === "string" && Object.hasOwn(timesteps, realism)
    ? timesteps[realism]
    : parseRealism(realism);
}

/** The timesteps of a call, for its result. */
export type ChosenTimesteps = Pick<UpscaleReport, "timestep" | "maskTimestep" | "predictedMetric">;

/** The timesteps for an encoded image; "auto" predicts its metric. */
export async function chooseTimesteps(
  context: StageContext,
  encoded: Encoded,
  { base, masked }: TimestepSettings,
  options: UpscaleOptions,
): Promise<ChosenTimesteps> {
  const { rcod } = context.configs;
  const metric =
    base === "auto" || masked === "auto" ? await predictMetric(context, encoded, options) : null;
  const timestepOf = (setting: TimestepSetting): number =>
    setting === "auto" ? timestepOfMetric(metric ?? NaN, rcod) : setting;
  return {
    timestep: timestepOf(base),
    ...(masked !== undefined && { maskTimestep: timestepOf(masked) }),
    ...(metric !== null && { predictedMetric: metric }),
  };
}

/** Who predicts how much: one timestep alone where the mask or the settings say so. */
export function timestepShares(
  { timestep, maskTimestep = timestep }: ChosenTimesteps,
  mask: 0 | 1 | Float32Array<ArrayBuffer>,
): readonly TimestepShare[] {
  if (mask === 0 || timestep === maskTimestep) return [{ timestep, share: null }];
  if (mask === 1) return [{ timestep: maskTimestep, share: null }];
  return [
    { timestep, share: mask.map((weight) => 1 - weight) },
    { timestep: maskTimestep, share: mask },
  ];
}
