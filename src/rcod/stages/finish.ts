/** From the decoded image to what the caller gets. */
import type { Gpu } from "../../gpu/device.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { keepFlat } from "../../kernels/image/keep-flat.ts";
import { replaceAlpha } from "../../kernels/image/replace-alpha.ts";
import type { Geometry } from "../images/geometry.ts";
import { withChannels } from "../images/host-pixels.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import { cropImage, fixColors, readImage, reduceImage, resizeImage } from "../images/image-ops.ts";
import type { SourceImage } from "../images/source-image.ts";
import { hasAlpha, isOnDevice, mayBeFlat, packedSource } from "../images/source-image.ts";
import type { Output } from "../images/textures.ts";
import { textureOfImage } from "../images/textures.ts";
import type { RawImage, UpscaleOptions } from "../settings/options.ts";
import type { StageClock } from "./clock.ts";
import type { Encoded, StageContext } from "./context.ts";
import { roundingOf } from "./context.ts";

/** The pixels of a call, on the host or on the device. Whoever gets the textures destroys them. */
export type Pixels = ({ readonly image: RawImage } | { readonly texture: GPUTexture }) & {
  readonly enlarged?: GPUTexture;
};

/** Stage "color": colour fix, crop or last resize, areas of one colour, alpha; then the pixels as `output` says. Frees `decoded`. */
export async function finishImage(
  context: StageContext,
  decoded: DeviceImage,
  encoded: Encoded,
  image: SourceImage,
  options: UpscaleOptions,
  output: Output,
  clock: StageClock,
): Promise<Pixels> {
  const { gpu } = context;
  let finished = await fixedImage(context, decoded, encoded, options, clock);
  const isReference = options.reference === true;
  const needsEnlarged = hasAlpha(image) || options.enlarged === true;
  const { isFlat } = encoded; // of a region the whole decides
  const keepsFlat = !isReference && (isFlat ?? mayBeFlat(image));
  let small: DeviceImage | undefined;
  let enlarged: DeviceImage | undefined;
  try {
    const { width, height } = finished;
    if (needsEnlarged || keepsFlat) {
      small = await packedSource(gpu, image, { keepsHidden: isReference });
    }
    if (small && keepsFlat) {
      const scale = width / small.width;
      const size = { width: small.width, height: small.height };
      const least = isFlat ? { least: 0 } : {};
      const plan = keepFlat.plan({ ...size, scale, ...least }, gpu.caps);
      await runPlan(gpu, plan, { source: small.buffer, image: finished.buffer });
    }
    if (small && needsEnlarged) {
      enlarged = await resizeImage(gpu, small, width, height, "bicubic");
    }
    if (enlarged && hasAlpha(image)) {
      const plan = replaceAlpha.plan({ pixels: width * height }, gpu.caps);
      await runPlan(gpu, plan, { image: finished.buffer, alpha: enlarged.buffer });
    }
    const { finish, outWidth, outHeight } = encoded.geometry;
    finished = await reducedBy(gpu, finished, finish);
    if (options.enlarged === true && enlarged) {
      enlarged = await reducedBy(gpu, enlarged, finish, small);
    }
    if (finished.width !== outWidth || finished.height !== outHeight) {
      throw new Error(
        `internal: ${finished.width}×${finished.height} instead of ${outWidth}×${outHeight}`,
      );
    }
    const shown = options.enlarged === true ? enlarged : undefined;
    return await deliver(gpu, finished, shown, output, isOnDevice(image) ? null : image);
  } finally {
    gpu.memory.release(finished.buffer);
    if (small) gpu.memory.release(small.buffer);
    if (enlarged && enlarged !== small) gpu.memory.release(enlarged.buffer);
  }
}

/** Reduced by the last of these steps where it is to be, in place of `image`, which is freed unless it is `kept`. */
async function reducedBy(
  gpu: Gpu,
  image: DeviceImage,
  finish: Geometry["finish"],
  kept?: DeviceImage,
): Promise<DeviceImage> {
  const step = finish.at(-1);
  const reduced = step?.kind === "reduce" ? await reduceImage(gpu, image, step) : image;
  if (reduced !== image && image !== kept) gpu.memory.release(image.buffer);
  return reduced;
}

/** Frees the textures of a result that is not handed out. */
export function destroyPixels(pixels: Pixels): void {
  if ("texture" in pixels) pixels.texture.destroy();
  pixels.enlarged?.destroy();
}

/** The source enlarged by bicubic and reduced as a result, which the caller destroys. */
export async function enlargedTexture(
  gpu: Gpu,
  image: SourceImage,
  { picture: { width, height }, finish }: Geometry,
): Promise<GPUTexture> {
  const small = await packedSource(gpu, image);
  let large: DeviceImage | undefined;
  try {
    large = await resizeImage(gpu, small, width, height, "bicubic");
    large = await reducedBy(gpu, large, finish, small);
    return textureOfImage(gpu, large, "enlarged");
  } finally {
    gpu.memory.release(small.buffer);
    if (large && large !== small) gpu.memory.release(large.buffer);
  }
}

/** With the colours of the source, at the size of the result. Frees `decoded`. */
async function fixedImage(
  { gpu, configs }: StageContext,
  decoded: DeviceImage,
  { source, geometry }: Encoded,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<DeviceImage> {
  let current = decoded;
  const replace = (next: DeviceImage): void => {
    if (next !== current) gpu.memory.release(current.buffer);
    current = next;
  };
  try {
    clock.start("color"); // calls the caller's onProgress, which may throw
    const method = options.colorFix ?? configs.rcod.colorFix;
    if (method !== "none")
      replace(await fixColors(gpu, source, current, method, roundingOf(options)));
    for (const step of geometry.finish) {
      if (step.kind === "reduce") continue; // with alpha, after all else
      if (step.kind === "resize")
        replace(await resizeImage(gpu, current, step.width, step.height, step.filter));
      else if (step.width !== current.width || step.height !== current.height) {
        replace(cropImage(gpu, current, step));
      }
    }
    return current;
  } catch (error) {
    gpu.memory.release(current.buffer);
    throw error;
  }
}

/** Reads the pixels back with the channels of `input` (a texture has four), or waits until their textures are filled. */
async function deliver(
  gpu: Gpu,
  finished: DeviceImage,
  enlarged: DeviceImage | undefined,
  output: Output,
  input: RawImage | null,
): Promise<Pixels> {
  const made: GPUTexture[] = [];
  const texture = (source: DeviceImage, label: string): GPUTexture => {
    made.push(textureOfImage(gpu, source, label));
    return made.at(-1) as GPUTexture;
  };
  try {
    const extra = enlarged ? { enlarged: texture(enlarged, "enlarged") } : {};
    if (output === "texture") {
      const result = { texture: texture(finished, "upscaled"), ...extra };
      await submittedWorkDone(gpu); // memory that ran out is found here, not when the texture is drawn
      return result;
    }
    const { width, height } = finished;
    const { channels = 4, colorSpace } = input ?? {};
    const data = withChannels(await readImage(gpu, finished), channels);
    return {
      image: { width, height, channels, data, ...(colorSpace && { colorSpace }) },
      ...extra,
    };
  } catch (error) {
    for (const orphan of made) orphan.destroy();
    throw error;
  }
}
