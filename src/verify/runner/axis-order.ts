/** Golden files keep channels in front of the pixels, the engine keeps them innermost. */

/** A tensor [N, C, H, W] as [N, H, W, C]. Other ranks are returned as they are. */
export function toChannelsLast(data: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 4) return data;
  const [batch, channels, height, width] = shape as readonly [number, number, number, number];
  return transpose(data, batch, channels, height * width);
}

/** A tensor [N, H, W, C] as [N, C, H, W]. Other ranks are returned as they are. */
export function toChannelsFirst(data: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 4) return data;
  const [batch, height, width, channels] = shape as readonly [number, number, number, number];
  return transpose(data, batch, height * width, channels);
}

/** [batch, rows, columns] as [batch, columns, rows]. */
function transpose(data: Float32Array, batch: number, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let n = 0; n < batch; n++) {
    const start = n * rows * columns;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++)
        out[start + c * rows + r] = data[start + r * columns + c] as number;
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
