/** RGBA bytes of an image at (left, top) of a larger one that repeats its edges. */
export function padEdges(
  src: ArrayLike<number>,
  [srcWidth, srcHeight]: readonly [number, number],
  [left, top]: readonly [number, number],
  [width, height]: readonly [number, number],
): number[] {
  const out: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sy = Math.min(Math.max(y - top, 0), srcHeight - 1);
      const sx = Math.min(Math.max(x - left, 0), srcWidth - 1);
      for (let c = 0; c < 4; c++) out.push(src[(sy * srcWidth + sx) * 4 + c] as number);
    }
  }
  return out;
}
