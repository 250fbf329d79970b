/** Images to values and back, in doubles. */

/** RGB of pixel (x, y) of an RGBA8 image, with edge pixels repeated outside. */
export function pixelAt(
  image: ArrayLike<number>,
  width: number,
  height: number,
  x: number,
  y: number,
): number[] {
  const column = Math.min(Math.max(x, 0), width - 1);
  const row = Math.min(Math.max(y, 0), height - 1);
  return [0, 1, 2].map((c) => image[(row * width + column) * 4 + c] as number);
}

/** Unrounded level of an activation. */
export function levelOf(x: number): number {
  return 255 * (0.5 * Math.min(1, Math.max(-1, x)) + 0.5);
}
