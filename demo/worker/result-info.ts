/** What the page shows of a result. */
import type { ResultInfo, UpscaleSettings } from "../protocol.ts";
import type { Upscaled } from "./upscale.ts";

export function resultInfo({
  upscaled: { report, ...place },
  settings,
  model,
  timesteps,
  totalMs,
}: {
  readonly upscaled: Upscaled;
  readonly settings: UpscaleSettings;
  readonly model: string;
  readonly timesteps: { readonly fidelity: number; readonly realism: number };
  readonly totalMs: number;
}): ResultInfo {
  const { timestep, predictedMetric, timingsMs, peakBytes, regions } = report;
  const span = timesteps.realism - timesteps.fidelity;
  return {
    ...place,
    settings,
    model,
    realism: Math.min(1, Math.max(0, (timestep - timesteps.fidelity) / span)),
    timestep,
    predictedMetric: predictedMetric ?? null,
    timingsMs,
    regions,
    reused: report.reused,
    notes: report.notes ?? [],
    totalMs,
    peakBytes,
  };
}
