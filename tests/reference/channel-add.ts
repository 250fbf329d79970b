/** A value per image and channel added to every pixel, in double precision. */

/** x [batch, pixels, channels] + v [batch, channels]. */
export function channelAdd(
  x: Float64Array,
  v: Float64Array,
  batch: number,
  channels: number,
): Float64Array {
  const perImage = x.length / batch;
  return x.map(
    (value, i) => value + (v[Math.floor(i / perImage) * channels + (i % channels)] as number),
  );
}
