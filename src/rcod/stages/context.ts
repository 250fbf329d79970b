/** What every stage of the pipeline works with. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Rounding } from "../../kernels/image/image-layout.ts";
import type { FloatMap } from "../deep/float-map.ts";
import type { Geometry } from "../images/geometry.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import type { Inspector } from "../inspect/inspector.ts";
import type { LoadedWeights } from "../loading/load.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { StagePrograms } from "./programs.ts";

export interface StageContext {
  readonly gpu: Gpu;
  readonly configs: ModelConfigs;
  readonly weights: LoadedWeights;
  readonly programs: StagePrograms;
  /** Storage of activations. */
  readonly dtype: DType;
  /** Of this call, where it has `inspect`. */
  readonly inspector?: Inspector;
}

/** What does not depend on realism: all that is known of an encoded image. Whoever made it frees its buffers. */
export interface Encoded {
  /** The colour reference: the enlarged source. */
  readonly source: DeviceImage;
  /** For results of 16 bits: its colours in floats, in 0 … 1, with the padding. */
  readonly deepColors?: FloatMap;
  readonly geometry: Geometry;
  /** [1, latentHeight, latentWidth, L] times the scaling factor. */
  readonly latents: GPUBuffer;
  /** [1, T, D]. */
  readonly tokens: GPUBuffer;
  readonly latentHeight: number;
  readonly latentWidth: number;
  /** RCOD_S: filled by encoding; RCOD_O: by the first call with "auto". */
  predictedMetric?: number;
}

export function roundingOf(options: UpscaleOptions): Rounding {
  return options.reference ? "truncate" : "nearest";
}
