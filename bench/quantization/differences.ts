/** How far two results are from each other. */

/** √(Σ(got − expected)² / Σexpected²). */
export function relativeRms(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [errors, squares] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    errors += ((got[i] as number) - (expected[i] as number)) ** 2;
    squares += (expected[i] as number) ** 2;
  }
  return Math.sqrt(errors / squares);
}

/** Of values of 0 … 255, in dB. */
export function psnr(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return 10 * Math.log10((255 ** 2 * a.length) / sum);
}

/** To three digits. */
export const shortened = (value: number): number => Number(value.toPrecision(3));
