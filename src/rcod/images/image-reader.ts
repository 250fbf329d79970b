/** Pictures that are read rectangle by rectangle: those of callers, and the pixels that a call has anyway. */
import type { Gpu } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { shown } from "../../options.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../settings/options.ts";
import { cropImage, readImage } from "./image-ops.ts";
import { checkImage, depthOf, samplesIn } from "./raw-image.ts";
import type { SourceImage } from "./source-image.ts";
import { isOnDevice } from "./source-image.ts";

/** What a reader says is in a rectangle. Throws `ShapeError` where it gives something else. */
export async function readRectangle(
  reader: ImageReader,
  rectangle: PixelRectangle,
  signal?: AbortSignal,
): Promise<RawImage> {
  const image = await reader.read(rectangle, signal);
  const { width, height } = rectangle;
  if (typeof image !== "object" || (image as object | null) === null) {
    throw new ShapeError(`image: read() must give pixels, got ${shown(image)}`);
  }
  checkImage(image);
  const { channels, depth, colorSpace } = reader;
  const isAsked = image.width === width && image.height === height;
  if (!isAsked || image.channels !== channels || depthOf(image) !== depth) {
    throw new ShapeError(
      `image: read() must give ${width}×${height}×${channels} of ${depth} bits, got ` +
        `${image.width}×${image.height}×${image.channels} of ${depthOf(image)}`,
    );
  }
  const { data } = image;
  return { width, height, channels, data, ...(colorSpace && { colorSpace }) };
}

/** Reads from an image that a call has. */
export function readerOf(gpu: Gpu, image: SourceImage): ImageReader {
  if (!isOnDevice(image)) {
    const { data: _, ...form } = image;
    return {
      ...form,
      depth: depthOf(image),
      read: (rectangle) => {
        const { width, height } = rectangle;
        return { ...form, width, height, data: samplesIn(image, rectangle) };
      },
    };
  }
  const { width, height } = image;
  return {
    width,
    height,
    channels: 4,
    depth: 8,
    async read(rectangle) {
      const part = cropImage(gpu, image, rectangle);
      try {
        const data = await readImage(gpu, part);
        return { width: part.width, height: part.height, channels: 4, data };
      } finally {
        gpu.memory.release(part.buffer);
      }
    },
  };
}
