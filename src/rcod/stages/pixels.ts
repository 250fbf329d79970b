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
import { destroyPixels, enlargedTexture, finishImage } from "./finish.ts";

/**
 * Decodes and finishes predicted latents, one after another, which it frees; and counts the faults of the networks meanwhile.
 * Whoever gets the pixels frees them.
 */
export async function makePixels(
  context: StageContext,
  predicted: readonly GPUBuffer[],
  encoded: Encoded,
  image: SourceImage,
  options: UpscaleOptions,
  output: Output,
  clock: StageClock,
): Promise<readonly [Pixels[], Promise<CallFaults>]> {
  const waiting = [...predicted];
  const made: Pixels[] = [];
  let counts: Promise<CallFaults> = Promise.resolve(new Map());
  const onDecoded = (): void => {
    if (waiting.length > 0) return;
    counts = context.programs.faults.read();
    counts.catch(() => undefined); // told by whoever awaits it
  };
  try {
    for (let z = waiting.shift(); z; z = waiting.shift()) {
      made.push(await pixelsOf(context, z, encoded, image, options, output, clock, onDecoded));
    }
    return [made, counts];
  } catch (error) {
    for (const pixels of made) destroyPixels(pixels);
    await counts.catch(() => undefined); // a call that has ended holds no memory
    throw error;
  } finally {
    for (const z of waiting) context.gpu.memory.release(z);
  }
}

async function pixelsOf(
  context: StageContext,
  z: GPUBuffer,
  encoded: Encoded,
  image: SourceImage,
  options: UpscaleOptions,
  output: Output,
  clock: StageClock,
  onDecoded: () => void,
): Promise<Pixels> {
  const { gpu, configs } = context;
  const { memory } = gpu;
  const decoding = [context, z, encoded, options, clock] as const;
  if (options.depth === 16 && !isOnDevice(image)) {
    const floats = await decodeToFloats(...decoding).finally(() => memory.release(z));
    onDecoded();
    clock.start("color");
    const { finishDeep } = await import("../deep/finish-deep.ts");
    const method = options.colorFix ?? configs.rcod.colorFix;
    const finished = await finishDeep(gpu, floats, encoded, image, method);
    const extra =
      options.enlarged === true
        ? { enlarged: await enlargedTexture(gpu, image, encoded.geometry) }
        : {};
    return { image: finished, ...extra };
  }
  const decoded = await decodeToImage(...decoding).finally(() => memory.release(z));
  onDecoded();
  return finishImage(context, decoded, encoded, image, options, output, clock);
}
