/** RGBA bytes with the colours of `image` and the alpha of `alpha`. */
export function replaceAlpha(image: ArrayLike<number>, alpha: ArrayLike<number>): number[] {
  return Array.from(image, (value, i) => (i % 4 === 3 ? (alpha[i] as number) : value));
}
