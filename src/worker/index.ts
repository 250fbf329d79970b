/**
 * The model in a worker: the same calls, while the page stays responsive.
 *
 * ```ts
 * const model = await loadModelInWorker("/models/rcod-tiny");
 * const { image } = await model.upscale(imageData, { realism: 0.5, signal, onProgress });
 * model.dispose();
 * ```
 */
export type {} from "../web-types.ts";
export { loadModelInWorker } from "./load-model-in-worker.ts";
export type {
  WorkerFileSource,
  WorkerFolderSource,
  WorkerLoadOptions,
  WorkerModelSource,
} from "./load-model-in-worker.ts";
export type { Transferred, WorkerLike } from "./connection.ts";
export type {
  WorkerImageInput,
  WorkerModel,
  WorkerRegionsOptions,
  WorkerSeveralOptions,
  WorkerUpscaleOptions,
} from "./worker-model.ts";
