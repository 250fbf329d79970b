/** All that a model folder says of a model. */
import type { ClipConfig, MemConfig, RcodConfig, UNetConfig, VaeConfig } from "./config.ts";
import type { DegradationConfig } from "./degradation-config.ts";

/** All configurations of a model folder. */
export interface ModelConfigs {
  readonly rcod: RcodConfig;
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly clip: ClipConfig;
  /** Null for a model without `mem/`: it cannot choose the timestep itself. */
  readonly mem: MemConfig | null;
  /** What makes RCOD_S depend on the image; null for RCOD_O. */
  readonly degradation: DegradationConfig | null;
}

/** Whether the model predicts the metric that `realism: "auto"` decides by. */
export function predictsMetric({ mem, degradation }: ModelConfigs): boolean {
  return mem !== null || degradation?.hasMem === true;
}
