/** From an image to what does not depend on realism: enlarged source, visual tokens, latents. */
import type { DType } from "../../gpu/dtype.ts";
import { copiedBuffer, filledBuffer } from "../../gpu/transfer.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import type { Program, RunOptions } from "../../graph/program.ts";
import type { EnlargedSource } from "../images/enlarged-source.ts";
import { enlargeSource } from "../images/enlarged-source.ts";
import type { Geometry } from "../images/geometry.ts";
import { resizeToTensor } from "../images/image-ops.ts";
import type { SourceImage } from "../images/source-image.ts";
import { isOnDevice } from "../images/source-image.ts";
import { memGraph } from "../networks/graphs.ts";
import { metricOfMap } from "../networks/mem.ts";
import { momentChannels } from "../networks/vae.ts";
import { sampleChannels, vaeFactor } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { TileSource } from "../tiles/device-map.ts";
import { createMap, mapSink } from "../tiles/device-map.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import { adaptToImage } from "./adapt.ts";
import { encoderNetwork, posteriorNetwork, tokensNetwork } from "./call-networks.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { dtypeOf, inStorageOf, roundingOf } from "./context.ts";
import { sampleLatents } from "./posterior.ts";

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
  const { gpu, configs, programs, inspector } = context;
  const dtype = dtypeOf(context, "vae");
  const { vae } = configs;
  const { seed } = options;
  const read: TileSource = (x, { x0, x1, y0, y1 }) =>
    source.toTensor(x, dtype, { x: x0, y: y0, width: x1 - x0, height: y1 - y0 });
  const tile = chooseVaeTile(vae, gpu.caps, dtype, "encode", workHeight, workWidth, options);
  let program: Program;
  if (tile === null) {
    const network = encoderNetwork(configs, dtype, workHeight, workWidth);
    program = await programs.get(network, inspector?.planOptions("encode"));
    await read(program.input("image"), { x0: 0, x1: workWidth, y0: 0, y1: workHeight });
    await programs.run(program, {}, runOptions(options.signal));
    await inspector?.collect("encode", program);
  } else {
    const factor = vaeFactor(vae);
    const shape = [workHeight / factor, workWidth / factor, momentChannels(vae)] as const;
    const moments = createMap(gpu, "moments", shape, dtype);
    try {
      const size = { height: workHeight, width: workWidth };
      await programs.runVaeInTiles(vae, "encode", size, read, mapSink(gpu, moments), {
        tileSize: tile,
        reference: options.reference === true,
        ...runOptions(options.signal),
      });
      program = await programs.get(posteriorNetwork(configs, dtype, shape[0], shape[1]));
      await programs.run(program, { moments: moments.buffer }, { signal: options.signal });
    } finally {
      gpu.memory.release(moments.buffer);
    }
  }
  if (seed === undefined) return programs.keep(program, "latents");
  const mean = (await program.read("latents")).data;
  const logvar = (await program.read("logvar")).data;
  const values = sampleLatents(mean, logvar, vae, seed);
  programs.faults.note("encode", values, dtype);
  const bytes = packActivation(values, sampleChannels(vae), dtype);
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
      build: () => memGraph(mem, vae, height, width, dtype),
    });
    const shape = [height, width, sampleChannels(vae)];
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
