/** Images in and out as GPU textures, without a way through the host. */
import type { Gpu } from "../../gpu/device.ts";
import { catchErrors, deviceError } from "../../gpu/error-scopes.ts";
import { DeviceError } from "../../gpu/errors.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { submit } from "../../gpu/submit.ts";
import type { PixelRectangle, RawImage, UpscaleOptions } from "../settings/options.ts";
import type { Geometry } from "./geometry.ts";
import { MAX_PIXELS } from "./geometry.ts";
import { fillRgba8 } from "./host-pixels.ts";
import type { DeviceImage } from "./image-ops.ts";
import { createImage } from "./image-ops.ts";

/** GPUTextureUsage: the constants are not defined in every Node process. */
const USAGE = { COPY_SRC: 0x1, COPY_DST: 0x2, TEXTURE_BINDING: 0x4, RENDER_ATTACHMENT: 0x10 };
const FORMAT = "rgba8unorm";
/** Rows of a texture start at multiples of this many bytes in a buffer, when several are copied at once. */
const ROW_ALIGNMENT = 256;

/** Throws `ShapeError` unless `texture` can be read as an image. */
export function checkTexture(texture: GPUTexture): void {
  const { format, dimension, depthOrArrayLayers, sampleCount, usage } = texture;
  const isPlain = dimension === "2d" && depthOrArrayLayers === 1 && sampleCount === 1;
  if (isPlain && format === FORMAT && (usage & USAGE.COPY_SRC) !== 0) return;
  throw new ShapeError(
    `image: a texture must be 2d, ${FORMAT}, with one layer, one sample and usage COPY_SRC, got ${dimension}, ` +
      `${format}, ${depthOrArrayLayers} layers, ${sampleCount} samples and usage 0x${usage.toString(16)}. ` +
      `Draw it into such a texture`,
  );
}

/** Where the pixels of a result go. */
export type Output = "image" | "texture" | "regions";

/** Throws `ShapeError` where there is no image of the requested size, or on the device no texture. */
export function checkOutput(
  { caps }: Gpu,
  output: Output,
  { enlarged }: UpscaleOptions,
  { outWidth: width, outHeight: height }: Geometry,
): void {
  if (output === "image" && width * height > MAX_PIXELS) {
    throw new ShapeError(
      `image: a result in one piece must have at most ${MAX_PIXELS} pixels, got ${width}×${height}. ` +
        'Take output: "regions", or a smaller scale or size',
    );
  }
  const limit = caps.limits.maxTextureDimension2D;
  if ((output !== "texture" && enlarged !== true) || Math.max(width, height) <= limit) return;
  throw new ShapeError(
    `texture: sides must be at most ${limit} on this device (maxTextureDimension2D), got ${width}×${height}. ` +
      'Take output: "image" without enlarged, or a smaller image',
  );
}

/** The texture's first mip level as a packed image, which the caller frees. */
export async function imageOfTexture(gpu: Gpu, texture: GPUTexture): Promise<DeviceImage> {
  const image = createImage(gpu, "source image", texture.width, texture.height);
  try {
    const { error } = catchErrors(gpu.device, () => {
      const encoder = gpu.device.createCommandEncoder({ label: "texture in" });
      for (const { buffer, y, size } of rowCopies(image)) {
        encoder.copyTextureToBuffer({ texture, origin: [0, y] }, buffer, size);
      }
      gpu.device.queue.submit([encoder.finish()]);
    });
    const invalid = await gpu.scopes.wait(() => error);
    if (invalid === null) return image;
    throw new DeviceError(
      `device: the input texture cannot be read: ${invalid.message}. It must be alive and of the model's device: ` +
        "load the model with { gpu: device }",
    );
  } catch (error) {
    gpu.memory.release(image.buffer);
    throw deviceError(error);
  }
}

/** A texture for drawing, rendering into and copying. The caller destroys it. */
export function emptyTexture(gpu: Gpu, label: string, width: number, height: number): GPUTexture {
  const usage = USAGE.COPY_SRC | USAGE.COPY_DST | USAGE.TEXTURE_BINDING | USAGE.RENDER_ATTACHMENT;
  return gpu.scopes.run(() =>
    gpu.device.createTexture({ label, format: FORMAT, size: [width, height], usage }),
  );
}

/** Writes pixels of 8 bits, of one to four channels, into their rectangle of a texture. */
export function writeTexture(
  gpu: Gpu,
  texture: GPUTexture,
  { x, y, width, height, channels, data }: PixelRectangle & Omit<RawImage, "width" | "height">,
): void {
  const rgba = new Uint8Array(width * height * 4);
  fillRgba8(rgba, { channels, data }, 0);
  gpu.scopes.note(() => {
    gpu.device.queue.writeTexture({ texture, origin: [x, y] }, rgba, { bytesPerRow: width * 4 }, [
      width,
      height,
    ]);
  });
}

/** A texture with the pixels of `image`, for drawing, rendering into and copying. The caller destroys it. */
export function textureOfImage(gpu: Gpu, image: DeviceImage, label: string): GPUTexture {
  const texture = emptyTexture(gpu, label, image.width, image.height);
  submit(gpu, "texture out", (encoder) => {
    for (const { buffer, y, size } of rowCopies(image)) {
      encoder.copyBufferToTexture(buffer, { texture, origin: [0, y] }, size);
    }
  });
  return texture;
}

/**
 * The copies between a packed image and a texture: a single one where rows are aligned as WebGPU requires, otherwise
 * one per row, which needs no alignment. So no padded copy of the image is made.
 */
function rowCopies({ buffer, width, height }: DeviceImage): readonly {
  readonly buffer: GPUTexelCopyBufferInfo;
  readonly y: number;
  readonly size: readonly [number, number];
}[] {
  const bytesPerRow = width * 4;
  if (bytesPerRow % ROW_ALIGNMENT === 0) {
    return [{ buffer: { buffer, bytesPerRow }, y: 0, size: [width, height] }];
  }
  return Array.from({ length: height }, (_, y) => ({
    buffer: { buffer, offset: y * bytesPerRow },
    y,
    size: [width, 1],
  }));
}
