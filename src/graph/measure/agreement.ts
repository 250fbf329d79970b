/** Whether two variants computed the same, up to rounding. */
import type { DType } from "../../gpu/dtype.ts";

/**
 * Largest difference as a share of |reference| + rms. In f32 two orders of a sum of K products differ by about
 * 4·2⁻²⁴·√K of its rms, 3e-5 at K = 11,520; a half is rounded once, in either direction, after that.
 */
const LIMIT: Readonly<Record<DType, number>> = { f32: 5e-5, f16: 2 ** -9 };

/** False also for anything not finite, and for two results that are zero throughout. */
export function agrees(got: Float32Array, reference: Float32Array, dtype: DType): boolean {
  const rms = Math.sqrt(reference.reduce((sum, v) => sum + v * v, 0) / reference.length);
  return (
    rms > 0 &&
    got.length === reference.length &&
    got.every((value, i) => {
      const expected = reference[i] ?? NaN;
      return Math.abs(value - expected) <= LIMIT[dtype] * (Math.abs(expected) + rms);
    })
  );
}
