/** A case as it is run, checked and timed; and the limits of its errors. */
import type { DType } from "../../gpu/dtype.ts";
import type { BoundPlan } from "../../graph/execution/recorder.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import type { Cost } from "../../kernels/kernel.ts";
import type { Reader } from "./reference.ts";
import type { TestTensor } from "./test-data.ts";

/** A plan with the kernel that it is of. */
export interface KernelRun extends BoundPlan {
  readonly kernel: string;
}

/** Errors that rounding explains: |got − expected| ≤ atol + rtol·|expected|. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** A case on one device: what it runs, on what, and what has to come out. */
export interface Workload {
  /** Kernel whose variants are compared. */
  readonly kernel: string;
  /** Variants that can run this problem, `naive` included where there is one. */
  readonly variants: readonly string[];
  /** The variant that the engine takes. */
  readonly selected: string;
  /** Dispatches in order. */
  plan(variant: string): readonly KernelRun[];
  readonly cost: Cost;
  readonly inputs: readonly TestTensor[];
  /** What `DeviceWeights` packs as the engine does; the buffers are named by `weightKey`. */
  readonly weights: readonly Weight[];
  /** The tensors of `weights`. */
  readonly source: TensorSource;
  /** Buffers between the kernels. */
  readonly temporaries: Readonly<Record<string, number>>;
  /** The result, buffer `y`. */
  readonly output: {
    readonly dtype: DType;
    readonly rows: number;
    readonly channels: number;
    /** Channels whose elements share most of the reference's work: a head, a group. */
    readonly groupChannels: number;
  };
  /** Elements of the result in double precision. */
  reference(): Reader;
  readonly tolerance: Tolerance;
}

/** The work of several kernels. */
export function totalCost(costs: readonly Cost[]): Cost {
  const sum = (key: keyof Cost): number => costs.reduce((all, cost) => all + cost[key], 0);
  return { flops: sum("flops"), bytesRead: sum("bytesRead"), bytesWritten: sum("bytesWritten") };
}

const U32 = 2 ** -24;
const U16 = 2 ** -11;
/** rms of a product of two uniform values within −1 … 1. */
export const UNIT_PRODUCT_RMS = 1 / 3;

/** Limits as in `tests/support/tolerance.ts`: f32 accumulation of K products of this rms, one rounding of the result. */
export function contractionTolerance(
  dtype: DType,
  reductionLength: number,
  productRms: number,
): Tolerance {
  const atol = Math.max(1e-6, 4 * U32 * reductionLength * productRms);
  return dtype === "f32" ? { rtol: 1e-5, atol } : { rtol: 2 * U16, atol: atol + 1e-6 };
}

/** Absolute error of a sum of K products whose weights, of this scale, are rounded to `dtype`: errors of random sign. */
export function roundedWeightError(dtype: DType, reductionLength: number, scale: number): number {
  return dtype === "f32" ? 0 : 2 * U16 * Math.sqrt(reductionLength) * scale * UNIT_PRODUCT_RMS;
}

/** Limits as in `tests/support/tolerance.ts`: norms, softmax, activations; f32 inside, one rounding. */
export function pointwiseTolerance(dtype: DType): Tolerance {
  return dtype === "f32" ? { rtol: 1e-5, atol: 2e-5 } : { rtol: 2 * U16, atol: 1e-4 };
}
