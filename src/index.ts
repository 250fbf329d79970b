/**
 * rcod-webgpu: RCOD one-step diffusion super-resolution on hand-written WebGPU kernels.
 *
 * ```ts
 * const model = await loadModel("models/rcod-tiny");
 * const { image } = await model.upscale(imageData, { realism: "neutral" });
 * model.dispose();
 * ```
 */
export type {} from "./web-types.ts";
export { loadModel } from "./rcod/model.ts";
export type { ImageInput, LoadOptions, RcodModel } from "./rcod/model.ts";
export type { CallEstimate, EstimateOptions } from "./rcod/estimate-call.ts";
export type { PreparedCall } from "./rcod/stages/planned-networks.ts";
export type { TuningStore, TuningTable } from "./rcod/tuning/tuning-table.ts";
export type {
  FileSource,
  FolderSource,
  ModelSource,
  ModelSources,
} from "./rcod/loading/model-source.ts";
export { blendRealism } from "./rcod/images/blend-realism.ts";
export type { RealismResult } from "./rcod/images/blend-realism.ts";
export { attentionMap } from "./rcod/inspect/attention-map.ts";
export type {
  Capture,
  ImageReader,
  Inspection,
  InspectOptions,
  NetworkStage,
  PassTime,
  PixelRectangle,
  Precision,
  Progress,
  RealismMask,
  RealismSetting,
  RegionOrder,
  RegionsOptions,
  SeveralOptions,
  RegionsResult,
  ResultRegion,
  ResultSize,
  Stage,
  TextureOptions,
  TextureResult,
  UpscaleOptions,
  UpscaleResult,
} from "./rcod/settings/options.ts";
export type { CallPlan, NetworkPlan } from "./rcod/inspect/call-plan.ts";
export type { PlannedStep, PlannedValue } from "./rcod/inspect/graph-summary.ts";
export type { MemoryUse } from "./gpu/memory.ts";
export type { RawImage } from "./rcod/settings/options.ts";
export { ConfigError } from "./rcod/settings/config.ts";
export { NumbersError } from "./rcod/settings/numbers-error.ts";
export { ShapeError } from "./gpu/shape.ts";
export { DeviceError, DeviceLostError } from "./gpu/errors.ts";
export { WeightsError } from "./weights/index.ts";
export type { HttpOptions } from "./weights/index.ts";
export { requestGpu } from "./gpu/device.ts";
export type { Gpu } from "./gpu/device.ts";
