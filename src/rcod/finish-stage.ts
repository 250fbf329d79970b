/** From the decoded image to the pixels that the caller gets. */
import type { Gpu } from "../gpu/device.ts";
import { dropAlpha } from "./host-pixels.ts";
import type { DeviceImage, RawImage } from "./image-ops.ts";
import { cropImage, fixColors, readImage, resizeImage, uploadImage } from "./image-ops.ts";
import type { UpscaleOptions } from "./options.ts";
import type { StageClock } from "./stage-clock.ts";
import type { Encoded, StageContext } from "./stage-context.ts";
import { roundingOf } from "./stage-context.ts";

/** Stage "color": colour fix, crop or last resize, alpha; the pixels on the host. Releases `decoded`. */
export async function finishImage(
  { gpu, configs }: StageContext,
  decoded: DeviceImage,
  { source, geometry }: Encoded,
  image: RawImage,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<RawImage> {
  clock.start("color");
  let current = decoded;
  const replace = (next: DeviceImage): void => {
    if (next !== current) gpu.memory.release(current.buffer);
    current = next;
  };
  try {
    const method = options.colorFix ?? configs.rcod.colorFix;
    if (method !== "none")
      replace(await fixColors(gpu, source, current, method, roundingOf(options)));
    for (const step of geometry.finish) {
      if (step.kind === "resize")
        replace(await resizeImage(gpu, current, step.width, step.height, step.filter));
      else if (step.width !== current.width || step.height !== current.height) {
        replace(cropImage(gpu, current, step.width, step.height));
      }
    }
    const { width, height } = current;
    if (width !== geometry.outWidth || height !== geometry.outHeight) {
      throw new Error(
        `internal: ${width}×${height} instead of ${geometry.outWidth}×${geometry.outHeight}`,
      );
    }
    const pixels = await readImage(gpu, current);
    if (image.channels === 3) return { width, height, channels: 3, data: dropAlpha(pixels) };
    const alpha = await enlargedAlpha(gpu, image, width, height);
    for (let i = 3; i < pixels.length; i += 4) pixels[i] = alpha[i] as number;
    return { width, height, channels: 4, data: pixels };
  } finally {
    gpu.memory.release(current.buffer);
  }
}

/** RGBA of the source enlarged by bicubic; only its alpha is used. */
async function enlargedAlpha(
  gpu: Gpu,
  image: RawImage,
  width: number,
  height: number,
): Promise<Uint8Array> {
  const small = uploadImage(gpu, image);
  let large = small;
  try {
    large = await resizeImage(gpu, small, width, height, "bicubic");
    return await readImage(gpu, large);
  } finally {
    gpu.memory.release(small.buffer);
    if (large !== small) gpu.memory.release(large.buffer);
  }
}
