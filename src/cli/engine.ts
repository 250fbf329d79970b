/** What the command line asks of the engine. */
import type { Gpu } from "../gpu/device.ts";
import type { RawImage } from "../rcod/image-ops.ts";
import type { Precision, Progress, UpscaleOptions, UpscaleResult } from "../rcod/options.ts";

export type { RawImage } from "../rcod/image-ops.ts";
export type { Precision, Progress, Stage, UpscaleOptions, UpscaleResult } from "../rcod/options.ts";

/** What the commands use of a loaded model; `RcodModel` is one. */
export interface Model {
  upscale(image: RawImage, options?: UpscaleOptions): Promise<UpscaleResult>;
  readonly precision: "f32" | "f16";
  dispose(): void;
}

export type LoadModel = (
  folder: string,
  options: {
    readonly gpu: Gpu;
    readonly precision?: Precision;
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: Progress) => void;
  },
) => Promise<Model>;

/** Output pixels per input pixel along each side. */
export const SCALE = 4;

/** The engine's loader, imported only once a command needs it. */
export async function engineLoader(): Promise<LoadModel> {
  const [{ loadModel }, { folderFiles }] = await Promise.all([
    import("../rcod/model.ts"),
    import("../weights/node-source.ts"),
  ]);
  return (folder, options) => loadModel(folderFiles(folder), options);
}
