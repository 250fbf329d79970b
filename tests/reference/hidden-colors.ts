/** Colours of hidden pixels by push and pull over a pyramid, in doubles; not rounded. */

interface Level {
  readonly width: number;
  readonly height: number;
  /** (r, g, b, weight). */
  readonly pixels: (readonly [number, number, number, number])[];
}

function pushed({ width, height, pixels }: Level): Level {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const out: Level["pixels"] = [];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const sum: [number, number, number, number] = [0, 0, 0, 0];
      for (const sy of [2 * y, 2 * y + 1]) {
        for (const sx of [2 * x, 2 * x + 1]) {
          if (sx >= width || sy >= height) continue;
          const [r, g, b, a] = pixels[sy * width + sx] as [number, number, number, number];
          sum[0] += r * a;
          sum[1] += g * a;
          sum[2] += b * a;
          sum[3] += a;
        }
      }
      const [r, g, b, a] = sum;
      out.push(a === 0 ? [0, 0, 0, 0] : [r / a, g / a, b / a, a]);
    }
  }
  return { width: w, height: h, pixels: out };
}

function pulled(fine: Level, coarse: Level): Level {
  const mix = (x: number, y: number, c: number): number => {
    let sum = 0;
    for (const [ny, wy] of neighbours(y, coarse.height)) {
      for (const [nx, wx] of neighbours(x, coarse.width)) {
        sum += wy * wx * (coarse.pixels[ny * coarse.width + nx]?.[c] as number);
      }
    }
    return sum;
  };
  const pixels = fine.pixels.map((pixel, i) => {
    if (pixel[3] > 0) return pixel;
    const [x, y] = [i % fine.width, Math.floor(i / fine.width)];
    return [mix(x, y, 0), mix(x, y, 1), mix(x, y, 2), 0] as const;
  });
  return { ...fine, pixels };
}

/** The two coarse pixels around a fine one, and their weights. */
function neighbours(at: number, size: number): (readonly [number, number])[] {
  const near = Math.floor(at / 2);
  const far = Math.min(Math.max(near + (at % 2 === 0 ? -1 : 1), 0), size - 1);
  return [
    [near, 0.75],
    [far, 0.25],
  ];
}

/** RGBA values of `image` with the colours of pixels of alpha 0 taken from their surroundings. */
export function hiddenColors(image: ArrayLike<number>, width: number, height: number): number[] {
  const pixels = Array.from({ length: width * height }, (_, i) => {
    const at = (c: number): number => image[i * 4 + c] as number;
    return [at(0), at(1), at(2), at(3) / 255] as const;
  });
  const levels: Level[] = [{ width, height, pixels }];
  for (;;) {
    const last = levels.at(-1) as Level;
    if (levels.length > 1 && last.width === 1 && last.height === 1) break;
    levels.push(pushed(last));
  }
  const filled = levels.toReversed().reduce((coarse, fine) => pulled(fine, coarse));
  return filled.pixels.flatMap(([r, g, b], i) => [r, g, b, image[i * 4 + 3] as number]);
}
