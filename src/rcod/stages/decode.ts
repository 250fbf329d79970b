/** From the predicted latents to an image. */
import { readActivation } from "../../graph/read-activation.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import { createImage, tensorToLevels } from "../images/image-ops.ts";
import { sampleChannels } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { TileSink } from "../tiles/device-map.ts";
import { createMap, mapSink, mapSource } from "../tiles/device-map.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import { decoderNetwork } from "./call-networks.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { dtypeOf, inStorageOf, roundingOf } from "./context.ts";

/** Stage "decode": an image of 8 bits at the size of the enlarged source. */
export async function decodeToImage(
  context: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<DeviceImage> {
  const { gpu } = context;
  const { sourceWidth, sourceHeight } = encoded.geometry;
  const rounding = roundingOf(options);
  const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
  try {
    await decode(context, z, encoded, options, clock, async (tile, srcX, srcY, box) => {
      // What lies in the padding is left out.
      const width = Math.min(box.x1, sourceWidth) - box.x0;
      const height = Math.min(box.y1, sourceHeight) - box.y0;
      if (width <= 0 || height <= 0) return;
      const source = { srcWidth: tile.width, srcHeight: tile.height, dtype: tile.dtype, rounding };
      const places = { srcX, srcY, dstX: box.x0, dstY: box.y0, width, height };
      await tensorToLevels(gpu, { buffer: tile.buffer }, decoded, source, places);
    });
    return decoded;
  } catch (error) {
    gpu.memory.release(decoded.buffer);
    throw error;
  }
}

/** Stage "decode": colours in −1 … 1 on the host, [workHeight, workWidth, 3]. */
export async function decodeToFloats(
  context: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<Float32Array<ArrayBuffer>> {
  const { gpu } = context;
  const { workWidth, workHeight } = encoded.geometry;
  const shape = [workHeight, workWidth, 3] as const;
  const map = createMap(gpu, "decoded image", shape, dtypeOf(context, "vae"));
  try {
    await decode(context, z, encoded, options, clock, mapSink(gpu, map));
    return await readActivation(gpu, map.buffer, shape, map.dtype);
  } finally {
    gpu.memory.release(map.buffer);
  }
}

/** Gives the decoder's output [1, workHeight, workWidth, 3] in −1 … 1 to `write`, at once or in tiles. */
async function decode(
  context: StageContext,
  z: GPUBuffer,
  { latentHeight: height, latentWidth: width, geometry }: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
  write: TileSink,
): Promise<void> {
  const { gpu, configs, programs, inspector } = context;
  clock.start("decode");
  await programs.enter("decode", clock.enterOptions(options.signal));
  const { vae } = configs;
  const { workHeight, workWidth } = geometry;
  const dtype = dtypeOf(context, "vae");
  const channels = sampleChannels(vae);
  const shape = [height * width, channels];
  const input = await inStorageOf(context, "decode", z, shape, dtypeOf(context, "unet"));
  try {
    const tile = chooseVaeTile(vae, gpu.caps, dtype, "decode", workHeight, workWidth, options);
    if (tile !== null) {
      const latents = { buffer: input, height, width, channels, dtype };
      await programs.runVaeInTiles(vae, "decode", latents, mapSource(gpu, latents), write, {
        tileSize: tile,
        reference: options.reference === true,
        ...clock.runOptions(options.signal),
      });
      return;
    }
    const network = decoderNetwork(configs, dtype, height, width);
    const program = await programs.get(network, inspector?.planOptions("decode"));
    await programs.run(program, { z: input }, clock.runOptions(options.signal));
    await inspector?.collect("decode", program);
    const { buffer } = program.result("image");
    const image = { buffer, height: workHeight, width: workWidth, channels: 3, dtype };
    await write(image, 0, 0, { x0: 0, x1: workWidth, y0: 0, y1: workHeight });
  } finally {
    if (input !== z) gpu.memory.release(input);
  }
}
