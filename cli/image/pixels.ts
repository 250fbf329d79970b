/** RawImage on their way through the command line, with as many channels and bits as the file has. */

import type { RawImage } from "../../src/rcod/settings/options.ts";

export const depthOf = ({ data }: RawImage): 8 | 16 => (data instanceof Uint16Array ? 16 : 8);

/** Channels that are colour and not alpha. */
export const colourChannels = ({ channels }: RawImage): 1 | 3 => (channels < 3 ? 1 : 3);

/** Whether any pixel is not opaque. */
export function hasTransparency(image: RawImage): boolean {
  const { channels, data } = image;
  if (channels === colourChannels(image)) return false;
  const opaque = depthOf(image) === 16 ? 65_535 : 255;
  for (let i = channels - 1; i < data.length; i += channels) if (data[i] !== opaque) return true;
  return false;
}

/** As 8-bit RGB or RGBA, for what takes nothing else. */
export function asRgb8(
  image: RawImage,
): RawImage & { readonly channels: 3 | 4; readonly data: Uint8Array } {
  const { width, height, channels, data } = image;
  const hasAlpha = channels !== colourChannels(image);
  const most = depthOf(image) === 16 ? 65_535 : 255;
  const isGrey = channels < 3;
  const outChannels = hasAlpha ? 4 : 3;
  const out = new Uint8Array(width * height * outChannels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < outChannels; c++) {
      const from = c === 3 ? channels - 1 : isGrey ? 0 : c;
      const value = data[pixel * channels + from] as number;
      out[pixel * outChannels + c] = Math.round((value * 255) / most);
    }
  }
  return { width, height, channels: outChannels, data: out };
}
