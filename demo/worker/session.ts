/** The worker's state: one device, one model, the open picture, results. */
import type { Gpu, Progress, RcodModel } from "rcod-webgpu";
import { requestGpu } from "rcod-webgpu/gpu";
import { modelKey, modelName } from "../model-key.ts";
import type {
  Blend,
  DeviceInfo,
  DeviceMemory,
  Estimate,
  EstimateArgs,
  ImageInfo,
  ModelChoice,
  ModelInfo,
  PictureSource,
  Precision,
  ResultBegun,
  ResultFiles,
  ResultInfo,
  SaveOptions,
  UpscaleSettings,
} from "../protocol.ts";
import { decodePixels, readPixels } from "./decode-image.ts";
import { decodeFile, decodeFilePixels } from "./decode-plan.ts";
import { describeDevice, integersOf } from "./device-info.ts";
import type { Layer } from "./layer.ts";
import { LayerStore } from "./layers.ts";
import { ResultArchive } from "./result-archive.ts";
import { resultInfo } from "./result-info.ts";
import { layerToBlob } from "./save.ts";
import { thumbnailOf } from "./thumbnail.ts";
import { upscaleAtPlaces, upscaleImage, upscaleOptions } from "./upscale.ts";
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

/** The picture that is looked at. */
interface OpenPicture {
  readonly key: string;
  /** It belongs to the viewer, which closes it. */
  readonly bitmap: ImageBitmap;
  readonly width: number;
  readonly height: number;
  /** Undefined until the pixels are read. */
  readonly image: ImageData | undefined;
}

export class Session {
  readonly view = new Viewer((id) => void this.#bringBack(id));
  readonly #events: SessionEvents;
  readonly #archive = new ResultArchive();
  /** Results that are being decoded. */
  readonly #coming = new Map<number, Promise<void>>();
  #gpu: Gpu | undefined;
  #layers: LayerStore | undefined;
  #model: RcodModel | undefined;
  #modelKey = "";
  /** The same object for every run: the engine keeps the encoding of the last image by identity. */
  #open: OpenPicture | undefined;

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
    return this.#open?.image;
  }

  /** A device, in place of the present one. Pictures stay, and results that are files; models go. */
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
    this.#layers = new LayerStore(gpu.device, this.#archive);
    if (this.image) this.#layers.setSource(this.image);
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
    const { loadChosen } = await import("./model-choice.ts");
    context.signal.throwIfAborted();
    const model = await loadChosen(choice, { gpu, precision, ...context });
    this.#model = model;
    this.#modelKey = modelKey(choice, model.precision);
    return {
      name: modelName(choice),
      key: this.#modelKey,
      upscale: model.configs.rcod.upscale,
      precision: model.precision,
      weights: integersOf(model),
      supportsAuto: model.supportsAuto,
      bytes: gpu.memory.use().currentBytes,
      loadMs: performance.now() - startedAt,
    };
  }

  /** Shows a picture; its pixels are not there yet. */
  async openImage({ key, ...source }: PictureSource, signal: AbortSignal): Promise<ImageInfo> {
    const { bitmap, file, notes } = await decodeFile(source);
    signal.throwIfAborted(); // a later picture may be open by now
    const { width, height } = bitmap;
    this.#open = { key, bitmap, width, height, image: undefined };
    return { serial: this.view.open(bitmap), width, height, file, notes };
  }

  /** Reads the pixels of the picture that is shown. */
  async readImage(): Promise<void> {
    const open = this.#open;
    if (!open || open.image) return;
    await this.view.hasShown();
    const image = await readPixels(open.bitmap);
    if (this.#open !== open) return; // another picture came
    this.#open = { ...open, image };
    this.#layers?.setSource(image);
    this.view.isRead();
  }

  /** What an upscale would take; null before a model is loaded. */
  async estimate({ picture, ...settings }: EstimateArgs): Promise<Estimate | null> {
    const model = this.#model;
    if (!model) return null;
    const { width, height } = picture;
    const options = { width, height, ...upscaleOptions(settings) };
    const { outWidth, outHeight, work, timeMs, firstRunMs, ...call } =
      await model.estimate(options);
    return {
      width: outWidth,
      height: outHeight,
      regions: call.regions,
      work: Object.values(work).reduce((sum, each) => sum + each, 0),
      timeMs: firstRunMs ?? timeMs ?? null,
      peakBytes: call.peakBytes,
      advice: call.advice,
    };
  }

  /** Upscales a picture, which need not be the open one. */
  async upscale(
    source: PictureSource,
    settings: UpscaleSettings,
    under: Blend | null,
    context: RunContext,
    onBegin: (begun: ResultBegun) => void,
  ): Promise<ResultInfo> {
    const [model, layers, key] = [this.#model, this.#layers, this.#modelKey];
    if (!model || !layers) throw new Error("internal: upscale before loadModel");
    const isOpen = this.#open?.key === source.key;
    if (isOpen) await this.readImage(); // where that failed before, it says why again
    const image = (isOpen && this.image) || (await decodeFilePixels(source));
    const startedAt = performance.now();
    const onPart = (): void => this.view.redraw();
    const lookedAt = isOpen ? this.view.lookedAt() : "middle";
    const place = { lookedAt, under };
    const run = { model, image, layers, settings, ...place, ...context, onBegin, onPart };
    const upscaled = await upscaleImage(run);
    this.view.redraw();
    const totalMs = performance.now() - startedAt;
    return resultInfo({ upscaled, settings, model: key, totalMs });
  }

  /** The open picture at places of realism that the visitor has not asked for yet. */
  async upscaleAhead(
    settings: UpscaleSettings,
    places: readonly number[],
    context: RunContext,
  ): Promise<readonly ResultInfo[]> {
    const [model, layers, key, image] = [this.#model, this.#layers, this.#modelKey, this.image];
    if (!model || !layers || !image) throw new Error("internal: nothing to compute ahead");
    const startedAt = performance.now();
    const run = { model, image, layers, settings, ...context };
    const all = await upscaleAtPlaces(run, places);
    const totalMs = (performance.now() - startedAt) / all.length;
    return all.map((upscaled, i) => {
      const own = { ...settings, realism: places[i] as number };
      return resultInfo({ upscaled, settings: own, model: key, totalMs });
    });
  }

  async save({ result, ...options }: SaveOptions): Promise<Blob> {
    const file = options.type === "image/png" && this.#archive.file(result);
    return file || layerToBlob(this.gpu.device, await this.#layer(result), options);
  }

  async keepResult(id: number): Promise<ResultFiles> {
    const known = this.#archive.file(id);
    const layer = known ? undefined : await this.#layer(id);
    const file =
      known ?? (await layerToBlob(this.gpu.device, layer as Layer, { type: "image/png" }));
    this.#archive.add(id, file);
    this.#layers?.adopt(id);
    return { file, thumbnail: (await thumbnailOf(file)).blob };
  }

  restoreResults(files: readonly (readonly [id: number, file: Blob])[]): void {
    for (const [id, file] of files) this.#archive.add(id, file);
    this.view.redraw();
  }

  forgetResults(ids: readonly number[]): void {
    for (const id of ids) {
      this.#archive.forget(id);
      this.#layers?.drop(id);
    }
    this.view.redraw();
  }

  async #layer(id: number): Promise<Layer> {
    if (!this.#layers?.layer(id)) await this.#bringBack(id);
    const layer = this.#layers?.layer(id);
    if (!layer) throw new Error("image: this result is gone. Upscale again");
    return layer;
  }

  /** A result whose textures had made room. */
  #bringBack(id: number): Promise<void> {
    const file = this.#archive.file(id);
    if (!file) return Promise.resolve();
    const coming =
      this.#coming.get(id) ?? this.#decode(id, file).finally(() => this.#coming.delete(id));
    this.#coming.set(id, coming);
    return coming;
  }

  async #decode(id: number, file: Blob): Promise<void> {
    const image = await decodePixels(file).catch(() => null);
    if (image === null) {
      // Deleted under the browser: the picture stays bicubic.
      this.#archive.forget(id);
      return;
    }
    this.#layers?.restore(id, image);
    this.view.redraw();
  }

  async #reportLoss(gpu: Gpu): Promise<void> {
    const { reason, message } = await gpu.device.lost;
    if (this.#gpu !== gpu) return; // replaced on purpose
    this.view.setDevice(undefined, undefined);
    this.#layers = undefined;
    this.#model = undefined;
    this.#events.onDeviceLost(reason, message);
  }

  deviceMemory(): DeviceMemory {
    const { currentBytes } = this.gpu.memory.use();
    return { engine: currentBytes, pictures: this.#layers?.byteLength ?? 0 };
  }

  destroyDevice(): void {
    this.#gpu?.device.destroy();
  }
}
