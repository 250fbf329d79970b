/** Pixels on the host: what tiled VAE passes read and write, and the last step to raw bytes. */
import type { Gpu } from "../../gpu/device.ts";
import type { Rounding } from "../../kernels/image/image-layout.ts";
import type { RawImage } from "../settings/options.ts";
import type { DeviceImage } from "./image-ops.ts";
import { readImage } from "./image-ops.ts";

/** The encoder's input on the host, for tiles: [H, W, 3] in −1 … 1, edges repeated into the padding. */
export async function hostPixels(
  gpu: Gpu,
  source: DeviceImage,
  height: number,
  width: number,
): Promise<Float32Array<ArrayBuffer>> {
  const rgba = await readImage(gpu, source);
  const out = new Float32Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const row = Math.min(y, source.height - 1) * source.width;
    for (let x = 0; x < width; x++) {
      const from = (row + Math.min(x, source.width - 1)) * 4;
      for (let c = 0; c < 3; c++)
        out[(y * width + x) * 3 + c] = (rgba[from + c] as number) / 127.5 - 1;
    }
  }
  return out;
}

/** An image [H, W, 3] in −1 … 1 as RGBA8, cropped to the top left outWidth × outHeight. */
export function toRgba8(
  image: Float32Array,
  width: number,
  outWidth: number,
  outHeight: number,
  rounding: Rounding,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(outWidth * outHeight * 4).fill(255);
  const half = rounding === "nearest" ? 0.5 : 0;
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      for (let c = 0; c < 3; c++) {
        const value = Math.min(Math.max(image[(y * width + x) * 3 + c] as number, -1), 1);
        out[(y * outWidth + x) * 4 + c] = Math.floor(255 * (0.5 * value + 0.5) + half);
      }
    }
  }
  return out;
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
