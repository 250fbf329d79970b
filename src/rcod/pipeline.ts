/**
 * RCOD_O, end to end (paper Fig. 2): enlarge → VAE encode and visual prompt tokens → one UNet call at one
 * timestep → one-step formula → VAE decode → colour fix. Encoding, tokens and predicted metric of the last
 * image are kept, so that another realism setting reruns only UNet and decoder.
 */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { DeviceError } from "../gpu/errors.ts";
import { quadCount } from "../gpu/shape.ts";
import { readBytes, submittedWorkDone, uploadBytes } from "../gpu/transfer.ts";
import type { Graph } from "../graph/ir.ts";
import { activationByteLength } from "../graph/lower.ts";
import { packActivation, unpackActivation } from "../graph/pack-activation.ts";
import { planGraph } from "../graph/plan.ts";
import { runPlan } from "../graph/run-plan.ts";
import { elementwise } from "../kernels/elementwise.ts";
import type { Rounding } from "../kernels/image-layout.ts";
import { imageToTensor } from "../kernels/image-to-tensor.ts";
import { tensorToImage } from "../kernels/tensor-to-image.ts";
import { clipTokens, vaeFactor } from "./config.ts";
import type { Geometry } from "./geometry.ts";
import { outputGeometry, parseRealism } from "./geometry.ts";
import {
  decoderGraph,
  encoderGraph,
  memGraph,
  oneStepCoefficients,
  tokenGraph,
  unetGraph,
} from "./graphs.ts";
import type { DeviceImage, RawImage } from "./image-ops.ts";
import {
  checkImage,
  createImage,
  cropImage,
  fixColors,
  readImage,
  resizeImage,
  resizeToTensor,
  uploadImage,
} from "./image-ops.ts";
import type { ModelConfigs, ModelWeights } from "./load.ts";
import { stageGraphs } from "./load.ts";
import type { Stage, UpscaleOptions, UpscaleResult } from "./options.ts";
import { dropAlpha, hostPixels, levels } from "./host-pixels.ts";
import { blendLatentTiles } from "./latent-blend.ts";
import { metricOfMap, timestepOfMetric } from "./mem.ts";
import { sampleLatents, splitMoments } from "./posterior.ts";
import { StageClock } from "./stage-clock.ts";
import { StagePrograms } from "./stage-programs.ts";
import { chooseVaeTile } from "./vae-tile-choice.ts";
import { TiledVae } from "./tiled-vae.ts";
import { latentTiling } from "./tiling.ts";
import { timestepEmbedding } from "./unet.ts";

type RunStage = Exclude<Stage, "load">;

/** Share of a call's progress for each of preprocessing and colour fix, whose work is no network's. */
const FIXED_SHARE = 0.01;
/** Latent side of the small map on which the stages' work is counted. */
const UNIT_LATENT_SIDE = 8;

/** Everything of an image that does not depend on realism. */
interface Encoded {
  readonly key: string;
  readonly source: DeviceImage;
  readonly geometry: Geometry;
  readonly latents: GPUBuffer;
  readonly tokens: GPUBuffer;
  readonly latentHeight: number;
  readonly latentWidth: number;
  /** Filled by the first call with "auto". */
  predictedMetric?: number;
}

export class Pipeline {
  readonly configs: ModelConfigs;
  readonly dtype: DType;
  readonly #gpu: Gpu;
  readonly #weights: ModelWeights;
  readonly #programs: StagePrograms;
  /** The last image, by identity: callers who mutate pixels in place must pass a new object. */
  #encodedOf: RawImage | undefined;
  #encoded: Encoded | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #unitWork: Record<"tokens" | "encode" | "unet" | "decode", number> | undefined;
  /** Calls under way or waiting. */
  #calls = 0;
  /** Aborted by `dispose`, which ends the call under way. */
  readonly #disposal = new AbortController();

  constructor(gpu: Gpu, configs: ModelConfigs, weights: ModelWeights, dtype: DType) {
    this.#gpu = gpu;
    this.configs = configs;
    this.#weights = weights;
    this.dtype = dtype;
    this.#programs = new StagePrograms(gpu, weights);
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
      for (const part of Object.values(this.#weights)) part.dispose();
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
        await submittedWorkDone(this.#gpu).catch(() => undefined);
      }
      throw error;
    }
  }

  async #upscale(image: RawImage, options: UpscaleOptions): Promise<UpscaleResult> {
    checkImage(image);
    const setting = this.#timestep(options);
    const geometry = this.#geometry(image, options.reference === true);
    options.signal?.throwIfAborted();
    this.#gpu.memory.resetPeak();

    const clock = new StageClock(this.#shares(geometry), options.onProgress);
    const encoded = await this.#encode(image, geometry, options, clock);
    const chosen =
      setting === "auto" ? await this.#chooseTimestep(encoded, options) : { timestep: setting };
    const { timestep } = chosen;
    const z = await this.#predict(encoded, timestep, options, clock);
    let decoded: DeviceImage;
    try {
      decoded = await this.#decode(z, encoded, options, clock);
    } finally {
      this.#gpu.memory.release(z);
    }
    const output = await this.#finish(decoded, encoded, image, options, clock);
    const use = this.#gpu.memory.use();
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
      if (this.configs.mem !== null) return "auto";
      throw new RangeError(
        'realism: "auto" needs a model with mem/, got one without. ' +
          'Choose "fidelity", "neutral", "realism" or a number in 0 … 1',
      );
    }
    return typeof realism === "string" && Object.hasOwn(timesteps, realism)
      ? timesteps[realism]
      : parseRealism(realism);
  }

  #geometry({ width, height }: RawImage, reference: boolean): Geometry {
    const { rcod, vae } = this.configs;
    return outputGeometry(width, height, {
      upscale: rcod.upscale,
      minSide: rcod.minSize,
      multiple: vaeFactor(vae),
      mode: reference ? "reference" : "exact",
    });
  }

  /** Work of each stage as a share of the call. */
  #shares({ workHeight, workWidth }: Geometry): ReadonlyMap<RunStage, number> {
    this.#unitWork ??= this.#measureWork();
    const { tokens, ...perImage } = this.#unitWork;
    const scale = (workHeight * workWidth) / (UNIT_LATENT_SIDE * vaeFactor(this.configs.vae)) ** 2;
    const work: [RunStage, number][] = [
      ["tokens", tokens],
      ["encode", scale * perImage.encode],
      ["unet", scale * perImage.unet],
      ["decode", scale * perImage.decode],
    ];
    const total = work.reduce((sum, [, amount]) => sum + amount, 0);
    return new Map<RunStage, number>([
      ["preprocess", FIXED_SHARE],
      ...work.map(([stage, amount]): [RunStage, number] => [
        stage,
        (1 - 2 * FIXED_SHARE) * (amount / total),
      ]),
      ["color", FIXED_SHARE],
    ]);
  }

  /** Flops of each stage on a small map. Convolutions dominate, so scaling by area is close enough. */
  #measureWork(): Record<"tokens" | "encode" | "unet" | "decode", number> {
    const side = UNIT_LATENT_SIDE * vaeFactor(this.configs.vae);
    const graphs = stageGraphs(this.configs, side, side, this.dtype);
    const flops = (graph: Graph): number =>
      planGraph(graph, this.#gpu.caps).steps.reduce((sum, { cost }) => sum + cost.flops, 0);
    return {
      tokens: flops(graphs.tokens),
      encode: flops(graphs.encode),
      unet: flops(graphs.unet),
      decode: flops(graphs.decode),
    };
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
    if (this.#encodedOf === image && this.#encoded?.key === key) {
      for (const stage of ["preprocess", "tokens", "encode"] as const) clock.start(stage);
      return this.#encoded;
    }
    this.#dropEncoded();
    const gpu = this.#gpu;
    const owned: GPUBuffer[] = [];
    try {
      clock.start("preprocess");
      const source = await this.#prepare(image, geometry);
      owned.push(source.buffer);
      options.signal?.throwIfAborted();
      const tokens = await this.#tokens(source, options, clock);
      owned.push(tokens);
      const factor = vaeFactor(this.configs.vae);
      const latentHeight = geometry.workHeight / factor;
      const latentWidth = geometry.workWidth / factor;
      const latents = await this.#latents(source, geometry, options, clock);
      this.#encodedOf = image;
      this.#encoded = { key, source, geometry, latents, tokens, latentHeight, latentWidth };
      return this.#encoded;
    } catch (error) {
      for (const buffer of owned) gpu.memory.release(buffer);
      throw error;
    }
  }

  /** The enlarged 8-bit source: input of the encoder and colour reference. */
  async #prepare(image: RawImage, { prepare }: Geometry): Promise<DeviceImage> {
    let current = uploadImage(this.#gpu, image);
    try {
      for (const { width, height, filter } of prepare) {
        const next = await resizeImage(this.#gpu, current, width, height, filter);
        if (next !== current) this.#gpu.memory.release(current.buffer);
        current = next;
      }
      return current;
    } catch (error) {
      this.#gpu.memory.release(current.buffer);
      throw error;
    }
  }

  /** Visual Prompt Injection: CLIP tokens of the enlarged source, without CLIP's normalisation. */
  async #tokens(
    source: DeviceImage,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<GPUBuffer> {
    clock.start("tokens");
    const { clip, unet } = this.configs;
    const program = await this.#programs.get("tokens", "clip", () =>
      tokenGraph(clip, unet.crossAttentionDim, this.dtype),
    );
    const side = clip.imageSize;
    const pixels = program.input("pixels");
    await resizeToTensor(this.#gpu, source, pixels, {
      width: side,
      height: side,
      dtype: this.dtype,
    });
    await program.run({}, clock.runOptions(options.signal));
    return this.#programs.keep(program, "tokens");
  }

  /** Latents [1, h, w, L] times the scaling factor: the posterior's mean, or a seeded sample. */
  async #latents(
    source: DeviceImage,
    { workHeight, workWidth }: Geometry,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<GPUBuffer> {
    clock.start("encode");
    const gpu = this.#gpu;
    const { vae } = this.configs;
    const toTensor = (y: GPUBufferBinding): Promise<void> =>
      runPlan(
        gpu,
        imageToTensor.plan(
          {
            dtype: this.dtype,
            imageWidth: source.width,
            imageHeight: source.height,
            x0: 0,
            y0: 0,
            width: workWidth,
            height: workHeight,
            scale: 2, // of levels in 0 … 1
            offset: -1,
          },
          gpu.caps,
        ),
        { image: source.buffer, y },
      );
    const tile = chooseVaeTile(vae, gpu.caps, this.dtype, "encode", workHeight, workWidth, options);
    if (tile === null) {
      const program = await this.#programs.get(`encode ${workHeight}x${workWidth}`, "vae", () =>
        encoderGraph(vae, workHeight, workWidth, this.dtype),
      );
      await toTensor(program.input("image"));
      await program.run({}, clock.runOptions(options.signal));
      if (options.seed === undefined) return this.#programs.keep(program, "latents");
      const mean = await program.read("latents");
      const logvar = await program.read("logvar");
      return this.#upload(
        sampleLatents(mean.data, logvar.data, vae.scalingFactor, options.seed),
        vae.latentChannels,
      );
    }
    const pixels = await hostPixels(gpu, source, workHeight, workWidth);
    const tiled = new TiledVae(gpu, this.#weights.vae, vae, "encode");
    const moments = await tiled.run(pixels, workHeight, workWidth, {
      tileSize: tile,
      reference: options.reference === true,
      ...clock.runOptions(options.signal),
    });
    const { mean, logvar } = splitMoments(moments.data, vae.latentChannels, vae.scalingFactor);
    return this.#upload(
      options.seed === undefined
        ? mean
        : sampleLatents(mean, logvar, vae.scalingFactor, options.seed),
      vae.latentChannels,
    );
  }

  /** "auto": predicts the metric from the latents, once per image. Its time counts as encoding. */
  async #chooseTimestep(
    encoded: Encoded,
    { signal }: UpscaleOptions,
  ): Promise<{ readonly timestep: number; readonly predictedMetric: number }> {
    const { mem, rcod } = this.configs;
    if (mem === null) throw new Error("internal: this model has no mem");
    if (encoded.predictedMetric === undefined) {
      const { latentHeight: height, latentWidth: width, latents } = encoded;
      const program = await this.#programs.get(`mem ${height}x${width}`, "mem", () =>
        memGraph(mem, height, width, this.dtype),
      );
      await program.run({ latents }, signal ? { signal } : {});
      encoded.predictedMetric = metricOfMap((await program.read("metric")).data);
    }
    const { predictedMetric } = encoded;
    return { timestep: timestepOfMetric(predictedMetric, rcod), predictedMetric };
  }

  /** One UNet call and the one-step formula: z [1, h, w, L], ready for the decoder. */
  async #predict(
    encoded: Encoded,
    timestep: number,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<GPUBuffer> {
    clock.start("unet");
    const gpu = this.#gpu;
    const { unet, vae, rcod, clip } = this.configs;
    const { latentHeight: height, latentWidth: width, latents, tokens } = encoded;
    const embedding = timestepEmbedding(timestep, unet, unet.blockOutChannels[0] as number);
    const timestepBytes = packActivation(embedding, embedding.length, this.dtype);
    const tiling = latentTiling(width, height, rcod.latentTiles.tile, rcod.latentTiles.overlap);
    const [tileHeight, tileWidth] = tiling ? [tiling.tile, tiling.tile] : [height, width];
    const program = await this.#programs.get(`unet ${tileHeight}x${tileWidth}`, "unet", () =>
      unetGraph(unet, tileHeight, tileWidth, clipTokens(clip), this.dtype),
    );
    const shape = [1, height, width, vae.latentChannels];
    const z = gpu.memory.create("z", activationByteLength(shape, this.dtype), "images");
    let blended: GPUBuffer | undefined;
    try {
      let eps: GPUBufferBinding;
      if (tiling === null) {
        await program.run(
          { latents, tokens, timestep: timestepBytes },
          clock.runOptions(options.signal),
        );
        eps = program.result("eps");
      } else {
        const { latentChannels: channels } = vae;
        blended = await blendLatentTiles(
          gpu,
          program,
          { latents, tokens, timestep: timestepBytes, height, width, channels, dtype: this.dtype },
          tiling,
          {
            symmetric: options.reference !== true,
            runOptions: (start, length) => clock.runOptions(options.signal, start, length),
          },
        );
        eps = { buffer: blended };
      }
      const { p, q } = oneStepCoefficients(rcod, vae);
      await runPlan(
        gpu,
        elementwise.plan(
          {
            dtype: this.dtype,
            quads: height * width * quadCount(vae.latentChannels),
            hasB: true,
            scaleA: p,
            scaleB: -q,
            activation: "none",
          },
          gpu.caps,
        ),
        { a: latents, b: { buffer: eps.buffer, ...(eps.size && { size: eps.size }) }, y: z },
      );
      return z;
    } catch (error) {
      gpu.memory.release(z);
      throw error;
    } finally {
      if (blended) gpu.memory.release(blended);
    }
  }

  /** The decoded image at the size of the enlarged source. */
  async #decode(
    z: GPUBuffer,
    encoded: Encoded,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<DeviceImage> {
    clock.start("decode");
    const gpu = this.#gpu;
    const { vae } = this.configs;
    const { latentHeight, latentWidth, geometry } = encoded;
    const { workHeight, workWidth, sourceWidth, sourceHeight } = geometry;
    const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
    const toImage = (x: GPUBufferBinding): Promise<void> =>
      runPlan(
        gpu,
        tensorToImage.plan(
          {
            dtype: this.dtype,
            srcWidth: workWidth,
            srcHeight: workHeight,
            srcX: 0,
            srcY: 0,
            width: sourceWidth,
            height: sourceHeight,
            dstWidth: sourceWidth,
            dstHeight: sourceHeight,
            dstX: 0,
            dstY: 0,
            rounding: roundingOf(options),
          },
          gpu.caps,
        ),
        { x, image: decoded.buffer },
      );
    try {
      const tile = chooseVaeTile(
        vae,
        gpu.caps,
        this.dtype,
        "decode",
        workHeight,
        workWidth,
        options,
      );
      if (tile === null) {
        const program = await this.#programs.get(
          `decode ${latentHeight}x${latentWidth}`,
          "vae",
          () => decoderGraph(vae, latentHeight, latentWidth, this.dtype),
        );
        await program.run({ z }, clock.runOptions(options.signal));
        const { buffer, size } = program.result("image");
        await toImage({ buffer, size });
        return decoded;
      }
      const latents = await this.#download(z, latentHeight * latentWidth, vae.latentChannels);
      const tiled = await new TiledVae(gpu, this.#weights.vae, vae, "decode").run(
        latents,
        latentHeight,
        latentWidth,
        {
          tileSize: tile,
          reference: options.reference === true,
          ...clock.runOptions(options.signal),
        },
      );
      const bytes = levels(tiled.data, workWidth, sourceWidth, sourceHeight, roundingOf(options));
      uploadBytes(gpu, decoded.buffer, 0, bytes);
      return decoded;
    } catch (error) {
      gpu.memory.release(decoded.buffer);
      throw error;
    }
  }

  async #finish(
    decoded: DeviceImage,
    { source, geometry }: Encoded,
    image: RawImage,
    options: UpscaleOptions,
    clock: StageClock,
  ): Promise<RawImage> {
    clock.start("color");
    const gpu = this.#gpu;
    let current = decoded;
    const replace = (next: DeviceImage): void => {
      if (next !== current) gpu.memory.release(current.buffer);
      current = next;
    };
    try {
      const method = options.colorFix ?? this.configs.rcod.colorFix;
      if (method !== "none")
        replace(await fixColors(gpu, source, current, method, roundingOf(options)));
      for (const step of geometry.finish) {
        if (step.kind === "resize")
          replace(await resizeImage(gpu, current, step.width, step.height, step.filter));
        else if (step.width !== current.width || step.height !== current.height) {
          replace(cropImage(gpu, current, step.width, step.height));
        }
      }
      const { width, height } = current;
      if (width !== geometry.outWidth || height !== geometry.outHeight) {
        throw new Error(
          `internal: ${width}×${height} instead of ${geometry.outWidth}×${geometry.outHeight}`,
        );
      }
      const pixels = await readImage(gpu, current);
      if (image.channels === 3) return { width, height, channels: 3, data: dropAlpha(pixels) };
      const alpha = await this.#enlargedAlpha(image, width, height);
      for (let i = 3; i < pixels.length; i += 4) pixels[i] = alpha[i] as number;
      return { width, height, channels: 4, data: pixels };
    } finally {
      gpu.memory.release(current.buffer);
    }
  }

  /** RGBA of the source enlarged by bicubic; only its alpha is used. */
  async #enlargedAlpha(image: RawImage, width: number, height: number): Promise<Uint8Array> {
    const small = uploadImage(this.#gpu, image);
    let large = small;
    try {
      large = await resizeImage(this.#gpu, small, width, height, "bicubic");
      return await readImage(this.#gpu, large);
    } finally {
      this.#gpu.memory.release(small.buffer);
      if (large !== small) this.#gpu.memory.release(large.buffer);
    }
  }

  #upload(values: Float32Array, channels: number): GPUBuffer {
    const bytes = packActivation(values, channels, this.dtype);
    const buffer = this.#gpu.memory.create("latents", bytes.byteLength, "images");
    uploadBytes(this.#gpu, buffer, 0, bytes);
    return buffer;
  }

  async #download(
    buffer: GPUBuffer,
    rows: number,
    channels: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const size = activationByteLength([rows, channels], this.dtype);
    const bytes = await readBytes(this.#gpu, buffer, 0, size);
    return unpackActivation(bytes, { id: 0, shape: [rows, channels] }, this.dtype);
  }

  /** Forgets the encoded image and all programs, and frees their memory. Weights stay. */
  #dropBuffers(): void {
    this.#dropEncoded();
    this.#programs.clear();
  }

  #dropEncoded(): void {
    if (this.#encoded) {
      const { source, latents, tokens } = this.#encoded;
      for (const buffer of [source.buffer, latents, tokens]) this.#gpu.memory.release(buffer);
    }
    this.#encoded = undefined;
    this.#encodedOf = undefined;
  }
}

function roundingOf(options: UpscaleOptions): Rounding {
  return options.reference ? "truncate" : "nearest";
}
