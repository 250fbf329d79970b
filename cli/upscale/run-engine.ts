/** The engine of one run: loaded for the first image, and again on a new device where one is lost. */
import type { Gpu } from "../../src/gpu/device.ts";
import { withMemoryBudget } from "../../src/gpu/device.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import type {
  ImageReader,
  RawImage,
  RegionsOptions,
  RegionsResult,
  UpscaleOptions,
  UpscaleResult,
} from "../../src/rcod/settings/options.ts";
import { defined } from "../defined.ts";
import type { LoadModel, Model } from "../engine.ts";
import { modelPaths } from "../model-paths.ts";
import type { ProgressDisplay } from "../progress.ts";
import type { UpscaleCliOptions } from "./command.ts";
import type { Size, TargetSize } from "./sizing.ts";

/** Devices that a run may lose: what is to blame for more is not chance. */
const MOST_LOST = 2;

/** What the engine is loaded with. */
export interface EngineWork {
  readonly options: UpscaleCliOptions;
  readonly openGpu: (toggles: readonly string[]) => Promise<Gpu>;
  readonly loadModel: LoadModel;
  readonly progress: ProgressDisplay;
  readonly signal: AbortSignal;
  /** Hears what the user should know now. */
  readonly onNote: (message: string) => void;
}

interface Loaded {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly loadMs: number;
}

export class RunEngine {
  readonly #work: EngineWork;
  #loaded: Loaded | undefined;
  #lost = 0;
  /** Of the first device: with another one regions would be others, and a call could not go on. */
  #memoryBudget: number | undefined;

  constructor(work: EngineWork) {
    this.#work = work;
  }

  /** What is loaded; undefined before the first `load`. */
  get loaded(): Loaded | undefined {
    return this.#loaded;
  }

  /** Loads the model once. The first image's shaders are compiled meanwhile: it is of that size, and `asked` for so. */
  async load({ width, height }: Size, asked: TargetSize["asked"]): Promise<Model> {
    if (this.#loaded !== undefined) return this.#loaded.model;
    const { options, openGpu, loadModel, progress, signal, onNote } = this.#work;
    const { precision, autotune, dawnToggles, lowMemory = false, tile, region } = options;
    const { reference, strict } = options;
    const opened = await openGpu(dawnToggles);
    this.#memoryBudget ??= opened.caps.memoryBudget;
    const budget = this.#memoryBudget;
    const gpu = budget === undefined ? opened : withMemoryBudget(opened, budget);
    try {
      signal.throwIfAborted();
      progress.start("model");
      const startedAt = performance.now();
      const model = await loadModel(modelPaths(options), {
        gpu,
        precision,
        lowMemory,
        ...defined({ autotune, strict }),
        onWarning: onNote,
        prepareFor: { width, height, ...asked, ...defined({ tile, region, reference }) },
        signal,
        onProgress: (state) => progress.update(state),
      });
      this.#loaded = { gpu, model, loadMs: performance.now() - startedAt };
      return model;
    } catch (error) {
      gpu.destroy();
      throw error;
    } finally {
      progress.stop();
    }
  }

  /**
   * Upscales, and shows how far it is with `subject`. Where the device is lost the model is loaded again and the call goes on,
   * from its finished regions if there are some. Throws what the engine throws, a loss only where it is one too many.
   */
  upscale(
    subject: string,
    image: RawImage | ImageReader,
    options: RegionsOptions,
  ): Promise<RegionsResult>;
  upscale(
    subject: string,
    image: RawImage | ImageReader,
    options: UpscaleOptions,
  ): Promise<UpscaleResult>;
  async upscale(
    subject: string,
    image: RawImage | ImageReader,
    options: UpscaleOptions | RegionsOptions,
  ): Promise<UpscaleResult | RegionsResult> {
    const { progress, signal } = this.#work;
    const { scale, size } = options;
    let resume: object | undefined;
    for (;;) {
      const model = await this.load(image, defined({ scale, size }));
      progress.start(subject);
      try {
        return await model.upscale(image, {
          ...(options as UpscaleOptions),
          ...defined({ resume }),
          signal,
          onProgress: (state) => progress.update(state),
        });
      } catch (error) {
        if (!(error instanceof DeviceLostError) || signal.aborted) throw error;
        if (++this.#lost > MOST_LOST) throw error;
        resume = error.resume;
        this.#goOn(error);
      } finally {
        progress.stop();
      }
    }
  }

  /** Frees everything. Idempotent. */
  close(): void {
    this.#loaded?.model.dispose();
    this.#loaded?.gpu.destroy();
    this.#loaded = undefined;
  }

  #goOn({ message, resume }: DeviceLostError): void {
    this.close();
    const where = resume ? "goes on with the regions that are missing" : "begins the image again";
    const reason = message.replace(/\. Create a new device.*$/, "");
    this.#work.onNote(`${reason}. The model is loaded again on a new one, which ${where}`);
  }
}
