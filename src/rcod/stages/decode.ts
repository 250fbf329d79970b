/** From the predicted latents to an image. */
import { uploadBytes } from "../../gpu/transfer.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { toRgba8 } from "../images/host-pixels.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import { createImage, tensorToLevels } from "../images/image-ops.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { runTiledVae } from "../tiles/tiled-vae.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import { decoderNetwork } from "./call-networks.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { roundingOf } from "./context.ts";

/** What is made of the decoder's output [1, workHeight, workWidth, 3] in −1 … 1. */
interface Taker<T> {
  /** Where it is one tensor on the device. */
  readonly onDevice: (x: { readonly buffer: GPUBuffer; readonly size: number }) => Promise<T>;
  /** Where tiles of it were put together on the host. */
  readonly onHost: (data: Float32Array<ArrayBuffer>) => T;
}

/** Stage "decode": an image of 8 bits at the size of the enlarged source. */
export async function decodeToImage(
  context: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<DeviceImage> {
  const { gpu, dtype } = context;
  const { workWidth, workHeight, sourceWidth, sourceHeight } = encoded.geometry;
  const rounding = roundingOf(options);
  const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
  const sizes = { srcWidth: workWidth, srcHeight: workHeight };
  try {
    return await decode(context, z, encoded, options, clock, {
      async onDevice(x) {
        await tensorToLevels(gpu, x, decoded, { dtype, ...sizes, rounding });
        return decoded;
      },
      onHost(data) {
        const bytes = toRgba8(data, workWidth, sourceWidth, sourceHeight, rounding);
        uploadBytes(gpu, decoded.buffer, 0, bytes);
        return decoded;
      },
    });
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
  const { gpu, dtype } = context;
  const { workWidth, workHeight } = encoded.geometry;
  return decode(context, z, encoded, options, clock, {
    onDevice: ({ buffer }) => readActivation(gpu, buffer, [workHeight, workWidth, 3], dtype),
    onHost: (data) => data,
  });
}

async function decode<T>(
  { gpu, configs, weights, programs, dtype, inspector }: StageContext,
  z: GPUBuffer,
  { latentHeight, latentWidth, geometry }: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
  take: Taker<T>,
): Promise<T> {
  clock.start("decode");
  await programs.enter("decode", clock.enterOptions(options.signal));
  const { vae } = configs;
  const { workHeight, workWidth } = geometry;
  const tile = chooseVaeTile(vae, gpu.caps, dtype, "decode", workHeight, workWidth, options);
  if (tile === null) {
    const network = decoderNetwork(configs, dtype, latentHeight, latentWidth);
    const program = await programs.get(network, inspector?.planOptions("decode"));
    await program.run({ z }, clock.runOptions(options.signal));
    await inspector?.collect("decode", program);
    return take.onDevice(program.result("image"));
  }
  const shape = [latentHeight * latentWidth, vae.latentChannels];
  const latents = await readActivation(gpu, z, shape, dtype);
  const pass = { gpu, weights: weights.vae, config: vae, kind: "decode" } as const;
  const tiled = await runTiledVae(pass, latents, latentHeight, latentWidth, {
    tileSize: tile,
    reference: options.reference === true,
    ...clock.runOptions(options.signal),
  });
  return take.onHost(tiled.data);
}
