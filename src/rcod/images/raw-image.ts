/** Pixels on the host as callers give them: what their channels and bits mean, and whether they are what they say. */
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { kindOf, shown } from "../../options.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../settings/options.ts";

/** Bits a channel. */
export const depthOf = ({ data }: Pick<RawImage, "data">): 8 | 16 =>
  data.BYTES_PER_ELEMENT === 2 ? 16 : 8;

/** The highest value of a channel. */
export const highestLevel = (image: Pick<RawImage, "data">): 255 | 65_535 =>
  depthOf(image) === 16 ? 65_535 : 255;

/** Channels that are colour and not alpha. */
export const colorChannels = ({ channels }: Pick<RawImage, "channels">): 1 | 3 =>
  channels < 3 ? 1 : 3;

/** Whether the last channel is alpha. */
export const endsInAlpha = (image: Pick<RawImage, "channels">): boolean =>
  image.channels !== colorChannels(image);

/** Whether an array holds bytes, also one of another window or over shared memory. */
export const isBytes = (data: unknown): boolean =>
  ["Uint8Array", "Uint8ClampedArray"].includes(kindOf(data));

const isChannels = (channels: number): boolean => [1, 2, 3, 4].includes(channels);
const isColorSpace = (space: string | undefined): boolean =>
  space === undefined || ["srgb", "display-p3"].includes(space);

/** Throws `ShapeError` unless `image` is what it says. */
export function checkImage({ width, height, channels, data, colorSpace }: RawImage): void {
  if (!isShape([width, height]) || !isChannels(channels)) {
    throw new ShapeError(
      `image: needs integer sides ≥ 1 and 1 to 4 channels, got ${width}×${height}×${channels}`,
    );
  }
  if (!isBytes(data) && kindOf(data) !== "Uint16Array") {
    throw new ShapeError(
      `image: data must be a Uint8Array, Uint8ClampedArray or Uint16Array, got ${kindOf(data)}. Write levels of 0 … 255 ` +
        "or 0 … 65535 into one of these",
    );
  }
  if (data.length !== width * height * channels) {
    throw new ShapeError(
      `image: ${width}×${height}×${channels} needs ${width * height * channels} values, got ${data.length}`,
    );
  }
  if (!isColorSpace(colorSpace)) {
    throw new ShapeError(
      `image: colorSpace must be "srgb" or "display-p3", got ${shown(colorSpace)}. Convert the pixels to one of these`,
    );
  }
}

/** Throws `ShapeError` unless `reader` says what it reads. */
export function checkReader({ width, height, channels, depth, colorSpace }: ImageReader): void {
  const isForm = isShape([width, height]) && isChannels(channels) && [8, 16].includes(depth);
  if (isForm && isColorSpace(colorSpace)) return;
  throw new ShapeError(
    `image: a reader needs integer sides ≥ 1, 1 to 4 channels, depth 8 or 16 and colorSpace "srgb", "display-p3" or none, ` +
      `got ${width}×${height}×${channels}, ${shown(depth)}, ${shown(colorSpace)}`,
  );
}

/** The same pixels in memory that nobody else has. */
export function copyOfImage(image: RawImage): RawImage {
  const { data } = image;
  // Not slice(): a Buffer's would be a view of the same memory.
  return { ...image, data: depthOf(image) === 16 ? new Uint16Array(data) : new Uint8Array(data) };
}

/** Pixels in memory of their own. */
export type Samples = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** The pixels of a rectangle within an image. */
export function samplesIn(
  { width: imageWidth, channels, data }: RawImage,
  { x, y, width, height }: PixelRectangle,
): Samples {
  const out = samplesLike(data, width * height * channels);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * imageWidth + x) * channels;
    out.set(data.subarray(from, from + width * channels), row * width * channels);
  }
  return out;
}

/** Zeros of the depth of `data`. */
export function samplesLike(data: RawImage["data"], length: number): Samples {
  return data.BYTES_PER_ELEMENT === 2 ? new Uint16Array(length) : new Uint8Array(length);
}
