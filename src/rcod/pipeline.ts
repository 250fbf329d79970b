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
import { encodeImage, predictMetric } from "./encode-stage.ts";
import { finishImage } from "./finish-stage.ts";
import type { Geometry } from "./geometry.ts";
import { outputGeometry, paddedGeometry, parseRealism } from "./geometry.ts";
import type { DeviceImage, RawImage } from "./image-ops.ts";
import { checkImage } from "./image-ops.ts";
import type { ModelWeights } from "./load.ts";
import { disposeWeights } from "./load.ts";
import type { ModelConfigs } from "./model-configs.ts";
import { predictsMetric } from "./model-configs.ts";
import { timestepOfMetric } from "./mem.ts";
import type { UpscaleOptions, UpscaleResult } from "./options.ts";
import { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { StagePrograms } from "./stage-programs.ts";
import { predictLatents } from "./unet-stage.ts";
import type { UnitWork } from "./work-shares.ts";
import { measureUnitWork, workShares } from "./work-shares.ts";

/** Sides of RCOD_S's working image are multiples of this. */
const RCOD_S_MULTIPLE = 64;

export class Pipeline {
  readonly configs: ModelConfigs;
  readonly dtype: DType;
  readonly #context: StageContext;
  /** The last image, by identity: callers who mutate pixels in place must pass a new object. */
  #encodedOf: RawImage | undefined;
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
  upscale(image: RawImage, options: UpscaleOptions = {}): Promise<UpscaleResult> {
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
      disposeWeights(this.#context.weights);
    };
    if (this.#calls === 0) free();
    else void this.#queue.then(free);
  }

  /** A call that ends with `dispose`, and after whose failure the next one starts afresh. */
  async #guarded(image: RawImage, options: UpscaleOptions): Promise<UpscaleResult> {
    const disposal = this.#disposal.signal;
    try {
      disposal.throwIfAborted();
      const signal = options.signal ? AbortSignal.any([options.signal, disposal]) : disposal;
      return await this.#upscale(image, { ...options, signal });
    } catch (error) {
      if (error instanceof DeviceError) {
        // Buffers made when memory ran out stay invalid, and their errors keep coming: drop both.
        this.#dropBuffers();
        await submittedWorkDone(this.#context.gpu).catch(() => undefined);
      }
      throw error;
    }
  }

  async #upscale(image: RawImage, options: UpscaleOptions): Promise<UpscaleResult> {
    checkImage(image);
    const setting = this.#timestep(options);
    const geometry = this.#geometry(image, options.reference === true);
    options.signal?.throwIfAborted();
    const context = this.#context;
    const { memory } = context.gpu;
    memory.resetPeak();

    const clock = new StageClock(this.#shares(geometry), options.onProgress);
    const encoded = await this.#encode(image, geometry, options, clock);
    const chosen =
      setting === "auto" ? await this.#chooseTimestep(encoded, options) : { timestep: setting };
    const z = await predictLatents(context, encoded, chosen.timestep, options, clock);
    let decoded: DeviceImage;
    try {
      decoded = await decodeLatents(context, z, encoded, options, clock);
    } finally {
      memory.release(z);
    }
    const output = await finishImage(context, decoded, encoded, image, options, clock);
    const use = memory.use();
    return {
      image: output,
      ...chosen,
      timingsMs: clock.finish(),
      peakBytes: use.peakBytes,
      peakActivationBytes: use.byPurpose["activations"]?.peak ?? 0,
    };
  }

  /** The timestep of a setting, or "auto" where it depends on the encoded image. */
  #timestep({ realism, timestep }: UpscaleOptions): number | "auto" {
    if (timestep !== undefined) return parseRealism({ timestep });
    const { timesteps } = this.configs.rcod;
    if (realism === undefined) return timesteps.fidelity;
    if (realism === "auto") {
      if (predictsMetric(this.configs)) return "auto";
      const needed = this.configs.degradation ? "the file mem_checkpoint" : "mem/";
      throw new RangeError(
        `realism: "auto" needs a model with ${needed}, got one without. ` +
          'Choose "fidelity", "neutral", "realism" or a number in 0 … 1',
      );
    }
    return typeof realism === "string" && Object.hasOwn(timesteps, realism)
      ? timesteps[realism]
      : parseRealism(realism);
  }

  #geometry({ width, height }: RawImage, reference: boolean): Geometry {
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

  #shares(geometry: Geometry): ReturnType<typeof workShares> {
    this.#unitWork ??= measureUnitWork(this.configs, this.#context.gpu.caps, this.dtype);
    return workShares(this.#unitWork, geometry, vaeFactor(this.configs.vae));
  }

  async #chooseTimestep(
    encoded: Encoded,
    options: UpscaleOptions,
  ): Promise<{ readonly timestep: number; readonly predictedMetric: number }> {
    const predictedMetric = await predictMetric(this.#context, encoded, options);
    return { timestep: timestepOfMetric(predictedMetric, this.configs.rcod), predictedMetric };
  }

  async #encode(
    image: RawImage,
    geometry: Geometry,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<Encoded> {
    const key = JSON.stringify([
      geometry,
      options.seed ?? null,
      options.tile ?? null,
      options.reference === true,
    ]);
    if (this.#encodedOf === image && this.#encoded && this.#encodedKey === key) {
      for (const stage of ["preprocess", "tokens", "encode"] as const) clock.start(stage);
      return this.#encoded;
    }
    this.#dropEncoded();
    const encoded = await encodeImage(this.#context, image, geometry, options, clock);
    this.#encodedOf = image;
    this.#encodedKey = key;
    this.#encoded = encoded;
    return encoded;
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
