/**
 * Errors of an output and what is allowed:
 *
 *   f32   relative RMS ≤ max(1e-5, 30 × the reference's own error against float64)
 *   f16   relative RMS ≤ max(5e-4, 4 × the error of the reference with fp16 storage)
 *
 * with rel_rms = rms(got − expected) / rms(expected). Outputs without stored errors get the floor. 8-bit images
 * and integers are judged by their largest difference instead: 0, or what the case allows. NaN and infinity fail.
 */
import type { DType } from "../../gpu/dtype.ts";
import type { OutputMetrics } from "./golden-file.ts";

/** What an error is held against. */
export interface Limit {
  /** Relative root-mean-square error, or largest difference. */
  readonly on: "relRms" | "maxAbs";
  /** Passes up to this. */
  readonly value: number;
}

/** Equal to the last bit. */
export const EXACT: Limit = { on: "maxAbs", value: 0 };

/** One output of one case. */
export interface OutputResult {
  /** Name of the output. */
  readonly output: string;
  /** Largest difference to the reference. */
  readonly maxAbs: number;
  /** Root-mean-square difference over that of the reference. */
  readonly relRms: number;
  /** What it may be. */
  readonly limit: Limit;
  /** Whether it is within. */
  readonly pass: boolean;
}

const FLOOR: Readonly<Record<DType, number>> = { f32: 1e-5, f16: 5e-4 };

/** The limit on the relative RMS of a float output. */
export function floatLimit(metrics: OutputMetrics | undefined, dtype: DType): Limit {
  const own =
    dtype === "f32"
      ? 30 * (metrics?.fp32_vs_fp64?.rel_rms ?? 0)
      : 4 * (metrics?.fp16_storage_vs_ref?.rel_rms ?? 0);
  return { on: "relRms", value: Math.max(FLOOR[dtype], own) };
}

/** Compares element by element. Different lengths give NaN errors, which fail. */
export function compareOutput(
  output: string,
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  limit: Limit,
): OutputResult {
  let maxAbs = got.length === expected.length ? 0 : NaN;
  let errorSum = maxAbs;
  let expectedSum = 0;
  for (let i = 0; i < expected.length; i++) {
    const reference = expected[i] as number;
    const error = Math.abs((got[i] as number) - reference);
    if (error > maxAbs || Number.isNaN(error)) maxAbs = error; // NaN stays: nothing is larger
    errorSum += error * error;
    expectedSum += reference * reference;
  }
  const relRms = errorSum === 0 ? 0 : Math.sqrt(errorSum / expectedSum);
  const measured = limit.on === "relRms" ? relRms : maxAbs;
  return {
    output,
    maxAbs,
    relRms,
    limit,
    pass: Number.isFinite(maxAbs) && measured <= limit.value,
  };
}
