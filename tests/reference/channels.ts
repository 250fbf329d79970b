/** Concatenation and slicing of rows along channels. */

/** a [rows, c1], b [rows, c2] → [rows, c1 + c2]. */
export function concatChannels(a: Float64Array, b: Float64Array, rows: number): Float64Array {
  const c1 = a.length / rows;
  const c2 = b.length / rows;
  const y = new Float64Array(a.length + b.length);
  for (let row = 0; row < rows; row++) {
    y.set(a.subarray(row * c1, (row + 1) * c1), row * (c1 + c2));
    y.set(b.subarray(row * c2, (row + 1) * c2), row * (c1 + c2) + c1);
  }
  return y;
}

/** x [rows, channels] → [rows, count], clamped where asked. */
export function sliceChannels(
  x: Float64Array,
  channels: number,
  offset: number,
  count: number,
  clamp: readonly [number, number] | null,
): Float64Array {
  const rows = x.length / channels;
  const y = new Float64Array(rows * count);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < count; c++) {
      const value = x[row * channels + offset + c] as number;
      y[row * count + c] = clamp ? Math.min(Math.max(value, clamp[0]), clamp[1]) : value;
    }
  }
  return y;
}
