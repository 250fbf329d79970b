/** Textures from and to plain bytes, for tests of images that stay on the device. */
import type { Gpu } from "../../src/gpu/device.ts";
import { readBytes } from "../../src/gpu/transfer.ts";

const USAGE = { COPY_SRC: 0x1, COPY_DST: 0x2, TEXTURE_BINDING: 0x4 };

export interface TextureFields {
  readonly format?: GPUTextureFormat;
  readonly usage?: number;
  readonly size?: number[];
}

/** A texture filled with RGBA bytes, where given. */
export function makeTexture(
  { device }: Pick<Gpu, "device">,
  width: number,
  height: number,
  rgba?: ArrayLike<number>,
  fields: TextureFields = {},
): GPUTexture {
  const usage = USAGE.COPY_SRC | USAGE.COPY_DST | USAGE.TEXTURE_BINDING;
  const texture = device.createTexture({
    label: "test texture",
    format: "rgba8unorm",
    usage,
    size: [width, height],
    ...fields,
  });
  if (rgba) writeTexture({ device }, texture, rgba);
  return texture;
}

export function writeTexture(
  { device }: Pick<Gpu, "device">,
  texture: GPUTexture,
  rgba: ArrayLike<number>,
): void {
  const { width, height } = texture;
  const layout = { bytesPerRow: 4 * width, rowsPerImage: height };
  device.queue.writeTexture({ texture }, Uint8Array.from(rgba), layout, [width, height]);
}

/** The RGBA bytes of a texture. */
export async function readTexture(gpu: Gpu, texture: GPUTexture): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height } = texture;
  const bytesPerRow = Math.ceil((4 * width) / 256) * 256;
  const buffer = gpu.memory.create("texture rows", bytesPerRow * height, "staging");
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow }, [width, height]);
  gpu.device.queue.submit([encoder.finish()]);
  const rows = await readBytes(gpu, buffer, 0, bytesPerRow * height);
  gpu.memory.release(buffer);
  const out = new Uint8Array(4 * width * height);
  for (let y = 0; y < height; y++)
    out.set(rows.subarray(y * bytesPerRow, y * bytesPerRow + 4 * width), y * 4 * width);
  return out;
}
