/** Pixels on the host, from and to RGBA8. */
import type { RawImage } from "../settings/options.ts";
import { colorChannels, depthOf, endsInAlpha } from "./raw-image.ts";

/** Fills `rgba` with pixels from `first` on: 16 bits are rounded, grey is repeated, missing alpha becomes 255. */
export function fillRgba8(
  rgba: Uint8Array<ArrayBuffer>,
  { channels, data }: Pick<RawImage, "channels" | "data">,
  first: number,
): void {
  const step = colorChannels({ channels }) === 1 ? 0 : 1; // grey is read three times
  const alphaAt = endsInAlpha({ channels }) ? channels - 1 : -1;
  const isDeep = depthOf({ data }) === 16;
  const levelAt = (at: number): number =>
    isDeep ? Math.round((data[at] as number) / 257) : (data[at] as number);
  for (let from = first * channels, to = 0; to < rgba.length; from += channels, to += 4) {
    rgba[to] = levelAt(from);
    rgba[to + 1] = levelAt(from + step);
    rgba[to + 2] = levelAt(from + 2 * step);
    rgba[to + 3] = alphaAt < 0 ? 255 : levelAt(from + alphaAt);
  }
}

/** RGBA8 with so many channels. Grey is the mean of the colours: networks tint it. */
export function withChannels(
  rgba: Uint8Array<ArrayBuffer>,
  channels: RawImage["channels"],
): Uint8Array<ArrayBuffer> {
  if (channels === 4) return rgba;
  const out = new Uint8Array((rgba.length / 4) * channels);
  for (let i = 0, o = 0; i < rgba.length; i += 4, o += channels) {
    const r = rgba[i] as number;
    const g = rgba[i + 1] as number;
    const b = rgba[i + 2] as number;
    if (channels === 3) {
      out[o] = r;
      out[o + 1] = g;
      out[o + 2] = b;
      continue;
    }
    out[o] = Math.round((r + g + b) / 3);
    if (channels === 2) out[o + 1] = rgba[i + 3] as number;
  }
  return out;
}
