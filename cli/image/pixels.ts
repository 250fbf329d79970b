/** RawImage on their way through the command line, with as many channels and bits as the file has. */

import { colorChannels, endsInAlpha, highestLevel } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";

/** Whether any pixel is not opaque. */
export function hasTransparency(image: RawImage): boolean {
  const { channels, data } = image;
  if (!endsInAlpha(image)) return false;
  const opaque = highestLevel(image);
  for (let i = channels - 1; i < data.length; i += channels) if (data[i] !== opaque) return true;
  return false;
}

/** As 8-bit RGB or RGBA, for what takes nothing else. */
export function asRgb8(
  image: RawImage,
): RawImage & { readonly channels: 3 | 4; readonly data: Uint8Array } {
  const { width, height, channels, data } = image;
  const most = highestLevel(image);
  const isGrey = colorChannels(image) === 1;
  const outChannels = endsInAlpha(image) ? 4 : 3;
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
