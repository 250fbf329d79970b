/** Pixels on the host: the last step to raw bytes. */
import type { RawImage } from "../settings/options.ts";

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
