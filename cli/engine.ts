/** What the command line uses of the engine. */
import type { Gpu } from "../src/gpu/device.ts";
import type { LoadOptions, RcodModel } from "../src/rcod/model.ts";
import type {
  ImageReader,
  RawImage,
  RegionsOptions,
  RegionsResult,
  UpscaleOptions,
  UpscaleResult,
} from "../src/rcod/settings/options.ts";
import type { ModelPaths } from "./model-paths.ts";
import { modelFilesAt } from "./model-paths.ts";

/** What a call will take. */
export type CallEstimate = Awaited<ReturnType<RcodModel["estimate"]>>;

/** What the commands use of a loaded model; `RcodModel` is one. */
export interface Model extends Pick<RcodModel, "estimate"> {
  upscale(image: RawImage | ImageReader, options: RegionsOptions): Promise<RegionsResult>;
  upscale(image: RawImage | ImageReader, options?: UpscaleOptions): Promise<UpscaleResult>;
  readonly precision: "f32" | "f16";
  dispose(): void;
}

export type LoadModel = (
  paths: ModelPaths,
  options: LoadOptions & { readonly gpu: Gpu },
) => Promise<Model>;

/** Output pixels per input pixel along each side. */
export const SCALE = 4;

/** The engine's loader with this user's table of measured variants. Imports the engine only now. */
export const loadModelAt: LoadModel = async (paths, options) => {
  const { loadModel } = await import("../src/rcod/model.ts");
  const { fileTuningStore } = await import("../src/node/tuning-file.ts");
  return loadModel(await modelFilesAt(paths), { tuningStore: fileTuningStore(), ...options });
};
