/** From the predicted latents to an 8-bit image. */
import { uploadBytes } from "../../gpu/transfer.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { toRgba8 } from "../images/host-pixels.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import { createImage, tensorToLevels } from "../images/image-ops.ts";
import { decoderGraph } from "../networks/graphs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { runTiledVae } from "../tiles/tiled-vae.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { roundingOf } from "./context.ts";

/** Stage "decode": the image at the size of the enlarged source. */
export async function decodeLatents(
  { gpu, configs, weights, programs, dtype, inspector }: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<DeviceImage> {
  clock.start("decode");
  await programs.enter("decode", clock.enterOptions(options.signal));
  const { vae } = configs;
  const { latentHeight, latentWidth, geometry } = encoded;
  const { workHeight, workWidth, sourceWidth, sourceHeight } = geometry;
  const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
  const toImage = (x: GPUBufferBinding): Promise<void> =>
    tensorToLevels(gpu, x, decoded, {
      dtype,
      srcWidth: workWidth,
      srcHeight: workHeight,
      rounding: roundingOf(options),
    });
  try {
    const tile = chooseVaeTile(vae, gpu.caps, dtype, "decode", workHeight, workWidth, options);
    if (tile === null) {
      const program = await programs.get(
        `decode ${latentHeight}x${latentWidth}`,
        "vae",
        () => decoderGraph(vae, latentHeight, latentWidth, dtype),
        inspector?.planOptions("decode"),
      );
      await program.run({ z }, clock.runOptions(options.signal));
      await inspector?.collect("decode", program);
      const { buffer, size } = program.result("image");
      await toImage({ buffer, size });
      return decoded;
    }
    const shape = [latentHeight * latentWidth, vae.latentChannels];
    const latents = await readActivation(gpu, z, shape, dtype);
    const pass = { gpu, weights: weights.vae, config: vae, kind: "decode" } as const;
    const tiled = await runTiledVae(pass, latents, latentHeight, latentWidth, {
      tileSize: tile,
      reference: options.reference === true,
      ...clock.runOptions(options.signal),
    });
    const bytes = toRgba8(tiled.data, workWidth, sourceWidth, sourceHeight, roundingOf(options));
    uploadBytes(gpu, decoded.buffer, 0, bytes);
    return decoded;
  } catch (error) {
    gpu.memory.release(decoded.buffer);
    throw error;
  }
}
