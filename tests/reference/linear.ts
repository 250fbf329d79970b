/** Matrix products and their epilogues in double precision. */
import { activation } from "./activation.ts";

export interface ContractionResult {
  /** Row-major results. */
  readonly y: Float64Array;
  /** Root mean square of all products that were summed. */
  readonly productRms: number;
}

/** `sums[row, n] = Σ_k x[row, k] · weight[n, k]`. */
export function matmul(
  x: Float64Array,
  weight: Float64Array,
  inChannels: number,
): ContractionResult {
  const rows = x.length / inChannels;
  const columns = weight.length / inChannels;
  const y = new Float64Array(rows * columns);
  let squares = 0;
  for (let row = 0; row < rows; row++) {
    for (let n = 0; n < columns; n++) {
      let sum = 0;
      for (let k = 0; k < inChannels; k++) {
        const product =
          (x[row * inChannels + k] as number) * (weight[n * inChannels + k] as number);
        sum += product;
        squares += product * product;
      }
      y[row * columns + n] = sum;
    }
  }
  return { y, productRms: Math.sqrt(squares / (rows * columns * inChannels)) };
}

export interface EpilogueInputs {
  /** [columns] */
  readonly bias: Float64Array;
  readonly activation: string;
  /** [images, columns], one row for every `rowsPerImage` rows. */
  readonly channelAdd: Float64Array | null;
  readonly rowsPerImage: number;
  /** Shaped like the result. */
  readonly residual: Float64Array | null;
}

/** `activation(sums + bias + channelAdd) + residual`. */
export function finishRows(sums: Float64Array, inputs: EpilogueInputs): Float64Array {
  const { bias, channelAdd, rowsPerImage, residual } = inputs;
  const columns = bias.length;
  return sums.map((sum, index) => {
    const row = Math.floor(index / columns);
    const n = index % columns;
    let value = sum + (bias[n] as number);
    if (channelAdd) value += channelAdd[Math.floor(row / rowsPerImage) * columns + n] as number;
    value = activation(inputs.activation, value);
    return residual ? value + (residual[index] as number) : value;
  });
}

/** Halves the columns: `(first half + bias) · gelu(second half + bias)`. */
export function geglu(sums: Float64Array, bias: Float64Array): Float64Array {
  const columns = bias.length;
  const half = columns / 2;
  return Float64Array.from({ length: sums.length / 2 }, (_, index) => {
    const row = Math.floor(index / half);
    const n = index % half;
    const value = (sums[row * columns + n] as number) + (bias[n] as number);
    const gate = (sums[row * columns + half + n] as number) + (bias[half + n] as number);
    return value * activation("gelu", gate);
  });
}
