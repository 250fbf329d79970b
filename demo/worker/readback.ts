/** Pixels of a texture. */

/** Rows of a copy into a buffer start at multiples of this many bytes. */
const ROW_ALIGNMENT = 256;

/** RGBA pixels of an `rgba8unorm` texture that was made with COPY_SRC. */
export async function readTexture(
  device: GPUDevice,
  texture: GPUTexture,
): Promise<Uint8ClampedArray<ArrayBuffer>> {
  const { width, height } = texture;
  const rowBytes = width * 4;
  const bytesPerRow = Math.ceil(rowBytes / ROW_ALIGNMENT) * ROW_ALIGNMENT;
  const buffer = device.createBuffer({
    label: "readback",
    size: bytesPerRow * height,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  try {
    const encoder = device.createCommandEncoder({ label: "readback" });
    encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow }, [width, height]);
    device.queue.submit([encoder.finish()]);
    await buffer.mapAsync(GPUMapMode.READ);
    const padded = new Uint8Array(buffer.getMappedRange());
    const pixels = new Uint8ClampedArray(rowBytes * height);
    for (let y = 0; y < height; y++) {
      pixels.set(padded.subarray(y * bytesPerRow, y * bytesPerRow + rowBytes), y * rowBytes);
    }
    return pixels;
  } finally {
    buffer.destroy();
  }
}
