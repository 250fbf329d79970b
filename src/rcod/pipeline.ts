/**
 * RCOD, end to end (paper Fig. 2): enlarge → VAE encode and visual prompt tokens → one UNet call at one
 * timestep → one-step formula → VAE decode → colour fix. Encoding, tokens and predicted metric of the last
 * image are kept, with RCOD_S also the weights that were merged for it, so that another realism setting reruns
 * only UNet and decoder.
 */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { DeviceError } from "../gpu/errors.ts";
import { submittedWorkDone } from "../gpu/transfer.ts";
import { CallQueue } from "./call-queue.ts";
import type { Geometry } from "./images/geometry.ts";
import { checkMask, latentMask } from "./images/realism-mask.ts";
import type { SourceImage } from "./images/source-image.ts";
import { checkSource, isTexture, resultDepth } from "./images/source-image.ts";
import type { Output } from "./images/textures.ts";
import { checkOutput } from "./images/textures.ts";
import type { CallPlan } from "./inspect/call-plan.ts";
import { planCall } from "./inspect/call-plan.ts";
import { Inspector } from "./inspect/inspector.ts";
import type { StageModules } from "./inspect/stage-modules.ts";
import { stageModules } from "./inspect/stage-modules.ts";
import type { ModelWeights } from "./loading/load.ts";
import { disposeWeights } from "./loading/load.ts";
import { vaeFactor } from "./settings/config.ts";
import type { ModelConfigs } from "./settings/model-configs.ts";
import type {
  Stage,
  TextureOptions,
  TextureResult,
  UpscaleOptions,
  UpscaleResult,
} from "./settings/options.ts";
import { callGeometry } from "./stages/call-networks.ts";
import { StageClock } from "./stages/clock.ts";
import type { Encoded, StageContext } from "./stages/context.ts";
import { decodeToFloats, decodeToImage } from "./stages/decode.ts";
import { encodeImage } from "./stages/encode.ts";
import { EncodedCache } from "./stages/encoded-cache.ts";
import type { Pixels } from "./stages/finish.ts";
import { destroyPixels, enlargedTexture, finishImage } from "./stages/finish.ts";
import { checkWhole, collectEncoded } from "./stages/inspect-call.ts";
import { PlannedNetworks } from "./stages/planned-networks.ts";
import { predictLatents } from "./stages/predict.ts";
import { StagePrograms } from "./stages/programs.ts";
import { chooseTimesteps, timestepSettings, timestepShares } from "./stages/timestep-choice.ts";
import type { UnitWork } from "./stages/work-shares.ts";
import { measureUnitWork, workShares } from "./stages/work-shares.ts";

/** The stages whose results are kept. */
const ENCODING = ["preprocess", "tokens", "encode"] as const;

export class Pipeline {
  readonly configs: ModelConfigs;
  readonly dtype: DType;
  readonly #context: StageContext;
  readonly #planned: PlannedNetworks;
  readonly #cache: EncodedCache;
  readonly #queue = new CallQueue();
  #unitWork: UnitWork | undefined;
  #modules: StageModules | undefined;
  /** Aborted by `dispose`, which ends the call under way. */
  readonly #disposal = new AbortController();

  constructor(
    gpu: Gpu,
    configs: ModelConfigs,
    weights: ModelWeights,
    dtype: DType,
    planned = new PlannedNetworks(gpu, configs, dtype),
  ) {
    this.configs = configs;
    this.dtype = dtype;
    this.#planned = planned;
    const programs = new StagePrograms(gpu, weights, planned);
    this.#context = { gpu, configs, weights, programs, dtype };
    this.#cache = new EncodedCache(gpu);
  }

  /** What calls can capture, by stage. */
  get modules(): StageModules {
    this.#modules ??= stageModules(this.configs);
    return this.#modules;
  }

  /** What a call with an image of this size takes; nothing runs. `tile` as in `UpscaleOptions`. */
  plan(size: { readonly width: number; readonly height: number }, tile?: number): CallPlan {
    const { caps } = this.#context.gpu;
    return planCall(
      this.configs,
      size,
      callGeometry(this.configs, size, false),
      this.dtype,
      caps,
      tile,
    );
  }

  /** Enlarges one image. Calls on one pipeline run one after another. */
  upscale(image: SourceImage, options: TextureOptions): Promise<TextureResult>;
  upscale(image: SourceImage, options?: UpscaleOptions): Promise<UpscaleResult>;
  upscale(
    image: SourceImage,
    options: UpscaleOptions | TextureOptions = {},
  ): Promise<UpscaleResult | TextureResult> {
    return this.#queue.run(() => this.#guarded(image, options), options.signal);
  }

  /**
   * Frees everything on the device, weights included; a call under way ends first, with a `DeviceError`.
   * Idempotent.
   */
  dispose(): void {
    if (this.#disposal.signal.aborted) return;
    this.#disposal.abort(new DeviceError("device: this model was disposed. Load it again"));
    const free = (): void => {
      this.#dropBuffers();
      disposeWeights(this.#context.weights);
    };
    if (this.#queue.isIdle) free();
    else void this.#queue.settled().then(free);
  }

  /** A call that `dispose` ends. After one that failed on the device, the next call starts afresh. */
  async #guarded(
    image: SourceImage,
    { output = "image", ...options }: UpscaleOptions | TextureOptions,
  ): Promise<UpscaleResult | TextureResult> {
    const disposal = this.#disposal.signal;
    try {
      disposal.throwIfAborted();
      const signal = options.signal ? AbortSignal.any([options.signal, disposal]) : disposal;
      return await this.#upscale(image, { ...options, signal }, output);
    } catch (error) {
      if (error instanceof DeviceError) {
        // Buffers made when memory ran out stay invalid, and their errors keep coming: drop both.
        this.#dropBuffers();
        await submittedWorkDone(this.#context.gpu).catch(() => undefined);
      }
      throw error;
    }
  }

  async #upscale(
    image: SourceImage,
    given: UpscaleOptions,
    output: Output,
  ): Promise<UpscaleResult | TextureResult> {
    checkSource(image);
    const options = { ...given, depth: resultDepth(image, given, output) };
    const { realismMask } = options;
    if (realismMask) checkMask(realismMask);
    const settings = timestepSettings(this.configs, options);
    const geometry = callGeometry(this.configs, image, options.reference === true);
    const mask = realismMask ? latentMask(realismMask, geometry, vaeFactor(this.configs.vae)) : 0;
    const { inspect } = options;
    const { gpu } = this.#context;
    const inspector = inspect && new Inspector(inspect, this.modules, gpu.caps);
    const context = inspector ? { ...this.#context, inspector } : this.#context;
    if (inspector) checkWhole(context, inspector, geometry, options);
    const { memory } = gpu;
    checkOutput(gpu, output, options, geometry);
    options.signal?.throwIfAborted();
    memory.resetPeak();
    // What is captured needs plans of its own.
    if (!inspector)
      void this.#planned.prepare({ ...options, width: image.width, height: image.height });

    const shares = this.#shares(geometry, typeof mask === "number" ? 1 : 2);
    const clock = new StageClock(shares, options.onProgress, inspector);
    const { encoded, reused } = await this.#encode(context, image, geometry, options, clock);
    const chosen = await chooseTimesteps(context, encoded, settings, options);
    const timesteps = timestepShares(chosen, mask);
    const z = await predictLatents(context, encoded, timesteps, options, clock);
    const pixels = await this.#pixels(context, z, encoded, image, options, output, clock);
    try {
      const use = memory.use();
      return {
        ...pixels,
        ...chosen,
        timingsMs: clock.finish(),
        reused,
        ...(inspector && { inspection: inspector.result() }),
        peakBytes: use.peakBytes,
        peakActivationBytes: use.byPurpose["activations"]?.peak ?? 0,
      };
    } catch (error) {
      destroyPixels(pixels); // the caller's onProgress has thrown
      throw error;
    }
  }

  /** Decodes and finishes the predicted latents `z`, which it frees. */
  async #pixels(
    context: StageContext,
    z: GPUBuffer,
    encoded: Encoded,
    image: SourceImage,
    options: UpscaleOptions,
    output: Output,
    clock: StageClock,
  ): Promise<Pixels> {
    const { gpu } = context;
    const { memory } = gpu;
    const decoding = [context, z, encoded, options, clock] as const;
    if (options.depth === 16 && !isTexture(image)) {
      const { finishDeep } = await import("./deep/finish-deep.ts");
      const floats = await decodeToFloats(...decoding).finally(() => memory.release(z));
      clock.start("color");
      const { deepColors, geometry } = encoded;
      if (deepColors === undefined) throw new Error("internal: the source was enlarged in 8 bits");
      const method = options.colorFix ?? this.configs.rcod.colorFix;
      const finished = await finishDeep(gpu, floats, deepColors, geometry, image, method);
      const extra =
        options.enlarged === true ? { enlarged: await enlargedTexture(gpu, image, finished) } : {};
      return { image: finished, ...extra };
    }
    const decoded = await decodeToImage(...decoding).finally(() => memory.release(z));
    return finishImage(context, decoded, encoded, image, options, output, clock);
  }

  #shares(geometry: Geometry, unetRuns: number): ReturnType<typeof workShares> {
    this.#unitWork ??= measureUnitWork(this.configs, this.#context.gpu.caps, this.dtype);
    return workShares(this.#unitWork, geometry, vaeFactor(this.configs.vae), unetRuns);
  }

  async #encode(
    context: StageContext,
    image: SourceImage,
    geometry: Geometry,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<{ readonly encoded: Encoded; readonly reused: readonly Stage[] }> {
    const { inspector } = context;
    const mayReuse = options.reuse !== false && !inspector?.looksInto(["tokens", "encode"]);
    let encoded = mayReuse ? this.#cache.find(image, geometry, options) : undefined;
    const reused = encoded ? ENCODING : [];
    for (const stage of reused) clock.start(stage);
    if (encoded === undefined) {
      this.#cache.drop();
      encoded = await encodeImage(context, image, geometry, options, clock);
      this.#cache.keep(image, geometry, options, encoded);
    }
    if (inspector) await collectEncoded(context, inspector, encoded);
    return { encoded, reused };
  }

  /** Forgets the encoded image and all programs, and frees their memory. Weights stay. */
  #dropBuffers(): void {
    this.#cache.drop();
    this.#context.programs.clear();
  }
}
