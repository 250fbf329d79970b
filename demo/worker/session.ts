import type { Gpu, Progress, RcodModel } from "rcod-webgpu";
import { loadModel, requestGpu } from "rcod-webgpu";
import type {
  DeviceInfo,
  Estimate,
  ImageInfo,
  ModelChoice,
  ModelInfo,
  Precision,
  ResultBegun,
  ResultInfo,
  SaveOptions,
  UpscaleSettings,
} from "../protocol.ts";
/** The worker's state: one device, one model, one picture, the last results. */
import type { DecodedImage } from "./decode-image.ts";
import { LayerStore } from "./layers.ts";
import { describeDevice, modelName, modelSource } from "./model-choice.ts";
import { resultInfo } from "./result-info.ts";
import { layerToBlob } from "./save.ts";
import { upscaleImage, upscaleOptions } from "./upscale.ts";
import { Viewer } from "./viewer.ts";

export interface SessionEvents {
  readonly onDeviceLost: (reason: string, message: string) => void;
}

/** How long to wait before asking again for the device that takes the place of a lost one. */
const RETRY_MS: readonly number[] = [250, 500, 1000, 2000, 4000];

/** A loss may have taken the browser's GPU process along; until that is up again no adapter answers. */
async function requestAgain(request: () => Promise<Gpu>, hadDevice: boolean): Promise<Gpu> {
  for (const delayMs of hadDevice ? RETRY_MS : []) {
    try {
      return await request();
    } catch {
      await new Promise((done) => setTimeout(done, delayMs));
    }
  }
  return request();
}

/** What a command works with. */
export interface CommandContext {
  readonly session: Session;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

interface RunContext {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

export class Session {
  readonly view = new Viewer();
  readonly #events: SessionEvents;
  #gpu: Gpu | undefined;
  #layers: LayerStore | undefined;
  #model: RcodModel | undefined;
  /** The same object for every run: the engine keeps the encoding of the last image by identity. */
  #image: ImageData | undefined;

  constructor(events: SessionEvents) {
    this.#events = events;
  }

  /** The device. Throws before `start`, and what failed on it since the last time. */
  get gpu(): Gpu {
    if (this.#gpu === undefined) throw new Error("internal: no device yet");
    this.#gpu.throwIfFailed();
    return this.#gpu;
  }

  get model(): RcodModel | undefined {
    return this.#model;
  }

  get image(): ImageData | undefined {
    return this.#image;
  }

  /** A device, in place of the present one. Pictures stay, models and results go. */
  async start({
    withoutFeatures = [],
  }: {
    readonly withoutFeatures?: readonly string[];
  }): Promise<DeviceInfo> {
    this.#model?.dispose();
    this.#model = undefined;
    this.#gpu?.destroy();
    const gpu = await requestAgain(() => requestGpu({ withoutFeatures }), this.#gpu !== undefined);
    this.#gpu = gpu;
    this.#layers = new LayerStore(gpu.device);
    if (this.#image) this.#layers.setSource(this.#image);
    this.view.setDevice(gpu.device, this.#layers);
    void this.#reportLoss(gpu);
    return describeDevice(gpu);
  }

  async loadModel(
    choice: ModelChoice,
    precision: Precision,
    context: RunContext,
  ): Promise<ModelInfo> {
    this.#model?.dispose();
    this.#model = undefined;
    const gpu = this.gpu;
    const startedAt = performance.now();
    const model = await loadModel(modelSource(choice), { gpu, precision, ...context });
    this.#model = model;
    if (this.#image) this.#layers?.setSource(this.#image);
    return {
      name: modelName(choice),
      upscale: model.configs.rcod.upscale,
      precision: model.precision,
      supportsAuto: model.supportsAuto,
      bytes: gpu.memory.use().currentBytes,
      loadMs: performance.now() - startedAt,
    };
  }

  setImage({ image, notes }: DecodedImage): ImageInfo {
    this.#image = image;
    this.#layers?.setSource(image);
    this.view.redraw();
    return { width: image.width, height: image.height, notes };
  }

  /** What an upscale of the picture would take; null before a model is loaded. */
  async estimate(settings: UpscaleSettings): Promise<Estimate | null> {
    const [model, image] = [this.#model, this.#image];
    if (!model || !image) return null;
    const { width, height } = image;
    const { regions, timeMs, firstRunMs, peakBytes, advice } = await model.estimate({
      width,
      height,
      ...upscaleOptions(settings),
    });
    return { regions, timeMs: firstRunMs ?? timeMs ?? null, peakBytes, advice };
  }

  async upscale(
    settings: UpscaleSettings,
    context: RunContext,
    onBegin: (begun: ResultBegun) => void,
  ): Promise<ResultInfo> {
    const [model, image, layers] = [this.#model, this.#image, this.#layers];
    if (!model) throw new Error("internal: upscale before loadModel");
    if (!image || !layers) throw new Error("internal: upscale before openImage");
    const startedAt = performance.now();
    const onPart = (): void => this.view.redraw();
    const run = { model, image, layers, settings, ...context, onBegin, onPart };
    const upscaled = await upscaleImage(run);
    this.view.redraw();
    const { timesteps } = model.configs.rcod;
    const totalMs = performance.now() - startedAt;
    return resultInfo({ upscaled, settings, timesteps, totalMs });
  }

  save({ result, ...options }: SaveOptions): Promise<Blob> {
    const layer = this.#layers?.layer(result);
    if (!layer) throw new Error("image: this result is gone. Upscale again");
    return layerToBlob(this.gpu.device, layer, options);
  }

  async #reportLoss(gpu: Gpu): Promise<void> {
    const { reason, message } = await gpu.device.lost;
    if (this.#gpu !== gpu) return; // replaced on purpose
    this.view.setDevice(undefined, undefined);
    this.#model = undefined;
    this.#events.onDeviceLost(reason, message);
  }

  destroyDevice(): void {
    this.#gpu?.device.destroy();
  }
}
