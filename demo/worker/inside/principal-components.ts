/** The directions of largest variance of a map's channels: three of them make a colour picture of many channels. */

/** Row-major [rows, channels]. */
export interface Rows {
  readonly data: Float32Array;
  readonly rows: number;
  readonly channels: number;
}

export interface Components {
  /** Mean of each channel. */
  readonly mean: Float64Array;
  /** Unit vectors, orthogonal, by falling variance. */
  readonly axes: readonly Float64Array[];
  /** Variance along each axis as a share of the whole; 0 where nothing varies. */
  readonly shares: readonly number[];
}

/** Rows that are looked at: enough for a direction, few enough for a moment. */
const MAX_ROWS = 2048;
const ITERATIONS = 40;

/** Power iteration with deflation, in doubles. Gives as many axes as asked for, or as there are channels. */
export function principalComponents({ data, rows, channels }: Rows, count: number): Components {
  const stride = Math.max(1, Math.ceil(rows / MAX_ROWS));
  const taken = Math.ceil(rows / stride);
  const mean = new Float64Array(channels);
  for (let i = 0; i < taken; i++) {
    for (let c = 0; c < channels; c++) {
      mean[c] = (mean[c] as number) + (data[i * stride * channels + c] as number) / taken;
    }
  }
  const centred = Float64Array.from({ length: taken * channels }, (_, at) => {
    const c = at % channels;
    return (data[((at - c) / channels) * stride * channels + c] as number) - (mean[c] as number);
  });
  const whole = squareSum(centred);
  const axes: Float64Array[] = [];
  const shares: number[] = [];
  for (let k = 0; k < Math.min(count, channels); k++) {
    const axis = largestAxis(centred, channels, k);
    const along = deflate(centred, axis);
    axes.push(axis);
    shares.push(whole > 0 ? along / whole : 0);
  }
  return { mean, axes, shares };
}

function largestAxis(centred: Float64Array, channels: number, k: number): Float64Array {
  // Not along any axis of the data in particular, and the same every time.
  let axis: Float64Array = Float64Array.from(
    { length: channels },
    (_, c) => 1 + 0.1 * Math.sin(c * (k + 1)),
  );
  axis = normalized(axis, k);
  for (let i = 0; i < ITERATIONS; i++) {
    const next = new Float64Array(channels);
    for (let start = 0; start < centred.length; start += channels) {
      let dot = 0;
      for (let c = 0; c < channels; c++)
        dot += (centred[start + c] as number) * (axis[c] as number);
      for (let c = 0; c < channels; c++) {
        next[c] = (next[c] as number) + dot * (centred[start + c] as number);
      }
    }
    axis = normalized(next, k);
  }
  return axis;
}

/** Of length 1, its sum not negative; where there is no direction, a unit vector. */
function normalized(vector: Float64Array, k: number): Float64Array {
  const length = Math.sqrt(squareSum(vector));
  if (!(length > 0)) return Float64Array.from(vector, (_, c) => (c === k ? 1 : 0));
  const sign = vector.reduce((sum, value) => sum + value, 0) < 0 ? -1 : 1;
  return vector.map((value) => (sign * value) / length);
}

/** Takes what lies along `axis` out of all rows; gives the sum of its squares. */
function deflate(centred: Float64Array, axis: Float64Array): number {
  const channels = axis.length;
  let sum = 0;
  for (let start = 0; start < centred.length; start += channels) {
    let dot = 0;
    for (let c = 0; c < channels; c++) dot += (centred[start + c] as number) * (axis[c] as number);
    sum += dot * dot;
    for (let c = 0; c < channels; c++) {
      centred[start + c] = (centred[start + c] as number) - dot * (axis[c] as number);
    }
  }
  return sum;
}

function squareSum(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}
