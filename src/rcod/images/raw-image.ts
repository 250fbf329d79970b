/** Pixels on the host as callers give them: what their channels and bits mean, and whether they are what they say. */
import { ShapeError } from "../../gpu/shape.ts";
import type { RawImage } from "../settings/options.ts";

/** Bits a channel. */
export const depthOf = ({ data }: Pick<RawImage, "data">): 8 | 16 =>
  data instanceof Uint16Array ? 16 : 8;

/** The highest value of a channel. */
export const highestLevel = (image: Pick<RawImage, "data">): 255 | 65_535 =>
  depthOf(image) === 16 ? 65_535 : 255;

/** Channels that are colour and not alpha. */
export const colorChannels = ({ channels }: Pick<RawImage, "channels">): 1 | 3 =>
  channels < 3 ? 1 : 3;

/** Whether the last channel is alpha. */
export const endsInAlpha = (image: Pick<RawImage, "channels">): boolean =>
  image.channels !== colorChannels(image);

/** Throws `ShapeError` unless `image` is what it says. */
export function checkImage({ width, height, channels, data }: RawImage): void {
  const isSide = (side: number): boolean => Number.isSafeInteger(side) && side >= 1;
  if (!isSide(width) || !isSide(height) || ![1, 2, 3, 4].includes(channels)) {
    throw new ShapeError(
      `image: needs integer sides ≥ 1 and 1 to 4 channels, got ${width}×${height}×${channels}`,
    );
  }
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!isBytes && !(data instanceof Uint16Array)) {
    const got = Object.prototype.toString.call(data).slice("[object ".length, -1);
    throw new ShapeError(
      `image: data must be a Uint8Array, Uint8ClampedArray or Uint16Array, got ${got}`,
    );
  }
  if (data.length !== width * height * channels) {
    throw new ShapeError(
      `image: ${width}×${height}×${channels} needs ${width * height * channels} values, got ${data.length}`,
    );
  }
}
