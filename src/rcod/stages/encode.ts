/** From an image to what does not depend on realism: enlarged source, visual tokens, latents. */
import type { DType } from "../../gpu/dtype.ts";
import { copiedBuffer, filledBuffer } from "../../gpu/transfer.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import type { RunOptions } from "../../graph/program.ts";
import type { EnlargedSource } from "../images/enlarged-source.ts";
import { enlargeSource } from "../images/enlarged-source.ts";
import type { Geometry } from "../images/geometry.ts";
import { resizeToTensor } from "../images/image-ops.ts";
import type { SourceImage } from "../images/source-image.ts";
import { isOnDevice } from "../images/source-image.ts";
import { memGraph } from "../networks/graphs.ts";
import { metricOfMap } from "../networks/mem.ts";
import { vaeFactor } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { runTiledVae } from "../tiles/tiled-vae.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import { adaptToImage } from "./adapt.ts";
import { encoderNetwork, tokensNetwork } from "./call-networks.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { dtypeOf, inStorageOf, roundingOf } from "./context.ts";
import { sampleLatents, splitMoments } from "./posterior.ts";

/** Share of RCOD_S's encoding that looks at the degradation and merges. */
const ADAPT_SHARE = 0.2;

/** What the regions of a picture have of the whole. */
export interface WholeTokens {
  /** [1, T, D]. */
  readonly buffer: GPUBuffer;
  readonly dtype: DType;
}

/**
 * Stages "preprocess", "tokens" and "encode". With RCOD_S the weights are those for this image afterwards; with the tokens of a
 * whole picture, whose region this is, they are already.
 */
export async function encodeImage(
  context: StageContext,
  image: SourceImage,
  geometry: Geometry,
  options: UpscaleOptions,
  clock: StageClock,
  whole?: WholeTokens,
): Promise<Encoded> {
  const { gpu, configs, programs } = context;
  const owned: GPUBuffer[] = [];
  let source: EnlargedSource | undefined;
  try {
    clock.start("preprocess");
    const deep =
      options.depth === 16 && !isOnDevice(image)
        ? await (await import("../deep/deep-source.ts")).enlargeDeep(gpu, image, geometry, configs)
        : null;
    const keepsHidden = options.reference === true;
    source =
      deep ??
      (await enlargeSource(gpu, image, geometry, configs, roundingOf(options), keepsHidden));
    owned.push(source.image.buffer);
    options.signal?.throwIfAborted();
    clock.start("tokens");
    const tokens = whole
      ? copiedBuffer(gpu, "tokens", whole.buffer, whole.buffer.size, "images")
      : await visualTokens(context, source, options, clock);
    owned.push(tokens);
    clock.start("encode");
    const adapted =
      configs.degradation && !whole
        ? await adaptToImage(
            context,
            image,
            clock.runOptions(options.signal, 0, ADAPT_SHARE),
            keepsHidden,
          )
        : null;
    await programs.enter("encode", clock.enterOptions(options.signal));
    const latents = await encodeLatents(context, source, geometry, options, (signal) =>
      adapted ? clock.runOptions(signal, ADAPT_SHARE, 1 - ADAPT_SHARE) : clock.runOptions(signal),
    );
    const factor = vaeFactor(configs.vae);
    return {
      source: source.image,
      ...(deep && { deepColors: deep.colors }),
      geometry,
      latents,
      tokens,
      storage: {
        latents: dtypeOf(context, "vae"),
        tokens: whole?.dtype ?? dtypeOf(context, "clip"),
      },
      latentHeight: geometry.workHeight / factor,
      latentWidth: geometry.workWidth / factor,
      ...(adapted?.metric !== undefined && { predictedMetric: adapted.metric }),
    };
  } catch (error) {
    for (const buffer of owned) gpu.memory.release(buffer);
    throw error;
  } finally {
    source?.release();
  }
}

/** Visual Prompt Injection: CLIP tokens of the enlarged source, without CLIP's normalisation. */
export async function visualTokens(
  context: StageContext,
  source: EnlargedSource,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<GPUBuffer> {
  const { gpu, configs, programs, inspector } = context;
  await programs.enter("tokens", clock.enterOptions(options.signal));
  const dtype = dtypeOf(context, "clip");
  const network = tokensNetwork(configs, dtype);
  const program = await programs.get(network, inspector?.planOptions("tokens"));
  const side = configs.clip.imageSize;
  const pixels = program.input("pixels");
  await resizeToTensor(gpu, source.pixels, pixels, { width: side, height: side, dtype });
  await programs.run(program, {}, clock.runOptions(options.signal));
  await inspector?.collect("tokens", program);
  return programs.keep(program, "tokens");
}

/** Latents [1, h, w, L] times the scaling factor: the posterior's mean, or a seeded sample. */
export async function encodeLatents(
  context: StageContext,
  source: EnlargedSource,
  { workHeight, workWidth }: Geometry,
  options: UpscaleOptions,
  runOptions: (signal: AbortSignal | undefined) => RunOptions,
): Promise<GPUBuffer> {
  const { gpu, configs, weights, programs, inspector } = context;
  const dtype = dtypeOf(context, "vae");
  const { vae } = configs;
  const { seed } = options;
  let posterior: { readonly mean: Float32Array; readonly logvar: Float32Array };
  const tile = chooseVaeTile(vae, gpu.caps, dtype, "encode", workHeight, workWidth, options);
  if (tile === null) {
    const network = encoderNetwork(configs, dtype, workHeight, workWidth);
    const program = await programs.get(network, inspector?.planOptions("encode"));
    await source.toTensor(program.input("image"), dtype);
    await programs.run(program, {}, runOptions(options.signal));
    await inspector?.collect("encode", program);
    if (seed === undefined) return programs.keep(program, "latents");
    const mean = await program.read("latents");
    posterior = { mean: mean.data, logvar: (await program.read("logvar")).data };
  } else {
    const pixels = await source.toHost();
    const counting = { run: programs.run, faults: programs.faults.binding("encode") };
    const pass = { gpu, weights: weights.vae, config: vae, kind: "encode", ...counting } as const;
    const moments = await runTiledVae(pass, pixels, workHeight, workWidth, {
      tileSize: tile,
      reference: options.reference === true,
      ...runOptions(options.signal),
    });
    posterior = splitMoments(moments.data, vae.latentChannels, vae.scalingFactor);
  }
  const { mean, logvar } = posterior;
  const values = seed === undefined ? mean : sampleLatents(mean, logvar, vae.scalingFactor, seed);
  programs.faults.note("encode", values, dtype);
  const bytes = packActivation(values, vae.latentChannels, dtype);
  return filledBuffer(gpu, "latents", bytes, "images");
}

/**
 * "auto": the metric, predicted once per image. RCOD_S has it from encoding; otherwise it is predicted from the
 * latents now, which counts as encoding.
 */
export async function predictMetric(
  context: StageContext,
  encoded: Encoded,
  { signal }: UpscaleOptions,
): Promise<number> {
  if (encoded.predictedMetric === undefined) {
    const { gpu, configs, programs, inspector } = context;
    const { mem, vae } = configs;
    if (mem === null) throw new Error("internal: this model has no mem");
    await programs.enter("mem", { signal });
    const dtype = dtypeOf(context, "mem");
    const { latentHeight: height, latentWidth: width, storage } = encoded;
    const program = await programs.get({
      key: `mem ${height}x${width}`,
      part: "mem",
      build: () => memGraph(mem, height, width, dtype),
    });
    const shape = [height, width, vae.latentChannels];
    const latents = await inStorageOf(context, "mem", encoded.latents, shape, storage.latents);
    try {
      await programs.run(program, { latents }, { ...inspector?.onTimes("encode"), signal });
      encoded.predictedMetric = metricOfMap((await program.read("metric")).data);
    } finally {
      if (latents !== encoded.latents) gpu.memory.release(latents);
    }
  }
  return encoded.predictedMetric;
}
