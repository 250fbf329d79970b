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
import { vaeFactor } from "./config.ts";
import { decodeLatents } from "./decode-stage.ts";
import { encodeImage } from "./encode-stage.ts";
import { destroyPixels, finishImage } from "./finish-stage.ts";
import type { Geometry } from "./geometry.ts";
import { outputGeometry, paddedGeometry } from "./geometry.ts";
import type { DeviceImage } from "./image-ops.ts";
import type { ModelConfigs, ModelWeights } from "./load.ts";
import { modelParts } from "./load.ts";
import type {
  Stage,
  TextureOptions,
  TextureResult,
  UpscaleOptions,
  UpscaleResult,
} from "./options.ts";
import { checkMask, latentMask } from "./realism-mask.ts";
import type { SourceImage } from "./source-image.ts";
import { checkSource } from "./source-image.ts";
import { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { StagePrograms } from "./stage-programs.ts";
import { chooseTimesteps, timestepSettings, timestepShares } from "./timestep-choice.ts";
import type { Output } from "./textures.ts";
import { checkOutput } from "./textures.ts";
import { predictLatents } from "./unet-stage.ts";
import type { UnitWork } from "./work-shares.ts";
import { measureUnitWork, workShares } from "./work-shares.ts";

/** Sides of RCOD_S's working image are multiples of this. */
const RCOD_S_MULTIPLE = 64;
/** The stages whose results are kept. */
const ENCODING = ["preprocess", "tokens", "encode"] as const;

export class Pipeline {
  readonly configs: ModelConfigs;
  readonly dtype: DType;
  readonly #context: StageContext;
  /** The last image, by identity: callers who mutate pixels in place must pass a new object. */
  #encodedOf: SourceImage | undefined;
  /** The options that its encoding depends on. */
  #encodedKey = "";
  #encoded: Encoded | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #unitWork: UnitWork | undefined;
  /** Calls under way or waiting. */
  #calls = 0;
  /** Aborted by `dispose`, which ends the call under way. */
  readonly #disposal = new AbortController();

  constructor(gpu: Gpu, configs: ModelConfigs, weights: ModelWeights, dtype: DType) {
    this.configs = configs;
    this.dtype = dtype;
    this.#context = { gpu, configs, weights, programs: new StagePrograms(gpu, weights), dtype };
  }

  /** Enlarges one image. Calls on one pipeline run one after another. */
  upscale(image: SourceImage, options: TextureOptions): Promise<TextureResult>;
  upscale(image: SourceImage, options?: UpscaleOptions): Promise<UpscaleResult>;
  upscale(
    image: SourceImage,
    options: UpscaleOptions | TextureOptions = {},
  ): Promise<UpscaleResult | TextureResult> {
    this.#calls++;
    const run = this.#queue.then(() => this.#guarded(image, options));
    this.#queue = run.then(
      () => void this.#calls--,
      () => void this.#calls--,
    );
    return run;
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
      const { configs, weights } = this.#context;
      for (const part of modelParts(configs)) weights[part]?.dispose();
    };
    if (this.#calls === 0) free();
    else void this.#queue.then(free);
  }

  /** A call that ends with `dispose`, and after whose failure the next one starts afresh. */
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
    options: UpscaleOptions,
    output: Output,
  ): Promise<UpscaleResult | TextureResult> {
    checkSource(image);
    const { realismMask } = options;
    if (realismMask) checkMask(realismMask);
    const settings = timestepSettings(this.configs, options);
    const geometry = this.#geometry(image, options.reference === true);
    const mask = realismMask ? latentMask(realismMask, geometry, vaeFactor(this.configs.vae)) : 0;
    const context = this.#context;
    const { memory } = context.gpu;
    checkOutput(context.gpu, output, options, geometry);
    options.signal?.throwIfAborted();
    memory.resetPeak();

    const shares = this.#shares(geometry, typeof mask === "number" ? 1 : 2);
    const clock = new StageClock(shares, options.onProgress);
    const { encoded, reused } = await this.#encode(image, geometry, options, clock);
    const chosen = await chooseTimesteps(context, encoded, settings, options);
    const timesteps = timestepShares(chosen, mask);
    const z = await predictLatents(context, encoded, timesteps, options, clock);
    let decoded: DeviceImage;
    try {
      decoded = await decodeLatents(context, z, encoded, options, clock);
    } finally {
      memory.release(z);
    }
    const pixels = await finishImage(context, decoded, encoded, image, options, output, clock);
    try {
      const use = memory.use();
      return {
        ...pixels,
        ...chosen,
        timingsMs: clock.finish(),
        reused,
        peakBytes: use.peakBytes,
        peakActivationBytes: use.byPurpose["activations"]?.peak ?? 0,
      };
    } catch (error) {
      destroyPixels(pixels); // an onProgress of the caller's that throws
      throw error;
    }
  }

  #geometry({ width, height }: SourceImage, reference: boolean): Geometry {
    const { rcod, vae, degradation } = this.configs;
    const { upscale } = rcod;
    const factor = vaeFactor(vae);
    if (degradation !== null) {
      const multiple = Math.ceil(RCOD_S_MULTIPLE / factor) * factor;
      return paddedGeometry(width, height, { upscale, multiple });
    }
    return outputGeometry(width, height, {
      upscale,
      minSide: rcod.minSize,
      multiple: factor,
      mode: reference ? "reference" : "exact",
    });
  }

  #shares(geometry: Geometry, unetRuns: number): ReturnType<typeof workShares> {
    this.#unitWork ??= measureUnitWork(this.configs, this.#context.gpu.caps, this.dtype);
    return workShares(this.#unitWork, geometry, vaeFactor(this.configs.vae), unetRuns);
  }

  async #encode(
    image: SourceImage,
    geometry: Geometry,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<{ readonly encoded: Encoded; readonly reused: readonly Stage[] }> {
    const key = JSON.stringify([
      geometry,
      options.seed ?? null,
      options.tile ?? null,
      options.reference === true,
    ]);
    const isKnown = this.#encodedOf === image && this.#encodedKey === key;
    if (isKnown && this.#encoded && options.reuse !== false) {
      for (const stage of ENCODING) clock.start(stage);
      return { encoded: this.#encoded, reused: ENCODING };
    }
    this.#dropEncoded();
    const encoded = await encodeImage(this.#context, image, geometry, options, clock);
    this.#encodedOf = image;
    this.#encodedKey = key;
    this.#encoded = encoded;
    return { encoded, reused: [] };
  }

  /** Forgets the encoded image and all programs, and frees their memory. Weights stay. */
  #dropBuffers(): void {
    this.#dropEncoded();
    this.#context.programs.clear();
  }

  #dropEncoded(): void {
    if (this.#encoded) {
      const { source, latents, tokens } = this.#encoded;
      for (const buffer of [source.buffer, latents, tokens])
        this.#context.gpu.memory.release(buffer);
    }
    this.#encoded = undefined;
    this.#encodedOf = undefined;
  }
}
