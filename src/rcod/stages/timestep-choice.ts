/** From realism settings to the timesteps of a call. */
import { timestepOfMetric } from "../settings/latent-groups.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { predictsMetric } from "../settings/model-configs.ts";
import type {
  RealismSetting,
  SeveralOptions,
  UpscaleOptions,
  UpscaleReport,
} from "../settings/options.ts";
import { realismAt, timestepAt } from "../settings/realism-table.ts";
import type { TimestepShare } from "../tiles/latent-blend.ts";

/** A timestep, or "auto" where it depends on the encoded image. */
type TimestepSetting = number | "auto";

/** Settings of a call: of each of its results everywhere, and of all where the mask is. */
export interface TimestepSettings {
  readonly bases: readonly TimestepSetting[];
  readonly masked: TimestepSetting | undefined;
}

/** Results that a call may have: as many maps of the UNet go through it together. */
const MOST_SETTINGS = 8;

/** The settings that `options` request. Throws `RangeError` for what the model cannot do. */
export function timestepSettings(
  configs: ModelConfigs,
  { realism = "fidelity", timestep, realismMask }: SeveralOptions<UpscaleOptions> | UpscaleOptions,
): TimestepSettings {
  return {
    bases:
      timestep === undefined
        ? listed("realism", realism).map((setting) => settingOf(configs, setting))
        : listed("timestep", timestep).map(checkedTimestep),
    masked: realismMask && settingOf(configs, realismMask.realism),
  };
}

/** One setting as a list, or a list of as many as there may be. */
function listed<T extends string | number>(option: string, given: T | readonly T[]): readonly T[] {
  if (!Array.isArray(given)) return [given as T];
  if (given.length >= 1 && given.length <= MOST_SETTINGS) return given as readonly T[];
  throw new RangeError(
    `${option}: a call takes 1 … ${MOST_SETTINGS} settings, got ${given.length}. Make several calls: the same image object is ` +
      "encoded once",
  );
}

function settingOf(configs: ModelConfigs, realism: RealismSetting): TimestepSetting {
  if (realism !== "auto") return timestepOfRealism(realism, configs.rcod);
  if (predictsMetric(configs)) return "auto";
  const needed = configs.degradation ? "the file mem_checkpoint" : "mem/";
  throw new RangeError(
    `realism: "auto" needs a model with ${needed}, got one without. ` +
      'Choose "fidelity", "neutral", "realism" or a number in 0 … 1',
  );
}

/**
 * The timestep for a realism setting: the model's own for a name (249, 499 and 749), for a number in 0 … 1 by the model's table
 * (249 + 500·r where it has none of its own). Throws `RangeError` for anything else.
 */
export function timestepOfRealism(
  realism: Exclude<RealismSetting, "auto">,
  { timesteps, realismTimesteps }: Pick<ModelConfigs["rcod"], "timesteps" | "realismTimesteps">,
): number {
  if (typeof realism === "string" && Object.hasOwn(timesteps, realism)) return timesteps[realism];
  if (typeof realism === "number" && realism >= 0 && realism <= 1) {
    return timestepAt(realismTimesteps, realism);
  }
  const hint =
    typeof realism === "number" && realism > 1
      ? `. Write { timestep: ${realism} } for a timestep`
      : "";
  throw new RangeError(
    `realism: must be "fidelity", "neutral", "realism", "auto", a number in 0 … 1 or { timestep }, ` +
      `got ${typeof realism === "string" ? JSON.stringify(realism) : String(realism)}${hint}`,
  );
}

/** The paper's spelling of the trained timesteps. */
const ALIASES: ReadonlyMap<number, number> = new Map([
  [250, 249],
  [500, 499],
  [750, 749],
]);
const LAST_TIMESTEP = 999;

/**
 * A timestep that the caller gives: 0 … 999, fractions allowed. 250, 500 and 750 mean 249, 499 and 749. Throws
 * `RangeError` for others.
 */
export function checkedTimestep(timestep: number): number {
  if (typeof timestep === "number" && timestep >= 0 && timestep <= LAST_TIMESTEP) {
    return ALIASES.get(timestep) ?? timestep;
  }
  throw new RangeError(
    `realism: timestep must be a number in 0 … ${LAST_TIMESTEP}, got ${String(timestep)}`,
  );
}

/** The timesteps of a call, for its result. */
export type ChosenTimesteps = Pick<
  UpscaleReport,
  "timestep" | "realism" | "maskTimestep" | "predictedMetric"
>;

/** Whether they need a prediction. */
export const isAutomatic = ({ bases, masked }: TimestepSettings): boolean =>
  bases.includes("auto") || masked === "auto";

/** The timesteps of each result; `predict` gives the metric for "auto". */
export async function chooseTimesteps(
  { rcod }: ModelConfigs,
  settings: TimestepSettings,
  predict: () => Promise<number>,
): Promise<ChosenTimesteps[]> {
  const { bases, masked } = settings;
  const metric = isAutomatic(settings) ? await predict() : null;
  const timestepOf = (setting: TimestepSetting): number =>
    setting === "auto" ? timestepOfMetric(metric ?? NaN, rcod) : setting;
  return bases.map((base) => ({
    timestep: timestepOf(base),
    realism: realismAt(rcod.realismTimesteps, timestepOf(base)),
    ...(masked !== undefined && { maskTimestep: timestepOf(masked) }),
    ...(metric !== null && (base === "auto" || masked === "auto") && { predictedMetric: metric }),
  }));
}

/** How much each timestep counts at each pixel: one timestep alone where the mask or the settings say so. */
export function timestepShares(
  { timestep, maskTimestep = timestep }: Pick<ChosenTimesteps, "timestep" | "maskTimestep">,
  mask: 0 | 1 | Float32Array<ArrayBuffer>,
): readonly TimestepShare[] {
  if (mask === 0 || timestep === maskTimestep) return [{ timestep, share: null }];
  if (mask === 1) return [{ timestep: maskTimestep, share: null }];
  return [
    { timestep, share: mask.map((weight) => 1 - weight) },
    { timestep: maskTimestep, share: mask },
  ];
}
