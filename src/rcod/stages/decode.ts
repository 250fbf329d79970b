/** From the predicted latents to an image. */
import type { DType } from "../../gpu/dtype.ts";
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
import { dtypeOf, inStorageOf, roundingOf } from "./context.ts";

type Stored = { readonly buffer: GPUBuffer; readonly size: number };

/** What is made of the decoder's output [1, workHeight, workWidth, 3] in −1 … 1. */
interface Taker<T> {
  /** Where it is one tensor on the device. */
  readonly onDevice: (x: Stored, dtype: DType) => Promise<T>;
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
  const { gpu } = context;
  const { workWidth, workHeight, sourceWidth, sourceHeight } = encoded.geometry;
  const rounding = roundingOf(options);
  const decoded = createImage(gpu, "decoded image", sourceWidth, sourceHeight);
  const sizes = { srcWidth: workWidth, srcHeight: workHeight };
  try {
    return await decode(context, z, encoded, options, clock, {
      async onDevice(x, dtype) {
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
  const { gpu } = context;
  const { workWidth, workHeight } = encoded.geometry;
  return decode(context, z, encoded, options, clock, {
    onDevice: ({ buffer }, dtype) => readActivation(gpu, buffer, [workHeight, workWidth, 3], dtype),
    onHost: (data) => data,
  });
}

async function decode<T>(
  context: StageContext,
  z: GPUBuffer,
  { latentHeight, latentWidth, geometry }: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
  take: Taker<T>,
): Promise<T> {
  const { gpu, configs, weights, programs, inspector } = context;
  clock.start("decode");
  await programs.enter("decode", clock.enterOptions(options.signal));
  const { vae } = configs;
  const { workHeight, workWidth } = geometry;
  const dtype = dtypeOf(context, "vae");
  const tile = chooseVaeTile(vae, gpu.caps, dtype, "decode", workHeight, workWidth, options);
  const shape = [latentHeight * latentWidth, vae.latentChannels];
  if (tile === null) {
    const network = decoderNetwork(configs, dtype, latentHeight, latentWidth);
    const program = await programs.get(network, inspector?.planOptions("decode"));
    const input = await inStorageOf(context, "decode", z, shape, dtypeOf(context, "unet"));
    try {
      await programs.run(program, { z: input }, clock.runOptions(options.signal));
    } finally {
      if (input !== z) gpu.memory.release(input);
    }
    await inspector?.collect("decode", program);
    return take.onDevice(program.result("image"), dtype);
  }
  const latents = await readActivation(gpu, z, shape, dtypeOf(context, "unet"));
  programs.faults.note("decode", latents, dtype);
  const counting = { run: programs.run, faults: programs.faults.binding("decode") };
  const pass = { gpu, weights: weights.vae, config: vae, kind: "decode", ...counting } as const;
  const tiled = await runTiledVae(pass, latents, latentHeight, latentWidth, {
    tileSize: tile,
    reference: options.reference === true,
    ...clock.runOptions(options.signal),
  });
  return take.onHost(tiled.data);
}
