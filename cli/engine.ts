/** What the command line uses of the engine. */
import type { Gpu } from "../src/gpu/device.ts";
import type { LoadOptions } from "../src/rcod/model.ts";
import type { UpscaleOptions, UpscaleResult } from "../src/rcod/settings/options.ts";
import type { ModelPaths } from "./model-paths.ts";
import { modelFilesAt } from "./model-paths.ts";

/** An image with as many channels and bits as its file has: interleaved rows from the top. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 1: grey; 2: grey and alpha; 3: RGB; 4: RGBA. Alpha is not premultiplied. */
  readonly channels: 1 | 2 | 3 | 4;
  /** 16 bits are 0 … 65535. */
  readonly data: Uint8Array | Uint8ClampedArray | Uint16Array;
}

/** What the commands use of a loaded model; `RcodModel` is one. */
export interface Model {
  upscale(image: Pixels, options?: PixelOptions): Promise<PixelResult>;
  readonly precision: "f32" | "f16";
  dispose(): void;
}

/** Options of one call; `depth` are the bits of the result, by default the image's. */
export type PixelOptions = UpscaleOptions & { readonly depth?: 8 | 16 };

/** A result with the image's channels. */
export type PixelResult = Omit<UpscaleResult, "image"> & { readonly image: Pixels };

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
  const files = await modelFilesAt(paths);
  const model = await loadModel(files, { tuningStore: fileTuningStore(), ...options });
  return model as unknown as Model; // TODO(once the engine's RawImage has grey and 16 bits): no cast
};
