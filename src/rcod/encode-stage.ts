/** From an image to what does not depend on realism: enlarged source, visual tokens, latents. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { uploadBytes } from "../gpu/transfer.ts";
import { packActivation } from "../graph/pack-activation.ts";
import { runPlan } from "../graph/run-plan.ts";
import { imageToTensor } from "../kernels/image-to-tensor.ts";
import { vaeFactor } from "./config.ts";
import type { Geometry } from "./geometry.ts";
import { encoderGraph, memGraph, tokenGraph } from "./graphs.ts";
import { hostPixels } from "./host-pixels.ts";
import type { DeviceImage, RawImage } from "./image-ops.ts";
import { resizeImage, resizeToTensor, uploadImage } from "./image-ops.ts";
import { metricOfMap } from "./mem.ts";
import type { UpscaleOptions } from "./options.ts";
import { sampleLatents, splitMoments } from "./posterior.ts";
import type { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { TiledVae } from "./tiled-vae.ts";
import { chooseVaeTile } from "./vae-tile-choice.ts";

/** Stages "preprocess", "tokens" and "encode". */
export async function encodeImage(
  context: StageContext,
  image: RawImage,
  geometry: Geometry,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<Encoded> {
  const { gpu, configs } = context;
  const owned: GPUBuffer[] = [];
  try {
    clock.start("preprocess");
    const source = await enlargedSource(context, image, geometry);
    owned.push(source.buffer);
    options.signal?.throwIfAborted();
    clock.start("tokens");
    const tokens = await visualTokens(context, source, options, clock);
    owned.push(tokens);
    clock.start("encode");
    const latents = await encodeLatents(context, source, geometry, options, clock);
    const factor = vaeFactor(configs.vae);
    const latentHeight = geometry.workHeight / factor;
    const latentWidth = geometry.workWidth / factor;
    return { source, geometry, latents, tokens, latentHeight, latentWidth };
  } catch (error) {
    for (const buffer of owned) gpu.memory.release(buffer);
    throw error;
  }
}

/** The enlarged 8-bit source: input of the encoder and colour reference. */
async function enlargedSource(
  { gpu }: StageContext,
  image: RawImage,
  { prepare }: Geometry,
): Promise<DeviceImage> {
  let current = uploadImage(gpu, image);
  try {
    for (const { width, height, filter } of prepare) {
      const next = await resizeImage(gpu, current, width, height, filter);
      if (next !== current) gpu.memory.release(current.buffer);
      current = next;
    }
    return current;
  } catch (error) {
    gpu.memory.release(current.buffer);
    throw error;
  }
}

/** Visual Prompt Injection: CLIP tokens of the enlarged source, without CLIP's normalisation. */
async function visualTokens(
  { gpu, configs, programs, dtype }: StageContext,
  source: DeviceImage,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<GPUBuffer> {
  const { clip, unet } = configs;
  const program = await programs.get("tokens", "clip", () =>
    tokenGraph(clip, unet.crossAttentionDim, dtype),
  );
  const side = clip.imageSize;
  const pixels = program.input("pixels");
  await resizeToTensor(gpu, source, pixels, { width: side, height: side, dtype });
  await program.run({}, clock.runOptions(options.signal));
  return programs.keep(program, "tokens");
}

/** Latents [1, h, w, L] times the scaling factor: the posterior's mean, or a seeded sample. */
async function encodeLatents(
  { gpu, configs, weights, programs, dtype }: StageContext,
  source: DeviceImage,
  { workHeight, workWidth }: Geometry,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<GPUBuffer> {
  const { vae } = configs;
  const toTensor = (y: GPUBufferBinding): Promise<void> =>
    runPlan(
      gpu,
      imageToTensor.plan(
        {
          dtype,
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
  const tile = chooseVaeTile(vae, gpu.caps, dtype, "encode", workHeight, workWidth, options);
  if (tile === null) {
    const program = await programs.get(`encode ${workHeight}x${workWidth}`, "vae", () =>
      encoderGraph(vae, workHeight, workWidth, dtype),
    );
    await toTensor(program.input("image"));
    await program.run({}, clock.runOptions(options.signal));
    if (options.seed === undefined) return programs.keep(program, "latents");
    const mean = await program.read("latents");
    const logvar = await program.read("logvar");
    return uploadLatents(
      gpu,
      sampleLatents(mean.data, logvar.data, vae.scalingFactor, options.seed),
      vae.latentChannels,
      dtype,
    );
  }
  const pixels = await hostPixels(gpu, source, workHeight, workWidth);
  const tiled = new TiledVae(gpu, weights.vae, vae, "encode");
  const moments = await tiled.run(pixels, workHeight, workWidth, {
    tileSize: tile,
    reference: options.reference === true,
    ...clock.runOptions(options.signal),
  });
  const { mean, logvar } = splitMoments(moments.data, vae.latentChannels, vae.scalingFactor);
  return uploadLatents(
    gpu,
    options.seed === undefined
      ? mean
      : sampleLatents(mean, logvar, vae.scalingFactor, options.seed),
    vae.latentChannels,
    dtype,
  );
}

/** Values [.., channels] as a device buffer of packed activations. */
function uploadLatents(gpu: Gpu, values: Float32Array, channels: number, dtype: DType): GPUBuffer {
  const bytes = packActivation(values, channels, dtype);
  const buffer = gpu.memory.create("latents", bytes.byteLength, "images");
  uploadBytes(gpu, buffer, 0, bytes);
  return buffer;
}

/** "auto": predicts the metric from the latents, once per image. Its time counts as encoding. */
export async function predictMetric(
  { configs, programs, dtype }: StageContext,
  encoded: Encoded,
  { signal }: UpscaleOptions,
): Promise<number> {
  if (encoded.predictedMetric === undefined) {
    const { mem } = configs;
    if (mem === null) throw new Error("internal: this model has no mem");
    const { latentHeight: height, latentWidth: width, latents } = encoded;
    const program = await programs.get(`mem ${height}x${width}`, "mem", () =>
      memGraph(mem, height, width, dtype),
    );
    await program.run({ latents }, signal ? { signal } : {});
    encoded.predictedMetric = metricOfMap((await program.read("metric")).data);
  }
  return encoded.predictedMetric;
}
