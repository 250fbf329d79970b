/** Between our layout (rows of channels) and those that ONNX graphs use. One image, so there is no batch axis. */

/** [pixels, channels] → [channels, pixels]. */
export function toChannelsFirst(values: Float32Array, channels: number): Float32Array {
  const pixels = values.length / channels;
  return values.map((_, i) => values[(i % pixels) * channels + Math.floor(i / pixels)] as number);
}

/** [channels, pixels] → [pixels, channels]. */
export function toChannelsLast(values: Float32Array, channels: number): Float32Array {
  return toChannelsFirst(values, values.length / channels);
}

/** [tokens, heads · d] → [heads, tokens, d]. */
export function splitHeads(values: Float32Array, heads: number, d: number): Float32Array {
  const tokens = values.length / (heads * d);
  return values.map((_, i) => {
    const [head, token] = [Math.floor(i / (tokens * d)), Math.floor(i / d) % tokens];
    return values[(token * heads + head) * d + (i % d)] as number;
  });
}

/** [heads, tokens, d] → [tokens, heads · d]. */
export function joinHeads(values: Float32Array, heads: number, d: number): Float32Array {
  const tokens = values.length / (heads * d);
  return values.map((_, i) => {
    const [token, head] = [Math.floor(i / (heads * d)), Math.floor(i / d) % heads];
    return values[(head * tokens + token) * d + (i % d)] as number;
  });
}

/** [batch, rows, columns] → [batch, columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const size = rows * columns;
  return values.map((_, i) => {
    const [at, inside] = [i - (i % size), i % size];
    return values[at + (inside % rows) * columns + Math.floor(inside / rows)] as number;
  });
}
