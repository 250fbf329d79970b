/** The loaded model: what `loadModel` gives to embedders. */
import type { Caps } from "../gpu/caps.ts";
import { fasterDType } from "../gpu/caps.ts";
import type { Gpu } from "../gpu/device.ts";
import { adoptDevice, requestGpu, withMatrixUnits, withVariants } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import type { MemoryUse } from "../gpu/memory.ts";
import type { SourceImage } from "./images/source-image.ts";
import { isTexture } from "./images/source-image.ts";
import type { CallPlan } from "./inspect/call-plan.ts";
import type { StageModules } from "./inspect/stage-modules.ts";
import { loadWeights } from "./loading/load.ts";
import type { ModelSource } from "./loading/model-source.ts";
import { modelFiles } from "./loading/model-source.ts";
import { readConfigs } from "./loading/read-configs.ts";
import { Pipeline } from "./pipeline.ts";
import type { ModelConfigs } from "./settings/model-configs.ts";
import { predictsMetric } from "./settings/model-configs.ts";
import type {
  Precision,
  Progress,
  RawImage,
  TextureOptions,
  TextureResult,
  UpscaleOptions,
  UpscaleResult,
} from "./settings/options.ts";
import type { PreparedCall } from "./stages/planned-networks.ts";
import { PlannedNetworks } from "./stages/planned-networks.ts";
import type { VariantOptions } from "./tuning/model-variants.ts";
import { modelVariants } from "./tuning/model-variants.ts";

/** How a model is loaded. */
export interface LoadOptions extends VariantOptions {
  /** The device to use: ours, or a GPUDevice shared with other code. Default: a new one. */
  readonly gpu?: Gpu | GPUDevice;
  /**
   * Storage of weights and activations; arithmetic is always f32. "auto" is f16 on GPUs and f32 on software
   * adapters, which widen halves slowly.
   */
  readonly precision?: Precision;
  /**
   * Only the weights of the stage that runs are on the device: at most those of the UNet, instead of all. They are
   * read, merged and packed anew for every stage of every image, from files that must stay where they are until
   * `dispose`; another realism for the same image reads UNet and decoder only. The picture is the same. Default false.
   */
  readonly lowMemory?: boolean;
  /**
   * The size of the first image, and its `tile` and `reference` where it has them: its shaders are compiled while the weights
   * load. Default: from the first call on.
   */
  readonly prepareFor?: PreparedCall;
  /** Ends loading; `loadModel` rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Hears of the bytes loaded. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Images a model takes. Pixels stay in their space: a result of `ImageData` or of a canvas with "display-p3" is in it too, and
 * says so. An `ImageBitmap` does not tell its own and is read as sRGB. A texture must be of the model's device (`model.gpu.device`), 2d,
 * rgba8unorm, one layer, usage COPY_SRC; its first mip level is copied, not read back, and its alpha kept.
 */
export type ImageInput =
  | RawImage
  | ImageData
  | ImageBitmap
  | HTMLCanvasElement
  | OffscreenCanvas
  | GPUTexture;

/** A model on a device. Owns its buffers: call `dispose()` when done. */
export class RcodModel {
  /** Storage of weights and activations. */
  readonly precision: DType;
  /** The device, for textures in and out and for what its memory holds. */
  readonly gpu: Gpu;
  /** What its device can do; `variants` are what measurements or the caller chose. */
  readonly caps: Caps;
  /** What its configuration files say. */
  readonly configs: ModelConfigs;
  /** Whether `realism: "auto"` works: the model has a metric estimation module. */
  readonly supportsAuto: boolean;
  readonly #pipeline: Pipeline;
  readonly #ownedGpu: Gpu | undefined;
  /** Pixels of the last ImageData or ImageBitmap, so that passing it again hits the encoder's cache. */
  readonly #converted = new WeakMap<object, RawImage>();

  /** Use `loadModel`. */
  constructor(pipeline: Pipeline, gpu: Gpu, ownsGpu: boolean) {
    this.#pipeline = pipeline;
    this.precision = pipeline.dtype;
    this.configs = pipeline.configs;
    this.supportsAuto = predictsMetric(pipeline.configs);
    this.gpu = gpu;
    this.caps = gpu.caps;
    this.#ownedGpu = ownsGpu ? gpu : undefined;
  }

  /**
   * Enlarges an image ×4 (the model's `upscale`). Calls are queued. Passing the same image object again
   * with only `realism`, `realismMask`, `timestep` or `colorFix` changed reuses its encoding. With
   * `output: "texture"` the result stays on the device.
   * @throws ShapeError for an impossible image, RangeError for an impossible `realism` or `timestep`,
   * DeviceError from the GPU, the signal's reason when aborted
   */
  async upscale(image: ImageInput, options: TextureOptions): Promise<TextureResult>;
  /** The same with the pixels read back. */
  async upscale(image: ImageInput, options?: UpscaleOptions): Promise<UpscaleResult>;
  async upscale(
    image: ImageInput,
    options: UpscaleOptions | TextureOptions = {},
  ): Promise<UpscaleResult | TextureResult> {
    return this.#pipeline.upscale(this.#source(image), options as UpscaleOptions);
  }

  /**
   * What a call with an image of `width` × `height` pixels takes on this device, without running anything: per
   * network its flops, dispatches, slots of memory, and every step and value. `tile` as in `UpscaleOptions`.
   * @throws ShapeError for an impossible size or tile
   */
  plan(options: {
    readonly width: number;
    readonly height: number;
    readonly tile?: number;
  }): CallPlan {
    return this.#pipeline.plan(options, options.tile);
  }

  /** Bytes on the device by purpose, of everything that shares its `Gpu`; textures given away are not counted. */
  memoryUse(): MemoryUse {
    return this.gpu.memory.use();
  }

  /** Names of what `inspect.captures` can read, by stage. */
  modules(): StageModules {
    return this.#pipeline.modules;
  }

  /** Frees everything on the device, and the device itself when `loadModel` made it. Idempotent. */
  dispose(): void {
    this.#pipeline.dispose();
    this.#ownedGpu?.destroy();
  }

  #source(image: ImageInput): SourceImage {
    if ("channels" in image || isTexture(image)) return image;
    if ("getContext" in image) return fromCanvas(image); // its pixels change, so nothing is kept
    let raw = this.#converted.get(image);
    if (raw === undefined) {
      raw = "data" in image ? fromImageData(image) : fromBitmap(image);
      this.#converted.set(image, raw);
    }
    return raw;
  }
}

/**
 * Loads a model from one folder, or from a base model, CLIP and a checkpoint of different origin:
 *
 * ```ts
 * const base = "https://host/stable-diffusion-2-1-base"; // unet/ and vae/
 * const model = await loadModel({ model: base, clip: clipFolder, checkpoint: rcodFile });
 * ```
 *
 * Configurations are read first, then every tensor's name and shape is checked, then weights go to the device
 * one by one.
 * @throws WeightsError or ConfigError for what is wrong with the files, DeviceError without a usable GPU
 */
export async function loadModel(
  source: ModelSource,
  options: LoadOptions = {},
): Promise<RcodModel> {
  const { signal, onProgress, precision = "auto", lowMemory = false, prepareFor } = options;
  const files = modelFiles(source);
  const configs = await readConfigs(files, signal);
  const given = options.gpu;
  const gpu =
    given === undefined
      ? await requestGpu()
      : "pipelines" in given
        ? given
        : await withMatrixUnits(adoptDevice(given));
  const dtype: DType = precision === "auto" ? fasterDType(gpu.caps) : precision;
  let planned: PlannedNetworks | undefined;
  try {
    const tuned = withVariants(gpu, await modelVariants(gpu, configs, dtype, options, signal));
    planned = new PlannedNetworks(tuned, configs, dtype);
    if (prepareFor) void planned.prepare(prepareFor);
    const weights = await loadWeights(gpu, files, configs, dtype, {
      lowMemory,
      signal,
      onProgress: (bytesLoaded, bytesTotal) => {
        const fraction = bytesTotal > 0 ? bytesLoaded / bytesTotal : 1;
        onProgress?.({ stage: "load", stageFraction: fraction, fraction, bytesLoaded, bytesTotal });
      },
    });
    return new RcodModel(
      new Pipeline(tuned, configs, weights, dtype, planned),
      tuned,
      given === undefined,
    );
  } catch (error) {
    planned?.clear();
    if (given === undefined) gpu.destroy();
    throw error;
  }
}

function fromImageData({ width, height, data, colorSpace }: ImageData): RawImage {
  return { width, height, channels: 4, data, ...(colorSpace === "display-p3" && { colorSpace }) };
}

function fromCanvas(canvas: HTMLCanvasElement | OffscreenCanvas): RawImage {
  const { width, height } = canvas;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D | null;
  if (context === null) {
    throw new TypeError(
      "image: a canvas must have a 2d context, got one of another kind. Draw it into a 2d canvas, or pass an ImageBitmap",
    );
  }
  const { colorSpace = "srgb" } = context.getContextAttributes();
  return fromImageData(context.getImageData(0, 0, width, height, { colorSpace }));
}

function fromBitmap(bitmap: ImageBitmap): RawImage {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null)
    throw new Error("image: this environment cannot read an ImageBitmap. Pass ImageData");
  context.drawImage(bitmap, 0, 0);
  return fromImageData(context.getImageData(0, 0, bitmap.width, bitmap.height));
}
