/**
 * The one table of tolerances. An element passes when |got − expected| ≤ atol + rtol·|expected|; the whole
 * passes when besides NMSE = Σ(got−expected)²/Σexpected² is within its limit. u32 = 2⁻²⁴, u16 = 2⁻¹¹.
 */
import type { DType } from "../../src/gpu/dtype.ts";

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
  readonly nmse: number;
}

const U32 = 2 ** -24;
const U16 = 2 ** -11;

/**
 * A sum of `reductionLength` products whose rms is `productRms`, accumulated in f32. f16 storage adds one
 * rounding of the output; WGSL leaves its direction open, hence 2·u16.
 */
export function contraction(dtype: DType, reductionLength: number, productRms: number): Tolerance {
  const atol = Math.max(1e-6, 4 * U32 * reductionLength * productRms);
  return dtype === "f32"
    ? { rtol: 1e-5, atol, nmse: 1e-10 }
    : { rtol: 2 * U16, atol: atol + 1e-6, nmse: 1e-6 };
}

/**
 * `contraction` by Winograd's F(4×4, 3×3): its sums err 1.6 times as much as direct ones, simulated in f32 at 64 channels,
 * hence twice the limit.
 */
export function winograd(dtype: DType, reductionLength: number, productRms: number): Tolerance {
  const { rtol, atol, nmse } = contraction(dtype, reductionLength, productRms);
  return { rtol, atol: 2 * atol, nmse };
}

/**
 * `contraction` in f16 where one factor is a computed value that was rounded to f16 on its way: every product errs by up
 * to u16 of itself (σ = u16/√3), of either sign, so a sum by √K times that; 2·u16·s·√K is 3.5 σ, beside `rtol`.
 */
export function roundedContraction(reductionLength: number, productRms: number): Tolerance {
  const { rtol, atol, nmse } = contraction("f16", reductionLength, productRms);
  return { rtol, atol: atol + 2 * U16 * productRms * Math.sqrt(reductionLength), nmse };
}

/** Elementwise functions with exp or erf, norms and softmax: f32 inside, one rounding out. */
export function pointwise(dtype: DType): Tolerance {
  return dtype === "f32"
    ? { rtol: 1e-5, atol: 2e-5, nmse: 1e-9 }
    : { rtol: 2 * U16, atol: 1e-4, nmse: 1e-6 };
}

/**
 * Softmax in f16 whose weights p are rounded to f16 before they meet values of this standard deviation: with δ up to u16, the output errs
 * by Σδ·p·(v − y) / Σp, at most u16 times the mean of |v − y|.
 */
export function roundedWeights(deviation: number): Tolerance {
  const { rtol, atol, nmse } = pointwise("f16");
  return { rtol, atol: atol + U16 * deviation, nmse };
}

/** Copies, concatenation, nearest upsampling. */
export const EXACT: Tolerance = { rtol: 0, atol: 0, nmse: 0 };
