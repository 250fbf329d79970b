/** The image that a call gets: pixels on the host, or a texture on the device. */
import type { Gpu } from "../../gpu/device.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { hiddenColors } from "../../kernels/image/hidden-colors.ts";
import { padEdges } from "../../kernels/image/pad-edges.ts";
import type { ImageReader, RawImage, UpscaleOptions } from "../settings/options.ts";
import type { Rectangle } from "./geometry.ts";
import type { DeviceImage } from "./image-ops.ts";
import { copyImage, createImage, uploadImage } from "./image-ops.ts";
import {
  checkImage,
  checkReader,
  colorChannels,
  copyOfImage,
  depthOf,
  endsInAlpha,
} from "./raw-image.ts";
import type { Output } from "./textures.ts";
import { checkTexture, imageOfTexture } from "./textures.ts";

/** What a caller gives. */
export type ImageSource = RawImage | GPUTexture | ImageReader;

/** What a call works on: pixels of its own, of a texture those on the device. */
export type SourceImage = RawImage | DeviceImage;

export function isTexture(image: object): image is GPUTexture {
  return "createView" in image;
}

export function isOnDevice(image: SourceImage): image is DeviceImage {
  return "buffer" in image;
}

export function isReader(image: object): image is ImageReader {
  return "read" in image;
}

/** The uploads of what calls have taken from the host; null before the first use. */
const uploads = new WeakMap<RawImage, DeviceImage | null>();

/**
 * The pixels as they are now, whatever the caller does with the object next; a reader reads when it is asked. Free them with
 * `releaseSource`.
 */
export async function takeSource(gpu: Gpu, image: ImageSource): Promise<SourceImage | ImageReader> {
  if (isReader(image)) return image;
  if (isTexture(image)) return imageOfTexture(gpu, image);
  const taken = copyOfImage(image);
  uploads.set(taken, null);
  return taken;
}

export function releaseSource(gpu: Gpu, image: SourceImage | ImageReader): void {
  if (isReader(image)) return;
  const onDevice = isOnDevice(image) ? image : uploads.get(image);
  if (onDevice) gpu.memory.release(onDevice.buffer);
}

/** The pixels on the device. Those of a call are uploaded once. The caller frees the copy. */
function uploadedCopy(gpu: Gpu, image: RawImage): DeviceImage {
  let upload = uploads.get(image);
  if (upload === undefined) return uploadImage(gpu, image);
  upload ??= uploadImage(gpu, image);
  uploads.set(image, upload);
  return copyImage(gpu, upload);
}

/** Throws `ShapeError` unless `image` is what it says and can be read. */
export function checkSource(image: ImageSource): void {
  if (isTexture(image)) checkTexture(image);
  else if (isReader(image)) checkReader(image);
  else checkImage(image);
}

/**
 * Bits a channel of the result. Throws `RangeError` for a depth that there is not for such a call.
 */
export function resultDepth(
  image: ImageSource,
  { depth, reference = false }: UpscaleOptions,
  output: Output,
): 8 | 16 {
  const isPlain = !isTexture(image) && output !== "texture" && !reference;
  const own = (): 8 | 16 => {
    if (isTexture(image)) return 8;
    return isReader(image) ? image.depth : depthOf(image);
  };
  if (depth === undefined) return isPlain ? own() : 8;
  if (depth === 8 || isPlain) return depth;
  const made = output === "texture" ? 'output "texture"' : "reference";
  const got = isTexture(image) ? "a texture" : made;
  throw new RangeError(
    `depth: 16 bits are for images on the host in and out, and not for reference, got ${got}`,
  );
}

/** Whether the result takes its alpha channel from the image. */
export function hasAlpha(image: SourceImage): boolean {
  return isOnDevice(image) || endsInAlpha(image);
}

/** How an image comes to the device. */
export interface SourceForm {
  /** In one of this size that repeats its edges. Default: as it is. */
  readonly padded?: Rectangle | null;
  /** Colours under alpha 0 stay as they are stored, as in the reference. Default: they are taken from visible neighbours. */
  readonly keepsHidden?: boolean;
}

/** A packed copy on the device, which the caller frees. */
export async function packedSource(
  gpu: Gpu,
  image: SourceImage,
  { padded = null, keepsHidden = false }: SourceForm = {},
): Promise<DeviceImage> {
  const packed = isOnDevice(image) ? copyImage(gpu, image) : uploadedCopy(gpu, image);
  try {
    const { width, height } = packed;
    if (!keepsHidden && mayHide(image)) {
      const plan = hiddenColors.plan({ width, height }, gpu.caps);
      await runPlan(gpu, plan, { image: packed.buffer });
    }
    if (padded === null) return packed;
    const whole = await paddedImage(gpu, packed, padded);
    gpu.memory.release(packed.buffer);
    return whole;
  } catch (error) {
    gpu.memory.release(packed.buffer);
    throw error;
  }
}

/** An image in one of the size of `padded` that repeats its edges. */
async function paddedImage(
  gpu: Gpu,
  { buffer, width: srcWidth, height: srcHeight }: DeviceImage,
  { x: left, y: top, width, height }: Rectangle,
): Promise<DeviceImage> {
  const whole = createImage(gpu, "padded source", width, height);
  try {
    const plan = padEdges.plan({ srcWidth, srcHeight, left, top, width, height }, gpu.caps);
    await runPlan(gpu, plan, { src: buffer, dst: whole.buffer });
    return whole;
  } catch (error) {
    gpu.memory.release(whole.buffer);
    throw error;
  }
}

/** Whether an image may have pixels of alpha 0; of a texture nothing is known. */
export function mayHide(image: SourceImage): boolean {
  if (isOnDevice(image)) return true;
  const { channels, data } = image;
  if (!endsInAlpha(image)) return false;
  for (let i = channels - 1; i < data.length; i += channels) if (data[i] === 0) return true;
  return false;
}

/** Whether at least half of the pixels may lie in areas of one colour; of a texture nothing is known. */
export function mayBeFlat(image: SourceImage): boolean {
  if (isOnDevice(image)) return true;
  const { width, height, channels, data } = image;
  const colors = colorChannels(image);
  let edges = 0; // pixels that differ from the one before or above, which are not flat
  for (let y = 0; y < height; y++) {
    if (2 * edges > width * height) return false; // most photographs, half-way
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * channels;
      const before = x > 0 ? at - channels : at;
      const above = y > 0 ? at - width * channels : at;
      for (let c = 0; c < colors; c++) {
        if (data[at + c] === data[before + c] && data[at + c] === data[above + c]) continue;
        edges++;
        break;
      }
    }
  }
  return 2 * edges <= width * height;
}
