/** The loaded model: what `loadModel` gives to embedders. */
import { abortable } from "../abort.ts";
import type { Caps } from "../gpu/caps.ts";
import { fasterDType } from "../gpu/caps.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  adoptDevice,
  requestGpu,
  withMatrixUnits,
  withMemoryBudget,
  withOwnErrors,
  withVariants,
} from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { messageOf } from "../gpu/errors.ts";
import type { MemoryUse } from "../gpu/memory.ts";
import { ShapeError } from "../gpu/shape.ts";
import type { OptionRules } from "../options.ts";
import {
  abortSignal,
  callback,
  checkOptions,
  flag,
  integer,
  objectValue,
  oneOf,
  shown,
} from "../options.ts";
import type { CallEstimate, EstimateOptions } from "./estimate-call.ts";
import type { ImageSource } from "./images/source-image.ts";
import { isReader, isTexture } from "./images/source-image.ts";
import type { CallPlan } from "./inspect/call-plan.ts";
import type { StageModules } from "./inspect/stage-modules.ts";
import { abortableFiles } from "./loading/abortable-files.ts";
import type { ModelWeights } from "./loading/load.ts";
import { loadWeights, partDType } from "./loading/load.ts";
import type { ModelSource } from "./loading/model-source.ts";
import { modelFiles } from "./loading/model-source.ts";
import { readConfigs } from "./loading/read-configs.ts";
import { Pipeline } from "./pipeline.ts";
import type { ModelConfigs } from "./settings/model-configs.ts";
import { predictsMetric } from "./settings/model-configs.ts";
import type {
  ImageReader,
  Precision,
  Progress,
  RawImage,
  RegionsOptions,
  RegionsResult,
  SeveralOptions,
  TextureOptions,
  TextureResult,
  UpscaleOptions,
  UpscaleResult,
} from "./settings/options.ts";
import type { AnyUpscaleOptions } from "./settings/upscale-rules.ts";
import { PLAN_RULES, SIZE_RULES, checkSizeOptions } from "./settings/upscale-rules.ts";
import type { PreparedCall } from "./stages/planned-networks.ts";
import { PlannedNetworks } from "./stages/planned-networks.ts";
import type { VariantOptions } from "./tuning/model-variants.ts";
import { VARIANT_RULES, modelVariants } from "./tuning/model-variants.ts";
import { storedRates } from "./tuning/stored-rates.ts";

/** How a model is loaded. */
export interface LoadOptions extends VariantOptions {
  /**
   * The device to use: ours, or a GPUDevice shared with other code and other models. Each hears of its own errors only.
   * Default: a new one.
   */
  readonly gpu?: Gpu | GPUDevice;
  /**
   * Storage of weights and activations; arithmetic is always f32. "auto" is f16 on GPUs and f32 on software
   * adapters, which widen halves slowly; where f16 cannot hold the numbers of a part of the model, that part is read again and
   * runs in f32, and the result's `notes` say so.
   */
  readonly precision?: Precision;
  /**
   * Only the weights of the stage that runs are on the device: at most those of the UNet, instead of all. They are
   * read, merged and packed anew for every stage of every image, from files that must stay where they are until
   * `dispose`; another realism for the same image reads UNet and decoder only. The picture is the same. Default false.
   */
  readonly lowMemory?: boolean;
  /**
   * The size of the first image, and what its call asks of sizes: its shaders are compiled while the weights load. Default: from
   * the first call on.
   */
  readonly prepareFor?: PreparedCall;
  /**
   * Bytes on the device that activations and pictures of a call should stay within, besides weights: larger pictures are computed in
   * tiles, then in regions. At least 64 MiB. Default: 2 GiB; on a software adapter in Node half of the free memory, 512 MiB at most.
   */
  readonly memoryBudget?: number;
  /** Refuse tensors that the model does not use, instead of telling `onWarning`. Default false. */
  readonly strict?: boolean;
  /** Hears what of the files was left out or assumed, in one sentence each. Default: nobody. */
  readonly onWarning?: (message: string) => void;
  /** Ends loading: `loadModel` rejects with its reason at once, requests nothing more and leaves nothing behind. */
  readonly signal?: AbortSignal;
  /** Hears of the bytes loaded. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Images a model takes. Pixels stay in their space: a result of `ImageData` or of a canvas with "display-p3" is in it too, and
 * says so. An `ImageBitmap` does not tell its own and is read as sRGB. A texture must be of the model's device (`model.gpu.device`), 2d,
 * rgba8unorm, one layer, usage COPY_SRC; its first mip level is copied, not read back, and its alpha kept. An `ImageReader` is
 * read where its pixels are needed.
 */
export type ImageInput =
  | RawImage
  | ImageData
  | ImageBitmap
  | HTMLCanvasElement
  | OffscreenCanvas
  | GPUTexture
  | ImageReader;

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
   * Enlarges an image ×4 (the model's `upscale`), or as `scale` or `size` say. Calls are queued. Passing the same image object again
   * with only `realism`, `realismMask`, `timestep`, `colorFix` or the result's size changed reuses its encoding. With
   * `output: "texture"` the result stays on the device.
   * Pixels and options are taken when the call is made, whatever its turn.
   * @throws ShapeError for an impossible image, TypeError for an unknown option, RangeError for a value that an option cannot
   * have, DeviceError from the GPU, NumbersError where the networks compute NaN or infinity, WeightsError where weights must
   * be read again and cannot, at once the signal's reason when aborted
   */
  async upscale(image: ImageInput, options: TextureOptions): Promise<TextureResult>;
  /** The same for several settings, with a result for each. */
  async upscale(
    image: ImageInput,
    options: SeveralOptions<TextureOptions>,
  ): Promise<TextureResult[]>;
  /** The same with the pixels of each read back. */
  async upscale(
    image: ImageInput,
    options: SeveralOptions<UpscaleOptions>,
  ): Promise<UpscaleResult[]>;
  /** The same in parts only. */
  async upscale(image: ImageInput, options: RegionsOptions): Promise<RegionsResult>;
  /** The same with the pixels read back. */
  async upscale(image: ImageInput, options?: UpscaleOptions): Promise<UpscaleResult>;
  async upscale(
    image: ImageInput,
    options: AnyUpscaleOptions = {},
  ): Promise<UpscaleResult | TextureResult | RegionsResult | (UpscaleResult | TextureResult)[]> {
    const source = sourceOf(image);
    // A canvas changes, so nothing of it is kept.
    const identity = isCanvas(image) ? source : image;
    return this.#pipeline.upscale(source, options as UpscaleOptions, identity);
  }

  /**
   * What a call with an image of `width` × `height` pixels takes on this device, without running anything: per
   * network its flops, dispatches, slots of memory, and every step and value. The rest as in `UpscaleOptions`; pictures that
   * would be halved count as a whole.
   * @throws ShapeError for an impossible size, RangeError for an impossible tile, region or result
   */
  plan(
    options: Pick<UpscaleOptions, "scale" | "size" | "tile" | "region"> & {
      readonly width: number;
      readonly height: number;
    },
  ): CallPlan {
    checkSizeOptions("plan", options, PLAN_RULES);
    return this.#pipeline.plan(options, options);
  }

  /**
   * What a call with a picture of `width` × `height` pixels and these options will take, without running anything: time, as far as
   * earlier calls have shown it, memory, regions, and what would make it less. Takes no time worth telling once a size is known.
   * @throws what `upscale` throws for such a size and such options
   */
  async estimate(options: EstimateOptions): Promise<CallEstimate> {
    const { estimateCall } = await import("./estimate-call.ts");
    return estimateCall(this.#pipeline.experience, options);
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
    this.#pipeline.dispose(() => this.#ownedGpu?.destroy());
  }
}

/** A region of the least size fits, whatever the model. */
const LEAST_BUDGET = 64 * 1024 ** 2;

const LOAD_RULES: OptionRules<LoadOptions> = {
  gpu: objectValue,
  precision: oneOf("auto", "f32", "f16"),
  lowMemory: flag,
  memoryBudget: integer(LEAST_BUDGET, Infinity, " bytes"),
  prepareFor: objectValue,
  strict: flag,
  onWarning: callback,
  signal: abortSignal,
  onProgress: callback,
  ...VARIANT_RULES,
};

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
  checkOptions("loadModel", options, LOAD_RULES);
  if (options.prepareFor) checkSizeOptions("prepareFor", options.prepareFor, SIZE_RULES);
  const {
    signal,
    onProgress,
    precision = "auto",
    lowMemory = false,
    prepareFor,
    memoryBudget,
  } = options;
  signal?.throwIfAborted();
  const model = modelFiles(source);
  if (model.assumption !== undefined) options.onWarning?.(model.assumption);
  const files = abortableFiles(model);
  const configs = await readConfigs(files, signal);
  const given = options.gpu;
  const isOurs = given !== undefined && "pipelines" in given;
  const request = (): Promise<Gpu> =>
    given && !isOurs ? withMatrixUnits(adoptDevice(given)) : requestGpu();
  const gpu = withOwnErrors(
    isOurs ? given : await abortable(request(), signal, (late) => late.destroy()),
  );
  const dtype: DType = precision === "auto" ? fasterDType(gpu.caps) : precision;
  let planned: PlannedNetworks | undefined;
  try {
    const variants = modelVariants(gpu, configs, dtype, options, signal);
    const measured = withVariants(gpu, await abortable(variants, signal));
    const tuned = memoryBudget === undefined ? measured : withMemoryBudget(measured, memoryBudget);
    const rates = await abortable(storedRates(tuned, configs, dtype, options.tuningStore), signal);
    const mayWiden = precision === "auto";
    const loaded: { weights?: ModelWeights } = {};
    planned = new PlannedNetworks(
      tuned,
      configs,
      (part) => loaded.weights?.[part]?.dtype ?? partDType(part, configs, dtype, mayWiden),
    );
    if (prepareFor) void planned.prepare(prepareFor);
    const weights = await loadWeights(gpu, files, configs, dtype, {
      lowMemory,
      mayWiden,
      signal,
      strict: options.strict,
      onWarning: options.onWarning,
      onProgress: (bytesLoaded, bytesTotal) => {
        const fraction = bytesTotal > 0 ? bytesLoaded / bytesTotal : 1;
        onProgress?.({ stage: "load", stageFraction: fraction, fraction, bytesLoaded, bytesTotal });
      },
    });
    loaded.weights = weights;
    const pipeline = new Pipeline(tuned, configs, weights, dtype, planned, rates);
    return new RcodModel(pipeline, tuned, !isOurs);
  } catch (error) {
    planned?.clear();
    if (!isOurs) gpu.destroy();
    throw error;
  }
}

/** Throws `ShapeError` for what is no image. */
function sourceOf(image: ImageInput): ImageSource {
  if (typeof image !== "object" || (image as object | null) === null) throw notAnImage(image);
  if (isTexture(image) || isReader(image)) return image;
  if (isCanvas(image)) return fromCanvas(image);
  if ("data" in image) return "channels" in image ? image : fromImageData(image);
  const isBitmap = typeof ImageBitmap === "function" && image instanceof ImageBitmap;
  if (isBitmap) return fromBitmap(image);
  throw notAnImage(image);
}

const notAnImage = (image: unknown): ShapeError =>
  new ShapeError(
    `image: must be pixels ({ width, height, channels, data }), ImageData, an ImageBitmap, a canvas or a GPUTexture, ` +
      `got ${shown(image)}. createImageBitmap() makes a bitmap of images, videos and files`,
  );

const isCanvas = (image: object): image is HTMLCanvasElement | OffscreenCanvas =>
  "getContext" in image;

function fromImageData({ width, height, data, colorSpace }: ImageData): RawImage {
  return { width, height, channels: 4, data, ...(colorSpace === "display-p3" && { colorSpace }) };
}

function fromCanvas(canvas: HTMLCanvasElement | OffscreenCanvas): RawImage {
  const context = canvas.getContext("2d") as CanvasRenderingContext2D | null;
  if (context === null) {
    throw new TypeError(
      "image: a canvas must have a 2d context, got one of another kind. Draw it into a 2d canvas, or pass an ImageBitmap",
    );
  }
  const { colorSpace = "srgb" } = context.getContextAttributes();
  return pixelsOf(context, canvas, { colorSpace });
}

function fromBitmap(bitmap: ImageBitmap): RawImage {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null)
    throw new Error("image: this environment cannot read an ImageBitmap. Pass ImageData");
  if (bitmap.width > 0) context.drawImage(bitmap, 0, 0);
  return pixelsOf(context, bitmap);
}

function pixelsOf(
  context: Pick<CanvasRenderingContext2D, "getImageData">,
  { width, height }: Pick<ImageBitmap, "width" | "height">,
  settings?: ImageDataSettings,
): RawImage {
  if (width === 0 || height === 0) {
    throw new ShapeError(
      `image: must have pixels, got ${width}×${height}. A bitmap that was closed or moved to a worker has none`,
    );
  }
  try {
    return fromImageData(context.getImageData(0, 0, width, height, settings));
  } catch (cause) {
    throw new TypeError(
      `image: its pixels must be readable, got ${messageOf(cause)}. Load pictures of other origins with CORS`,
      { cause },
    );
  }
}
