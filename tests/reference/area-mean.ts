/**
 * Mean of a mask over the rectangle [x0, x1] × [y0, y1] in its own pixels, each pixel counted by the area that lies
 * inside.
 */
export function areaMean(
  mask: { readonly data: ArrayLike<number>; readonly width: number; readonly height: number },
  [x0, y0, x1, y1]: readonly [number, number, number, number],
): number {
  let sum = 0;
  let area = 0;
  for (let y = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++) {
      const width = Math.min(x + 1, x1) - Math.max(x, x0);
      const height = Math.min(y + 1, y1) - Math.max(y, y0);
      if (width <= 0 || height <= 0) continue;
      area += width * height;
      sum += width * height * (mask.data[y * mask.width + x] as number);
    }
  }
  return sum / area;
}
