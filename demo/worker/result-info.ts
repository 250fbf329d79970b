/** What the page shows of a result. */
import type { TextureResult } from "rcod-webgpu";
import type { ResultInfo, UpscaleSettings } from "../protocol.ts";

export function resultInfo({
  id,
  dropped,
  settings,
  result,
  timesteps,
  totalMs,
}: {
  readonly id: number;
  readonly dropped: readonly number[];
  readonly settings: UpscaleSettings;
  readonly result: TextureResult;
  readonly timesteps: { readonly fidelity: number; readonly realism: number };
  readonly totalMs: number;
}): ResultInfo {
  const { timestep, predictedMetric, timingsMs, peakBytes, texture } = result;
  const span = timesteps.realism - timesteps.fidelity;
  return {
    id,
    dropped,
    settings,
    width: texture.width,
    height: texture.height,
    realism: Math.min(1, Math.max(0, (timestep - timesteps.fidelity) / span)),
    timestep,
    predictedMetric: predictedMetric ?? null,
    timingsMs,
    reused: result.reused,
    notes: result.notes ?? [],
    totalMs,
    peakBytes,
  };
}
