/**
 * What follows where a call met values that could not be stored as they are. Where we chose f16, their part is stored in
 * f32 from then on and the call goes back to it. NaN and infinity are an error, which names its module.
 */
import { DeviceError, messageOf } from "../../gpu/errors.ts";
import { WeightsError } from "../../weights/index.ts";
import type { EnterOptions } from "../loading/part-loader.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import type { NetworkStage, UpscaleReport } from "../settings/options.ts";
import type { StageContext } from "./context.ts";
import { dtypeOf } from "./context.ts";
import type { CallFaults, Station } from "./fault-counters.ts";
import { STATIONS, stationPart, stationStage } from "./fault-counters.ts";

/** What a call has to say of its numbers. */
export type NumbersReport = Pick<UpscaleReport, "notes" | "saturated">;

/**
 * The station from which the call must be made again, or what its result says of the numbers. Throws `NumbersError` for
 * what is wrong in f32 too.
 */
export async function repair(
  context: StageContext,
  counts: CallFaults,
  options: EnterOptions,
): Promise<Station | NumbersReport> {
  const { programs, weights } = context;
  const saturated: Partial<Record<NetworkStage, number>> = {};
  const notes = [...(weights.storage?.notes ?? [])];
  for (const station of STATIONS) {
    const found = counts.get(station);
    if (found === undefined || found.nonFinite + found.saturated === 0) continue;
    const part = stationPart(station);
    const stage = stationStage(station);
    const count = `${stage}: f16 cannot hold ${found.nonFinite + found.saturated} values or more, which exceed 65504`;
    if (weights.storage?.widen && dtypeOf(context, part) === "f16") {
      await widen(context, part, count, options);
      return station;
    }
    if (found.nonFinite > 0) {
      const { FaultSearch, numbersError } = await import("./fault-search.ts");
      if (programs.search) throw numbersError(counts) as Error; // made once more, with other faults
      programs.search = new FaultSearch(programs.faults);
      return station;
    }
    saturated[stage] = (saturated[stage] ?? 0) + found.saturated;
    notes.push(`${count}; they are clamped. Load with { precision: "f32" }`);
  }
  return {
    ...(notes.length > 0 && { notes }),
    ...(Object.keys(saturated).length > 0 && { saturated }),
  };
}

/** Reads the parts again whose weights a failure has left away. */
export async function readLost(context: StageContext, options: EnterOptions): Promise<void> {
  const { unread = [] } = context.weights.storage ?? {};
  for (const part of unread) await widen(context, part, `${part}: f16 was too narrow`, options);
}

async function widen(
  { programs, weights }: StageContext,
  part: ModelPart,
  reason: string,
  options: EnterOptions,
): Promise<void> {
  programs.forget();
  try {
    await weights.storage?.widen?.(part, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof DeviceError) throw error;
    throw new WeightsError(
      `precision: ${reason}, and its weights cannot be read again for f32: ${messageOf(error)}. ` +
        'Load the model with { precision: "f32" }',
    );
  }
  weights.storage?.notes.add(`${reason}; ${part} runs in f32`);
}
