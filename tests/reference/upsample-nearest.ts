/** Nearest-neighbour resize of [B, H, W, C] by whole-number arithmetic. */
export function upsampleNearest(
  x: Float64Array,
  [batch, inHeight, inWidth, channels]: readonly [number, number, number, number],
  outHeight: number,
  outWidth: number,
): Float64Array {
  const y = new Float64Array(batch * outHeight * outWidth * channels);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++) {
        const row = Math.floor((i * inHeight) / outHeight);
        const column = Math.floor((j * inWidth) / outWidth);
        for (let c = 0; c < channels; c++) {
          y[at++] = x[((b * inHeight + row) * inWidth + column) * channels + c] as number;
        }
      }
    }
  }
  return y;
}
