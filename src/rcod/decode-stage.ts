/** From the predicted latents to an 8-bit image. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { readBytes, uploadBytes } from "../gpu/transfer.ts";
import { activationByteLength } from "../graph/lower.ts";
import { unpackActivation } from "../graph/pack-activation.ts";
import { runPlan } from "../graph/run-plan.ts";
import { tensorToImage } from "../kernels/tensor-to-image.ts";
import { decoderGraph } from "./graphs.ts";
import { levels } from "./host-pixels.ts";
import type { DeviceImage } from "./image-ops.ts";
import { createImage } from "./image-ops.ts";
import type { UpscaleOptions } from "./options.ts";
import type { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { roundingOf } from "./stage-context.ts";
import { TiledVae } from "./tiled-vae.ts";
import { chooseVaeTile } from "./vae-tile-choice.ts";

/** Stage "decode": the image at the size of the enlarged source. */
export async function decodeLatents(
  { gpu, configs, weights, programs, dtype }: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<DeviceImage> {
  clock.start("decode");
  const { vae } = configs;
  const { latentHeight, latentWidth, geometry } = encoded;
  const { workHeight, workWidth, sourceWidth, sourceHeight } = geometry;
  const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
  const toImage = (x: GPUBufferBinding): Promise<void> =>
    runPlan(
      gpu,
      tensorToImage.plan(
        {
          dtype,
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
    const tile = chooseVaeTile(vae, gpu.caps, dtype, "decode", workHeight, workWidth, options);
    if (tile === null) {
      const program = await programs.get(`decode ${latentHeight}x${latentWidth}`, "vae", () =>
        decoderGraph(vae, latentHeight, latentWidth, dtype),
      );
      await program.run({ z }, clock.runOptions(options.signal));
      const { buffer, size } = program.result("image");
      await toImage({ buffer, size });
      return decoded;
    }
    const latents = await download(gpu, z, [latentHeight * latentWidth, vae.latentChannels], dtype);
    const tiled = await new TiledVae(gpu, weights.vae, vae, "decode").run(
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

async function download(
  gpu: Gpu,
  buffer: GPUBuffer,
  shape: readonly number[],
  dtype: DType,
): Promise<Float32Array<ArrayBuffer>> {
  const bytes = await readBytes(gpu, buffer, 0, activationByteLength(shape, dtype));
  return unpackActivation(bytes, { id: 0, shape }, dtype);
}
