/** Golden files keep channels in front of the pixels, the engine keeps them innermost. */

/** A tensor [N, C, H, W] as [N, H, W, C]. Other ranks are returned as they are. */
export function toChannelsLast(data: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 4) return data;
  const [batch, channels, height, width] = shape as readonly [number, number, number, number];
  const pixels = height * width;
  const out = new Float32Array(data.length);
  for (let n = 0; n < batch; n++) {
    const start = n * channels * pixels;
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++)
        out[start + p * channels + c] = data[start + c * pixels + p] as number;
    }
  }
  return out;
}

/** A tensor [N, H, W, C] as [N, C, H, W]. Other ranks are returned as they are. */
export function toChannelsFirst(data: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 4) return data;
  const [batch, height, width, channels] = shape as readonly [number, number, number, number];
  const pixels = height * width;
  const out = new Float32Array(data.length);
  for (let n = 0; n < batch; n++) {
    const start = n * channels * pixels;
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++)
        out[start + c * pixels + p] = data[start + p * channels + c] as number;
    }
  }
  return out;
}

/** The shape of `toChannelsLast`. */
export function channelsLastShape(shape: readonly number[]): readonly number[] {
  const [batch, channels, height, width, ...rest] = shape;
  if (width === undefined || rest.length > 0) return shape;
  return [batch, height, width, channels] as number[];
}
