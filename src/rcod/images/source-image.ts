/** The image that a call gets: pixels on the host, or a texture on the device. */
import type { Gpu } from "../../gpu/device.ts";
import type { RawImage } from "../settings/options.ts";
import type { DeviceImage } from "./image-ops.ts";
import { checkImage, uploadImage } from "./image-ops.ts";
import { checkTexture, imageOfTexture } from "./textures.ts";

export type SourceImage = RawImage | GPUTexture;

export function isTexture(image: object): image is GPUTexture {
  return "createView" in image;
}

/** Throws `ShapeError` unless `image` is what it says and can be read. */
export function checkSource(image: SourceImage): void {
  if (isTexture(image)) checkTexture(image);
  else checkImage(image);
}

/** Whether the result takes its alpha channel from the image. */
export function hasAlpha(image: SourceImage): boolean {
  return isTexture(image) || image.channels === 4;
}

/** A packed copy on the device, which the caller frees. */
export async function packedSource(gpu: Gpu, image: SourceImage): Promise<DeviceImage> {
  return isTexture(image) ? imageOfTexture(gpu, image) : uploadImage(gpu, image);
}
