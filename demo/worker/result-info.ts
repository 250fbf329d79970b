/** What the page shows of a result. */
import type { ResultInfo, UpscaleSettings } from "../protocol.ts";
import type { Upscaled } from "./upscale.ts";

export function resultInfo({
  upscaled: { report, ...place },
  settings,
  model,
  totalMs,
}: {
  readonly upscaled: Upscaled;
  readonly settings: UpscaleSettings;
  readonly model: string;
  readonly totalMs: number;
}): ResultInfo {
  const { timestep, realism, predictedMetric, timingsMs, peakBytes, regions } = report;
  return {
    ...place,
    settings,
    model,
    realism: Math.min(1, Math.max(0, realism)),
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
