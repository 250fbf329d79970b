/** The model of a worker: loaded for its first picture, kept, and loaded again on a new device where one was lost. */
import { defined } from "../../cli/defined.ts";
import type { LoadModel, Model } from "../../cli/engine.ts";
import { modelPaths } from "../../cli/model-paths.ts";
import type { ModelSizes } from "../../cli/upscale/geometry-check.ts";
import { modelSizes } from "../../cli/upscale/geometry-check.ts";
import type { RunEngine } from "../../cli/upscale/run-engine.ts";
import type { Size, TargetSize } from "../../cli/upscale/sizing.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import type {
  ImageReader,
  Precision,
  RawImage,
  UpscaleOptions,
} from "../../src/rcod/settings/options.ts";
import type { InferenceSetup } from "./protocol.ts";

/** What the engine stands on; tests put their own here. */
export interface EngineParts {
  readonly openGpu: (toggles: readonly string[]) => Promise<Gpu>;
  readonly loadModel: LoadModel;
  readonly onNote: (message: string) => void;
}

/** As `upscaleJob` calls the engine. */
type PictureCalls = Pick<RunEngine, "upscale">;

interface Loaded {
  readonly gpu: Gpu;
  readonly model: Model;
}

export class FleetEngine {
  readonly #setup: InferenceSetup;
  readonly #parts: EngineParts;
  readonly #sizes = new Map<boolean, Promise<ModelSizes>>();
  #loaded: Promise<Loaded> | undefined;
  #precision: Precision | undefined;
  /** The last call on the model. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(setup: InferenceSetup, parts: EngineParts) {
    this.#setup = setup;
    this.#parts = parts;
  }

  /** What the model says of sizes, read once; after a failure again. */
  async sizes(isReference: boolean): Promise<ModelSizes> {
    const known = this.#sizes.get(isReference) ?? modelSizes(this.#setup, isReference);
    this.#sizes.set(isReference, known);
    try {
      return await known;
    } catch (error) {
      this.#sizes.delete(isReference);
      throw error;
    }
  }

  /** The model in `precision`, loaded once. The first picture's shaders are compiled meanwhile. */
  async load(
    precision: Precision,
    { width, height }: Size,
    asked: TargetSize["asked"],
  ): Promise<Model> {
    if (this.#precision !== precision) await this.close();
    this.#precision = precision;
    this.#loaded ??= this.#load(precision, { width, height, ...asked });
    try {
      return (await this.#loaded).model;
    } catch (error) {
      this.#loaded = undefined;
      throw error;
    }
  }

  /** The calls of one picture on a loaded model, which end with `signal`. `onBegun` hears when they are the next in turn. */
  calls(model: Model, signal: AbortSignal, onBegun: () => void): PictureCalls {
    return {
      upscale: (async (
        _subject: string,
        image: RawImage | ImageReader,
        options: UpscaleOptions,
      ) => {
        void this.#last.then(onBegun); // calls on a model queue up
        const call = model.upscale(image, { ...options, signal });
        this.#last = call.catch(() => undefined);
        try {
          return await call;
        } catch (error) {
          if (error instanceof DeviceLostError) await this.close();
          throw error;
        }
      }) as PictureCalls["upscale"],
    };
  }

  /** Frees everything; the next `load` begins anew. */
  async close(): Promise<void> {
    const loading = this.#loaded;
    this.#loaded = undefined;
    this.#precision = undefined;
    const loaded = await loading?.catch(() => undefined);
    loaded?.model.dispose();
    loaded?.gpu.destroy();
  }

  async #load(precision: Precision, prepareFor: Size & TargetSize["asked"]): Promise<Loaded> {
    const { dawnToggles, lowMemory = false, autotune, strict } = this.#setup;
    const gpu = await this.#parts.openGpu(dawnToggles);
    try {
      const model = await this.#parts.loadModel(modelPaths(this.#setup), {
        gpu,
        precision,
        lowMemory,
        ...defined({ autotune, strict }),
        onWarning: this.#parts.onNote,
        prepareFor,
      });
      return { gpu, model };
    } catch (error) {
      gpu.destroy();
      throw error;
    }
  }
}
