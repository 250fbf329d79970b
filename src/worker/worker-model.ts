/** A model that lives in a worker, with the interface of `RcodModel`. */
import type { DeviceLostError } from "../gpu/errors.ts";
import { DeviceError } from "../gpu/errors.ts";
import { ShapeError } from "../gpu/shape.ts";
import type { CallEstimate, EstimateOptions } from "../rcod/estimate-call.ts";
import { checkImage } from "../rcod/images/raw-image.ts";
import type {
  RawImage,
  RegionsOptions,
  RegionsResult,
  SeveralOptions,
  UpscaleOptions,
  UpscaleResult,
} from "../rcod/settings/options.ts";
import { checkUpscaleOptions } from "../rcod/settings/upscale-rules.ts";
import type { Connection, Transferred } from "./connection.ts";
import type { ModelFacts } from "./protocol.ts";

/** Images that can be sent to a worker. Pixels are sRGB. */
export type WorkerImageInput = RawImage | ImageData | ImageBitmap;

/**
 * Options of one call: those of `RcodModel.upscale` but for textures and `resume`, and whether the pixels are moved. Those of parts
 * are moved to `onRegion`; the worker goes on when its promise resolves.
 */
export interface WorkerUpscaleOptions extends Omit<UpscaleOptions, "enlarged" | "resume"> {
  /**
   * Moves the image's pixels to the worker instead of copying them; afterwards the caller's buffer is empty
   * (detached) or its `ImageBitmap` closed. The object still names the image in the next calls. Default false.
   */
  readonly transfer?: boolean;
}

/** Options of a call whose result comes in parts only. */
export interface WorkerRegionsOptions
  extends
    Omit<WorkerUpscaleOptions, "output" | "onRegion">,
    Pick<RegionsOptions, "output" | "onRegion"> {}

/** Options of a call with a result for each of several settings. */
export type WorkerSeveralOptions = Omit<SeveralOptions<UpscaleOptions>, "enlarged" | "resume"> &
  Pick<WorkerUpscaleOptions, "transfer">;

/** Why there is no such option. */
const NOT_SENT: Readonly<Record<string, string>> = {
  enlarged: "textures cannot be sent",
  resume: "what a lost call has finished stays in its worker. Make the call without it",
};

/** A model in a worker, on a device of its own there. Call `dispose()` when done. */
export class WorkerModel implements ModelFacts {
  /** Storage of weights and activations. */
  readonly precision: ModelFacts["precision"];
  /** What the worker's device can do. */
  readonly caps: ModelFacts["caps"];
  /** The model's configurations. */
  readonly configs: ModelFacts["configs"];
  /** Whether `realism: "auto"` works: the model has a metric estimation module. */
  readonly supportsAuto: boolean;
  /** Resolves when the worker's device is lost; every call then rejects with the same error. */
  readonly lost: Promise<DeviceLostError>;
  readonly #connection: Connection;
  readonly #onDispose: () => void;
  /** The image that the worker has, by identity. It keeps only the last one. */
  #sent: WeakRef<WorkerImageInput> | undefined;

  /** Use `loadModelInWorker`. */
  constructor(
    connection: Connection,
    facts: ModelFacts,
    lost: Promise<DeviceLostError>,
    onDispose: () => void,
  ) {
    this.#connection = connection;
    this.precision = facts.precision;
    this.caps = facts.caps;
    this.configs = facts.configs;
    this.supportsAuto = facts.supportsAuto;
    this.lost = lost;
    this.#onDispose = onDispose;
  }

  /**
   * Enlarges an image ×4 (the model's `upscale`), or as `scale` or `size` say. Calls are queued. The pixels are copied to the worker once, or
   * moved with `transfer`; the result's are moved back. Passing the same image object again sends no pixels, and
   * with only `realism`, `realismMask`, `timestep`, `colorFix` or the result's size changed reuses its encoding. An abort rejects at once;
   * the worker stops after the GPU work under way.
   * @throws what `RcodModel.upscale` throws, of the same classes with the same messages
   */
  async upscale(image: WorkerImageInput, options: WorkerRegionsOptions): Promise<RegionsResult>;
  /** The same with the pixels in one piece. */
  async upscale(image: WorkerImageInput, options?: WorkerUpscaleOptions): Promise<UpscaleResult>;
  /** The same for several settings, with a result for each. */
  async upscale(image: WorkerImageInput, options: WorkerSeveralOptions): Promise<UpscaleResult[]>;
  async upscale(
    image: WorkerImageInput,
    options: WorkerUpscaleOptions | WorkerRegionsOptions | WorkerSeveralOptions = {},
  ): Promise<UpscaleResult | RegionsResult | UpscaleResult[]> {
    // `checkUpscaleOptions` knows a list of settings from one.
    const { transfer = false, ...own } = options as WorkerUpscaleOptions;
    checkUpscaleOptions(own);
    for (const [name, why] of Object.entries(NOT_SENT)) {
      if ((own as Readonly<Record<string, unknown>>)[name] === undefined) continue;
      throw new TypeError(`worker: there is no option ${name}: ${why}`);
    }
    if ((own.output as string) === "texture") {
      throw new TypeError(
        'worker: output must be "image" or "regions", got "texture". Textures cannot be sent',
      );
    }
    const { signal, onProgress, onRegion, ...sentOptions } = own;
    const hearsRegions = onRegion !== undefined;
    // With `reuse: false` the pixels may have changed.
    const isNew = options.reuse === false || this.#sent?.deref() !== image;
    const { sent, moved } = isNew ? cloneable(image, transfer) : { sent: undefined, moved: [] };
    const result = this.#connection.call(
      (call) => ({
        kind: "upscale",
        call,
        ...(sent && { image: sent }),
        options: sentOptions,
        hearsRegions,
      }),
      { signal, onProgress, onRegion },
      moved,
    );
    // Not reached where call() throws: then nothing was sent.
    if (isNew) this.#sent = new WeakRef(image);
    return (await result) as UpscaleResult | RegionsResult | UpscaleResult[];
  }

  /**
   * What a call with a picture of this size and these options will take: see `RcodModel.estimate`. Functions, a signal and
   * `resume` stay here.
   * @throws what `RcodModel.estimate` throws, of the same classes with the same messages
   */
  async estimate(options: EstimateOptions): Promise<CallEstimate> {
    const { signal, onProgress: _progress, onRegion: _region, resume: _resume, ...sent } = options;
    const estimate = this.#connection.call((call) => ({ kind: "estimate", call, options: sent }), {
      signal,
    });
    return (await estimate) as CallEstimate;
  }

  /**
   * Frees everything on the worker's device; calls under way reject with a `DeviceError`. Ends the worker when
   * `loadModelInWorker` made it. Idempotent.
   */
  dispose(): void {
    this.#connection.end(new DeviceError("device: this model was disposed. Load it again"));
    this.#onDispose();
  }
}

/** An image in a form that can be posted, and what is moved. Without `transfer`, a copy of just its pixels is moved. */
function cloneable(
  image: WorkerImageInput,
  transfer: boolean,
): { readonly sent: RawImage | ImageBitmap; readonly moved: Transferred[] } {
  if ("read" in image) {
    throw new TypeError(
      "worker: an image must be pixels or an ImageBitmap, got one with a read() of its own, which cannot be sent. " +
        "Use loadModel in a worker of your own",
    );
  }
  if (("data" in image ? image.data.length : image.width) === 0) {
    throw new ShapeError(
      "image: its pixels must be there, got none. Were they moved to a worker? It keeps only the last image: " +
        "send images without transfer if others come in between",
    );
  }
  if (!("data" in image)) return { sent: image, moved: transfer ? [image] : [] };
  const channels = "channels" in image ? image.channels : 4;
  const space = image.colorSpace === "display-p3" ? { colorSpace: image.colorSpace } : {};
  const { width, height } = image;
  checkImage({ width, height, channels, data: image.data, ...space });
  const { buffer } = image.data;
  const isMoved = transfer && buffer instanceof ArrayBuffer; // shared memory cannot be
  const data = isMoved ? image.data : image.data.slice();
  return { sent: { width, height, channels, data, ...space }, moved: [data.buffer as ArrayBuffer] };
}
