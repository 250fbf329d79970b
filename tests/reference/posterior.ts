/** The seeded sample of a diagonal Gaussian, in doubles: by Box and Muller, in the open interval (0, 1). */

/** `count` normal deviates, of numbers from mulberry32 in [0, 1). */
export function normals(count: number, next: () => number): number[] {
  const open = (): number => next() + 2 ** -33; // the middle of the 2⁻³² that the number stands for
  const out: number[] = [];
  while (out.length < count) {
    const [u, v] = [open(), open()];
    const radius = Math.sqrt(-2 * Math.log(u));
    out.push(radius * Math.cos(2 * Math.PI * v), radius * Math.sin(2 * Math.PI * v));
  }
  return out.slice(0, count);
}

/** mean + scale · √variance · n. */
export function sample(mean: number, logvar: number, scale: number, normal: number): number {
  return mean + scale * Math.sqrt(Math.exp(logvar)) * normal;
}
