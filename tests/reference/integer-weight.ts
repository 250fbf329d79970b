/** Weights of integers, element by element: what they are worth, and how they lie in a packed buffer. */

/** A matrix [outChannels, inChannels, taps] with a scale for each block of input channels of an output channel and tap. */
export interface IntegerMatrix {
  readonly outChannels: number;
  readonly inChannels: number;
  readonly taps: number;
  /** Input channels of a block. */
  readonly block: number;
  /** [outChannels, inChannels, taps], each at most `limit`. */
  readonly integers: Int8Array;
  /** [outChannels, ⌈inChannels / block⌉, taps], bits of halves. */
  readonly scales: Uint16Array;
}

/** The value of a finite, not negative half. */
function halfValue(bits: number): number {
  const exponent = bits >> 10;
  const fraction = (bits & 1023) / 1024;
  return exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
}

/** The matrix as numbers. */
export function dequantized(matrix: IntegerMatrix): Float64Array {
  const { outChannels, inChannels, taps, block, integers, scales } = matrix;
  const blocks = Math.ceil(inChannels / block);
  const values = new Float64Array(integers.length);
  for (let o = 0; o < outChannels; o++) {
    for (let i = 0; i < inChannels; i++) {
      for (let tap = 0; tap < taps; tap++) {
        const at = (o * inChannels + i) * taps + tap;
        const scale = scales[(o * blocks + Math.floor(i / block)) * taps + tap] as number;
        values[at] = (integers[at] as number) * halfValue(scale);
      }
    }
  }
  return values;
}

/** Rows of the matrix in the order of packed columns; −1 in the padding. `rows(count)` of a plain one is 0, 1, 2, … */
type ColumnOrder = readonly number[];

/**
 * A packed weight: of each matrix the words of its integers, and behind all of them those of the scales. `columns` is the order of
 * the output channels; matrices follow each other as further rows.
 */
export function packedIntegers(
  matrices: readonly IntegerMatrix[],
  bits: 8 | 4,
  columns: ColumnOrder,
): Uint32Array {
  const offset = 2 ** (bits - 1);
  const words: number[] = [];
  let [word, filled] = [0, 0];
  const push = (value: number, width: number): void => {
    word += value * 2 ** filled;
    filled += width;
    if (filled < 32) return;
    words.push(word);
    [word, filled] = [0, 0];
  };
  for (const { inChannels, taps, integers } of matrices) {
    for (let tap = 0; tap < taps; tap++) {
      for (let kq = 0; kq < Math.ceil(inChannels / 4); kq++) {
        for (let nq = 0; nq < columns.length / 4; nq++) {
          for (let i = 4 * kq; i < 4 * kq + 4; i++) {
            for (let lane = 0; lane < 4; lane++) {
              const row = columns[4 * nq + lane] as number;
              const isWithin = row >= 0 && i < inChannels;
              const value = isWithin
                ? (integers[(row * inChannels + i) * taps + tap] as number)
                : 0;
              push(value + offset, bits);
            }
          }
        }
      }
    }
  }
  for (const { inChannels, taps, block, scales } of matrices) {
    const blocks = Math.ceil(inChannels / block);
    for (let tap = 0; tap < taps; tap++) {
      for (let b = 0; b < blocks; b++) {
        for (const row of columns) {
          push(row < 0 ? 0 : (scales[(row * blocks + b) * taps + tap] as number), 16);
        }
      }
    }
  }
  return Uint32Array.from(words);
}
