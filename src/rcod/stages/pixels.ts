/** From predicted latents to the pixels of a call: decoding and all that follows. */
import type { SourceImage } from "../images/source-image.ts";
import { isOnDevice } from "../images/source-image.ts";
import type { Output } from "../images/textures.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { decodeToFloats, decodeToImage } from "./decode.ts";
import type { CallFaults } from "./fault-counters.ts";
import type { Pixels } from "./finish.ts";
import { enlargedTexture, finishImage } from "./finish.ts";

/** Decodes and finishes the predicted latents `z`, which it frees; and counts the faults of the networks meanwhile. */
export async function makePixels(
  context: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  image: SourceImage,
  options: UpscaleOptions,
  output: Output,
  clock: StageClock,
): Promise<readonly [Pixels, Promise<CallFaults>]> {
  const { gpu, configs, programs } = context;
  const count = (): Promise<CallFaults> => {
    const counts = programs.faults.read();
    counts.catch(() => undefined); // told by whoever awaits it
    return counts;
  };
  const { memory } = gpu;
  const decoding = [context, z, encoded, options, clock] as const;
  if (options.depth === 16 && !isOnDevice(image)) {
    const floats = await decodeToFloats(...decoding).finally(() => memory.release(z));
    const counts = count();
    clock.start("color");
    const { finishDeep } = await import("../deep/finish-deep.ts");
    const method = options.colorFix ?? configs.rcod.colorFix;
    const finished = await finishDeep(gpu, floats, encoded, image, method);
    const extra =
      options.enlarged === true
        ? { enlarged: await enlargedTexture(gpu, image, encoded.geometry) }
        : {};
    return [{ image: finished, ...extra }, counts];
  }
  const decoded = await decodeToImage(...decoding).finally(() => memory.release(z));
  const counts = count();
  const pixels = finishImage(context, decoded, encoded, image, options, output, clock);
  return [await pixels, counts];
}
