/**
 * GMSD, the gradient magnitude similarity deviation of two pictures (Xue, Zhang, Mou and Bovik 2014): how unevenly the edges of one
 * are those of the other. 0 for equal edges; double edges, halos and blur raise it. As the authors': luma of 0 … 255, halved by
 * means of 2×2, Prewitt gradients, constant 170; but without the outermost pixels, whose gradients theirs takes from a black border.
 */
import type { RawImage } from "../src/rcod/settings/options.ts";

const CONSTANT = 170;

interface Plane {
  readonly width: number;
  readonly height: number;
  readonly data: Float64Array;
}

/** Of two pictures of 8 bits with three channels or more, equally large, at least 6 pixels a side. */
export function gmsd(a: RawImage, b: RawImage): number {
  const [from, to] = [gradients(halved(lumaOf(a))), gradients(halved(lumaOf(b)))];
  const similarity = from.data.map((x, i) => {
    const y = to.data[i] as number;
    return (2 * x * y + CONSTANT) / (x * x + y * y + CONSTANT);
  });
  const mean = similarity.reduce((sum, value) => sum + value, 0) / similarity.length;
  const squares = similarity.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / similarity.length);
}

function lumaOf({ width, height, channels, data }: RawImage): Plane {
  const luma = Float64Array.from({ length: width * height }, (_, i) => {
    const [r, g, b] = [0, 1, 2].map((c) => data[i * channels + c] as number) as [
      number,
      number,
      number,
    ];
    return 0.299 * r + 0.587 * g + 0.114 * b;
  });
  return { width, height, data: luma };
}

function halved({ width, height, data }: Plane): Plane {
  const [columns, rows] = [width >> 1, height >> 1];
  const half = new Float64Array(columns * rows);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const at = 2 * y * width + 2 * x;
      const square = [at, at + 1, at + width, at + width + 1];
      half[y * columns + x] = square.reduce((sum, i) => sum + (data[i] as number), 0) / 4;
    }
  }
  return { width: columns, height: rows, data: half };
}

/** Magnitudes, of all pixels but the outermost. */
function gradients({ width, height, data }: Plane): Plane {
  const [columns, rows] = [width - 2, height - 2];
  const magnitudes = new Float64Array(columns * rows);
  const across = [-1, 0, 1];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const middle = (y + 1) * width + x + 1;
      let [dx, dy] = [0, 0];
      for (const i of across) {
        dx += (data[middle + i * width + 1] as number) - (data[middle + i * width - 1] as number);
        dy += (data[middle + width + i] as number) - (data[middle - width + i] as number);
      }
      magnitudes[y * columns + x] = Math.hypot(dx, dy) / 3;
    }
  }
  return { width: columns, height: rows, data: magnitudes };
}
